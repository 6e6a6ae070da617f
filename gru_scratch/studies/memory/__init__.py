"""The memory study: how far back a cell remembers, on tasks whose answer lies a known number of steps back."""
