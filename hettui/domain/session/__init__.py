"""What a screen or a command works with, all brought together, and the reports on it."""
