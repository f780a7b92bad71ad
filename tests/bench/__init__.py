"""Measurements, each a module to run by itself: ratios within one run on one machine, never assertions."""
