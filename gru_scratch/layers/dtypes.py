"""The dtype a layer computes in: its own, or under autocast the one that ``torch.nn``'s layer comes to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gru_scratch.engines.torch_private import has_autocast
from gru_scratch.engines.weights import is_dense

_NAMES = {
    torch.bool: "Bool",
    torch.int64: "Long",
    torch.float16: "Half",
    torch.bfloat16: "BFloat16",
    torch.float32: "Float",
    torch.float64: "Double",
    torch.complex64: "ComplexFloat",
}
"""Names in PyTorch's own messages."""


def autocasts(device: str) -> bool:
    """Whether autocast is on for this kind of device; for some there is none."""
    return has_autocast(device) and torch.is_autocast_enabled(device)


def autocast_type(inputs: Tensor, states: Sequence[Tensor], weight: Tensor) -> torch.dtype | None:
    """The lower precision that autocast asks for; None where it is off or leaves things alone: float64 is at work."""
    device = inputs.device.type
    if not autocasts(device) or any(x.dtype == torch.float64 for x in (inputs, *states, weight)):
        return None
    return torch.get_autocast_dtype(device)


def check_types(inputs: Tensor, states: Sequence[Tensor], weight: Tensor) -> None:
    """RuntimeError unless input (tokens aside) and states have the parameters' dtype, in PyTorch's words."""
    for x in (inputs, *states) if is_dense(inputs) else states:
        if x.dtype != weight.dtype:
            found, expected = (_NAMES.get(t, str(t)) for t in (x.dtype, weight.dtype))
            raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {found} and {expected}")


def check_devices(inputs: Tensor, states: Sequence[Tensor], weight: Tensor) -> None:
    """RuntimeError unless all are on the input's device, in PyTorch's words."""
    for name, x in (*(("hidden", s) for s in states), ("parameter", weight)):
        if x.device != inputs.device:
            raise RuntimeError(
                f"Input and {name} tensors are not at the same device, "
                f"found input tensor at {inputs.device} and {name} tensor at {x.device}"
            )
