"""What every device will hold, to the byte, and what it held against that."""
