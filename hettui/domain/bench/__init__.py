"""Measuring: what a run is, its results kept, compared and told."""
