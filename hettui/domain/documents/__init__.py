"""Typed data as JSON and back, strictly, and the difference of two documents."""
