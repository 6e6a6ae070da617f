"""Engine "native": a cell compiled to C from its equations."""
