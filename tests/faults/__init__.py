"""Faults on the real engine: SmolLM2 over three workers, and whatever can be killed, cut off or filled up."""
