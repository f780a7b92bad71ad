"""The search for models."""
