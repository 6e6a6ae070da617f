"""The product that a step cannot do without, ``x Wᵀ`` with one weight at every step, by the fastest routine there is.

For a large product on a CPU in float32 that is not always PyTorch's own: on Intel's, MKL's with a weight packed once
saves packing it at every step; on AMD's, where MKL is slow, oneDNN's is 1.6 to 2.4 times as fast. Both are private to
PyTorch, so they are looked up, and the plain product is always there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Routine(NamedTuple):
    """``prepare(weight, rows)`` gives the function of x; it pays from so many multiplications, and so many rows, on."""

    prepare: Callable[[Tensor, int], Callable[[Tensor], Tensor]]
    multiplications: int
    rows: int


class Product:
    """``x Wᵀ`` for one weight W (N, K) and many x (rows, K), made ready once."""

    def __init__(self, weight: Tensor, rows: int | None) -> None:
        """``rows``: of every x, or None where they differ."""
        routine = None if rows is None else _routine(weight, rows)
        if routine is None or rows is None:
            self._multiply, self._weight_t = None, weight.t().contiguous()
        else:
            self._multiply, self._weight_t = routine.prepare(weight.contiguous(), rows), weight.t()

    def add_to(self, out: Tensor, x: Tensor) -> Tensor:
        """``out += x Wᵀ``; returns ``out``."""
        return self.write(out, x, base=out)

    def write(self, out: Tensor, x: Tensor, base: Tensor | None = None) -> Tensor:
        """``out = base + x Wᵀ``; returns ``out``."""
        if self._multiply is not None:
            return out.copy_(self._multiply(x)) if base is None else torch.add(base, self._multiply(x), out=out)
        if base is None:
            return torch.mm(x, self._weight_t, out=out)
        return torch.addmm(base, x, self._weight_t, out=out)


def _routine(weight: Tensor, rows: int) -> Routine | None:
    """The routine for a product of this size, or None for the plain one."""
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return None
    routine = _cpu_routine()
    if routine is None or rows < routine.rows or rows * weight.numel() < routine.multiplications:
        return None
    return routine


@cache
def _cpu_routine() -> Routine | None:
    """The routine for this machine's processor: always the same, so that a run repeats bit for bit."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if "Intel" in str(capabilities.get("cpu_name", "")):
        known = _has("mkl", "_mkl_linear", "_mkl_reorder_linear_weight")
        return Routine(_packed_by_mkl, multiplications=40_000_000, rows=8) if known else None
    known = _has("mkldnn", "_linear_pointwise")
    return Routine(_by_onednn, multiplications=3_500_000, rows=8) if known else None


def _has(library: str, *operators: str) -> bool:
    return all(hasattr(getattr(torch.ops, library), name) for name in operators)


def _packed_by_mkl(weight: Tensor, rows: int) -> Callable[[Tensor], Tensor]:
    packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, rows)
    return lambda x: torch.ops.mkl._mkl_linear(x, packed, weight, None, rows)


def _by_onednn(weight: Tensor, rows: int) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
