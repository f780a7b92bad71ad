"""What the screen saw, kept and shown again."""
