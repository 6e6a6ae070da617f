"""One update of the parameters: clip all gradients together, then step against them.

    g  <-  min(1, theta / ||g||) g        `grad_clipping`
    w  <-  w - lr g / batch_size          `sgd`

Source: "Dive into Deep Learning" 0.17, sections 3.2 (sgd) and 8.5 (gradient clipping).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn


class HasParams(Protocol):
    """A model made of functions, as `RNNModelScratch`: its parameters are a list."""

    @property
    def params(self) -> Sequence[Tensor]: ...


Updater = torch.optim.Optimizer | Callable[[int], object]
"""An optimizer, or a function of the batch size that updates the parameters and zeroes their gradients."""


class NotFiniteError(ValueError):
    """A loss or a gradient became infinite or not a number: training cannot go on from here."""


@dataclass(frozen=True)
class Made:
    """A completed update of the parameters."""

    summed_loss: float
    """The summed loss of the batch before the update, in nats."""
    norm: float
    """The norm of all gradients together, before clipping."""


def make_update(mean: Tensor, count: int, updater: Updater, clip: Callable[[], float]) -> Made:
    """Step against the gradient of `mean`, a loss of `count` things; `clip` clips it and returns its norm.

    Raises NotFiniteError before an update with a loss or gradient that is not finite: the parameters are unchanged.
    """
    summed_loss = float(mean.detach() * count)
    if not math.isfinite(summed_loss):
        raise NotFiniteError(f"the loss became NaN or infinite ({summed_loss})")
    if isinstance(updater, torch.optim.Optimizer):
        updater.zero_grad()
    mean.backward()  # type: ignore[no-untyped-call]
    norm = clip()
    if isinstance(updater, torch.optim.Optimizer):
        updater.step()
    else:
        updater(1)  # the loss is a mean already
    return Made(summed_loss, norm)


def named_parameters(net: nn.Module | HasParams) -> list[tuple[str, Tensor]]:
    """Every parameter that is trained, with a name for messages: a module's own, or `params[3]`."""
    if isinstance(net, nn.Module):
        return [(name, param) for name, param in net.named_parameters() if param.requires_grad]
    return [(f"params[{i}]", param) for i, param in enumerate(net.params) if param.requires_grad]


def sgd(params: Iterable[Tensor], lr: float, batch_size: int) -> None:
    """Minibatch stochastic gradient descent, w <- w - lr * grad / batch_size; then the gradients are zero.

    Parameters that have no gradient stay as they are.
    """
    with torch.no_grad():
        for param in params:
            if param.grad is not None:
                param -= lr * param.grad / batch_size
                param.grad.zero_()


def grad_clipping(net: nn.Module | HasParams, theta: float = 1.0) -> float:
    """Scale all gradients by theta / norm if their common norm is above theta; return that norm, before scaling.

    The norm is that of one vector made of every gradient: sqrt(sum over parameters of sum(grad ** 2)).
    Parameters that have no gradient are left alone.

    Raises NotFiniteError, which names the parameter, if the norm is not finite; the gradients are then unchanged.
    """
    if not theta > 0:
        raise ValueError(f"the largest norm must be a number above 0, received {theta}")
    named = [(name, param.grad) for name, param in named_parameters(net) if param.grad is not None]
    if not named:
        return 0.0
    # From the first to the last, in float32, as the book sums them: that keeps runs bitwise the same.
    squares = [torch.sum(grad**2) for _, grad in named]
    norm_tensor = torch.sqrt(functools.reduce(torch.add, squares))
    norm = float(norm_tensor)
    if not math.isfinite(norm):
        raise not_finite(named, norm)
    if norm > theta:
        for _, grad in named:
            grad.mul_(theta / norm_tensor)
    return norm


def not_finite(named: Sequence[tuple[str, Tensor]], norm: float) -> NotFiniteError:
    """The error that names the faulty gradient: the first that is not finite itself, else the largest."""
    shares = [float(torch.sum(grad**2)) for _, grad in named]
    guilty = next((i for i, share in enumerate(shares) if not math.isfinite(share)), None)
    if guilty is None:
        guilty = max(range(len(shares)), key=shares.__getitem__)
    name, grad = named[guilty]
    return NotFiniteError(
        f"the norm of the gradients is {norm}: the gradient of {name}, of shape {tuple(grad.shape)}, is to blame"
    )
