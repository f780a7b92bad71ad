"""One GGUF: its header as it stands, where llama.cpp puts each tensor, what each architecture keeps, the
arithmetic on it.
"""
