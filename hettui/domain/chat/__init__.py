"""What goes over the wire to llama-server and comes back, conversations, what is said under an answer."""
