"""Engines of hettui's own: their source, the programs that build them, and the shelf where finished ones lie."""
