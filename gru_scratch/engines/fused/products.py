"""The matrix products of a layer, each by the fastest routine that PyTorch has for it.

``x Wᵀ`` with one weight at every step, and ``Dᵀ X`` over many rows, a weight's gradient. On a CPU in float32 that is
not always PyTorch's own: on Intel's, MKL's with a weight packed once saves packing it at every step; on others, where
MKL is slow, oneDNN's are 1.1 to 2.4 times as fast. The routines of a step are private to PyTorch, so they are looked
up, and the plain product is always there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gru_scratch.engines import torch_private

MKL_LINEAR, MKL_PACK = "torch.ops.mkl._mkl_linear", "torch.ops.mkl._mkl_reorder_linear_weight"
ONEDNN_LINEAR, ONEDNN_PACK = "torch.ops.mkldnn._linear_pointwise", "torch.ops.mkldnn._reorder_linear_weight"


class Routine(NamedTuple):
    """``prepare(weight, rows, uses)`` gives the function of x; it is worth its cost from so many multiplications, rows
    and uses on."""

    prepare: Callable[[Tensor, int, int], Callable[[Tensor], Tensor]]
    multiplications: int
    rows: int
    uses: int = 1
    ragged: bool = False
    """Whether a weight that is not packed serves any number of rows."""

    def least_rows(self, weight: Tensor) -> int:
        """The number of rows from which on it is worth its cost for this weight."""
        return max(self.rows, math.ceil(self.multiplications / max(1, weight.numel())))


class Kernels(NamedTuple):
    """The fastest routines for a processor; None stands for PyTorch's plain product."""

    step: Routine | None = None
    """x Wᵀ."""
    gradient: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    """Dᵀ X, of D, X and something of the result's shape."""


GRADIENT_PAYS = 8_000_000
"""Multiplications from which on the kernel for a weight's gradient is worth its cost; it is not taken for less."""

PACKING_PAYS = 64
"""Uses of a weight from which on oneDNN packs it: packing costs several products, and saves a sixth of each."""


class Product:
    """``x Wᵀ`` for one weight W (N, K) and many x (rows, K), made ready once."""

    def __init__(self, weight: Tensor, rows: int, uses: int, ragged: bool = False) -> None:
        """``rows``: of every x, or at most, if they are ragged; ``uses``: how often it will multiply."""
        routine = _routine(weight, rows, uses)
        if routine is None or (ragged and not routine.ragged):
            self._multiply, self._least = None, 0
            weight_t = weight.t()  # which a copy makes quicker to read, but for one use the copy costs more
            self._weight_t = weight_t if uses == 1 else weight_t.contiguous()
        else:
            self._multiply = routine.prepare(weight.contiguous(), rows, 1 if ragged else uses)
            self._least = routine.least_rows(weight)
            self._weight_t = weight.t()

    def add_to(self, out: Tensor, x: Tensor) -> Tensor:
        """``out += x Wᵀ``; returns ``out``."""
        return self.write(out, x, base=out)

    def write(self, out: Tensor, x: Tensor, base: Tensor | None = None) -> Tensor:
        """``out = base + x Wᵀ``; returns ``out``."""
        if self._multiply is not None and len(x) >= self._least:
            return out.copy_(self._multiply(x)) if base is None else torch.add(base, self._multiply(x), out=out)
        if base is None:
            return torch.mm(x, self._weight_t, out=out)
        return torch.addmm(base, x, self._weight_t, out=out)


def add_gradient(out: Tensor, D: Tensor, X: Tensor) -> Tensor:
    """``out += Dᵀ X``: D (rows, N) and X (rows, K) → (N, K); returns ``out``."""
    kernel = _kernels().gradient if _is_fast_type(out) else None
    pays = len(X) * out.numel() >= GRADIENT_PAYS and len(X) > 2 * X.shape[1]  # of fewer rows it takes more memory
    return out.add_(kernel(D, X, out)) if kernel is not None and pays else torch.addmm(out, D.t(), X, out=out)


def _routine(weight: Tensor, rows: int, uses: int) -> Routine | None:
    """The routine for a product of this size, or None for the plain one."""
    routine = _kernels().step if _is_fast_type(weight) else None
    if routine is None or rows < routine.least_rows(weight):
        return None
    return routine if uses >= routine.uses else None


def _is_fast_type(x: Tensor) -> bool:
    """In float32 on a CPU; but where PyTorch may round to bfloat16 there, its own product is as fast as any."""
    onednn: Any = torch.backends.mkldnn
    may_round = onednn.matmul.fp32_precision == "bf16"
    return x.device.type == "cpu" and x.dtype == torch.float32 and not may_round


@cache
def _kernels() -> Kernels:
    """Those of this machine's processor: always the same, so that a run repeats bit for bit."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if "Intel" in str(capabilities.get("cpu_name", "")):
        known = torch_private.has(MKL_LINEAR, MKL_PACK)
        return Kernels(Routine(_packed_by_mkl, multiplications=40_000_000, rows=8, uses=2) if known else None)
    if not torch_private.has(ONEDNN_LINEAR, ONEDNN_PACK):
        return Kernels()
    return Kernels(Routine(_by_onednn, multiplications=2_000_000, rows=4, ragged=True), _gradient_by_convolution)


def _packed_by_mkl(weight: Tensor, rows: int, uses: int) -> Callable[[Tensor], Tensor]:
    packed, multiply = torch_private.NAMES[MKL_PACK](weight, rows), torch_private.NAMES[MKL_LINEAR]
    return lambda x: multiply(x, packed, weight, None, rows)


def _by_onednn(weight: Tensor, rows: int, uses: int) -> Callable[[Tensor], Tensor]:
    if uses >= PACKING_PAYS:
        weight = torch_private.NAMES[ONEDNN_PACK](weight, rows)
    multiply = torch_private.NAMES[ONEDNN_LINEAR]
    return lambda x: multiply(x, weight, None, "none", [], "")


def _gradient_by_convolution(D: Tensor, X: Tensor, like: Tensor) -> Tensor:
    """A linear layer is a convolution of one pixel; oneDNN finds its weight's gradient from both as they lie.

    PyTorch leaves such a convolution to oneDNN if it has several threads, or at least 16 images.
    """
    rows, images = len(X), 1
    if torch.get_num_threads() == 1:
        images = next((count for count in range(16, 65) if rows % count == 0), 1)

    def as_images(numbers: Tensor) -> Tensor:  # (images, channels, 1, rows), channels last
        return numbers.view(images, 1, rows // images, -1).permute(0, 3, 1, 2)

    weight = like.view(*like.shape, 1, 1)  # of which the shape alone is read
    once, none = [1, 1], [0, 0]
    gradients = torch.ops.aten.convolution_backward(
        as_images(D), as_images(X), weight, None, once, none, once, False, none, 1, [False, True, False]
    )
    return gradients[1].view(like.shape)  # type: ignore[no-any-return]
