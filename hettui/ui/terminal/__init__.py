"""What reaches this terminal: cells, pacing, colours it has, glyphs it shows; whatever reaches into Textual's
insides.
"""
