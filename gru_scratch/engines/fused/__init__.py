"""Engine "fused": back-propagation through time by hand, in PyTorch's operators."""
