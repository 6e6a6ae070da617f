"""The dtype a layer computes in: its own, or under autocast the one that the layer of ``torch.nn`` would have."""

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
"""The names of dtypes in PyTorch's messages."""


def autocasts(device: str) -> bool:
    """Whether autocast is on for this kind of device; for some there is none."""
    return has_autocast(device) and torch.is_autocast_enabled(device)


def autocast_type(inputs: Tensor, states: Sequence[Tensor], weight: Tensor) -> torch.dtype | None:
    """The dtype that autocast asks for; None where it is off or does not act, as on float64."""
    device = inputs.device.type
    if not autocasts(device) or any(x.dtype == torch.float64 for x in (inputs, *states, weight)):
        return None
    return torch.get_autocast_dtype(device)


def check_types(inputs: Tensor, states: Sequence[Tensor], weight: Tensor) -> None:
    """Raise PyTorch's RuntimeError unless input (tokens aside) and states have the dtype of the parameters."""
    for x in (inputs, *states) if is_dense(inputs) else states:
        if x.dtype != weight.dtype:
            received, expected = (_NAMES.get(t, str(t)) for t in (x.dtype, weight.dtype))
            raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {received} and {expected}")


def check_devices(inputs: Tensor, states: Sequence[Tensor], weight: Tensor) -> None:
    """Raise PyTorch's RuntimeError unless all are on the device of the input."""
    for name, x in (*(("hidden", s) for s in states), ("parameter", weight)):
        if x.device != inputs.device:
            raise RuntimeError(
                f"Input and {name} tensors are not at the same device, "
                f"found input tensor at {inputs.device} and {name} tensor at {x.device}"
            )
