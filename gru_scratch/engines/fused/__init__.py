"""Engine "fused": back-propagation through time by hand, in PyTorch's operators."""

from gru_scratch.engines.fused.operators import run, transformed

__all__ = ["run", "transformed"]
