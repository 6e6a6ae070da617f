"""The short names for tensors that the pages of both editions use: `d2l.reshape(X, (2, 3))`, `d2l.reduce_sum(X, 1)`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

abs = torch.abs
arange = torch.arange
batch_matmul = torch.bmm
concat = torch.cat
cos = torch.cos
cosh = torch.cosh
exp = torch.exp
eye = torch.eye
float32 = torch.float32
int32 = torch.int32
int64 = torch.int64
linspace = torch.linspace
log = torch.log
matmul = torch.matmul
meshgrid = torch.meshgrid
normal = torch.normal
ones = torch.ones
ones_like = torch.ones_like
rand = torch.rand
randn = torch.randn
sigmoid = torch.sigmoid
sin = torch.sin
sinh = torch.sinh
stack = torch.stack
tanh = torch.tanh
tensor = torch.tensor
zeros = torch.zeros
zeros_like = torch.zeros_like


def argmax(x: Tensor, *args: Any, **options: Any) -> Tensor:
    return x.argmax(*args, **options)


def astype(x: Tensor, *args: Any, **options: Any) -> Any:
    """The tensor in another dtype."""
    return x.type(*args, **options)


def expand_dims(x: Tensor, *args: Any, **options: Any) -> Tensor:
    """The tensor with an axis of size 1 more."""
    return x.unsqueeze(*args, **options)


def numpy(x: Tensor, *args: Any, **options: Any) -> Any:
    """The array of a tensor, without its graph."""
    return x.detach().numpy(*args, **options)


def reduce_mean(x: Tensor, *args: Any, **options: Any) -> Tensor:
    return x.mean(*args, **options)


def reduce_sum(x: Tensor, *args: Any, **options: Any) -> Tensor:
    return x.sum(*args, **options)


def repeat(x: Tensor, *args: Any, **options: Any) -> Tensor:
    return x.repeat(*args, **options)


def reshape(x: Tensor, *args: Any, **options: Any) -> Tensor:
    return x.reshape(*args, **options)


def size(x: Tensor) -> int:
    """How many numbers a tensor holds."""
    return x.numel()


def swapaxes(x: Tensor, *args: Any, **options: Any) -> Tensor:
    return x.swapaxes(*args, **options)


def to(x: Tensor, *args: Any, **options: Any) -> Tensor:
    """The tensor on another device or in another dtype."""
    return x.to(*args, **options)


def transpose(x: Tensor) -> Tensor:
    """A matrix with rows and columns exchanged."""
    return x.t()
