"""Themes: read, tested, handed to Textual."""
