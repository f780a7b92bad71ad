"""The core: arithmetic and rules over frozen data. It knows no clock, file, process, network or terminal."""
