"""The screen. Widgets hold no facts, only the last snapshot they were given."""
