"""This computer: kernel files, CPU, memory, terminal."""
