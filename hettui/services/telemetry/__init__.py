"""Poller, what it is asked about, alerts."""
