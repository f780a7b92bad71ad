"""Views into rows of pieces with roles: pure, of Rich only the widths of cells."""
