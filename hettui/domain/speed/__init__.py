"""How long a token takes on each device: what its data say, what answers have shown, and how sure that is."""
