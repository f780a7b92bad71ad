"""A cluster as files that work without hettui: the same processes, order, readiness checks and stop order."""
