"""hettui: one terminal screen for a llama.cpp cluster of mismatched GPUs."""

__version__ = "0.1.0"
