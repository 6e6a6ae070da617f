"""A cell over time: the plain loop, the same by hand with PyTorch's operators, and torch.nn's own."""
