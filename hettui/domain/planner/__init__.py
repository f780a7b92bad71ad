"""The best split for an aim: speeds, searches, single moves, what stands in the way, what launches taught."""
