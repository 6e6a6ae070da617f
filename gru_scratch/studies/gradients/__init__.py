"""Gradient flow: how strongly a state depends on an earlier one, before and during training."""
