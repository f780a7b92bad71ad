"""What llama-server's slots hold: what of it outlives a restart, what is kept on disk, and what requests made of it."""
