"""llama.cpp from outside: binaries, HTTP, RPC probe, GGUF reader, which entry of its list is which card."""
