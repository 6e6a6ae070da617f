"""A linear layer's scores and their mean cross-entropy, with one pass over the scores between the matrix products.

PyTorch's operators go over them to add the bias, for the logarithm of the softmax, for the loss, for the derivative of
each, and to sum the bias' gradient.

Legend: ``N`` rows, ``H`` numbers of a row, ``V`` scores of a row.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.engines.native.compiler import load
from gru_scratch.engines.native.library import C_TYPES
from gru_scratch.engines.native.sharing import run, thread_count
from gru_scratch.engines.weights import check_indices

LINE = 64
"""Bytes, of which the room of a row of scores is a multiple, as every vector is."""

WORK = 16
"""Multiplications that take as long as one score."""


class _Scores(ctypes.Structure):
    """``Scores`` of the header ``scores.h``."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("rows", "columns", "width")),
        *((name, ctypes.c_void_p) for name in ("scores", "bias", "targets", "grad_bias")),
        ("loss", ctypes.c_double),
    )


def mean_cross_entropy(rows: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """``F.cross_entropy(F.linear(rows, weight, bias), targets)`` in float32 or float64 on a CPU.

    Args:
        rows: (N, H).
        weight: (V, H).
        bias: (V,).
        targets: (N,), 64-bit integers.

    Raises:
        IndexError: a target is not from 0 to V - 1.
        CompilerError: there is no compiler, or it fails.
    """
    loss: Tensor = _MeanCrossEntropy.apply(rows, weight, bias, targets)  # type: ignore[no-untyped-call]
    return loss


class _MeanCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        columns = len(weight)
        check_indices("targets", targets, columns)
        beyond = -columns % (LINE // weight.element_size())
        scores = rows @ F.pad(weight, (0, 0, 0, beyond)).t()
        loss, grad_bias = _replace_by_gradients(scores, F.pad(bias, (0, beyond)), targets.contiguous(), columns)
        ctx.save_for_backward(rows, weight, bias, targets, scores[:, :columns], grad_bias[:columns])
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, bias, targets, d_scores, d_bias = ctx.saved_tensors
        if torch.is_grad_enabled():  # this derivative will itself be differentiated
            wanted = ctx.needs_input_grad[:3]
            aliases = [x.view_as(x) for x in (rows, weight, bias)]  # each with its own share, where one made another
            loss = F.cross_entropy(F.linear(*aliases), targets)
            of = [x for x, want in zip(aliases, wanted, strict=True) if want]
            each = iter(torch.autograd.grad(loss, of, grad, create_graph=True))
            return (*(next(each) if want else None for want in wanted), None)
        found = d_scores @ weight, d_scores.t() @ rows, d_bias
        return (*(found if grad == 1 else [d * grad for d in found]), None)


def _replace_by_gradients(scores: Tensor, bias: Tensor, targets: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """The loss of scores (N, width), whose gradient then stands in their place, and the gradient of the bias."""
    d_bias = bias.new_zeros(thread_count(len(scores), 1, WORK * columns), len(bias))  # of each thread
    pointers = [each.data_ptr() for each in (scores, bias, targets)]
    parts = [_Scores(*scores.shape[:1], columns, len(bias), *pointers, each.data_ptr()) for each in d_bias]
    run(_code(scores.dtype), "cross_entropy", parts)
    return scores.new_tensor(sum(part.loss for part in parts) / len(scores)), d_bias.sum(0)


@cache
def _code(dtype: torch.dtype) -> ctypes.CDLL:
    headers = "".join(f'#include "{name}.h"\n' for name in ("vectors", "share", "scores"))
    code = load(f"#define REAL {C_TYPES[dtype]}\n#include <stdint.h>\n{headers}")
    number = ctypes.c_int64
    code.cross_entropy.argtypes = (ctypes.POINTER(_Scores), number, number, number)
    code.cross_entropy.restype = code.share.restype = None
    return code
