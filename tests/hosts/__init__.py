"""Other machines for real: boxes with their own network, processes, users and sshd, and lines that fail."""
