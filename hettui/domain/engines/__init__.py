"""Builds of llama.cpp as data: what is built for which cards, what that needs, how far it is, which ones are here."""
