"""What a recording holds, what of it stays private, and whether one can be believed."""
