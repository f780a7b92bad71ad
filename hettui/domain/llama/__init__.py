"""llama.cpp's own vocabulary: settings with its names and defaults, what a build says of itself, a command line of
somebody else's, what its errors mean.
"""
