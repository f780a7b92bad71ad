"""What can hold layers, on which host, and the table of `hettui devices`."""
