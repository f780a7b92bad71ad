"""The search for the best split by measuring: what to launch next, and when enough is known."""
