"""The split of layers, the plan that sliders edit with its history, what the planner aims at."""
