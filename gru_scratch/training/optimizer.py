"""The two ways to update: the book's stochastic gradient descent, and AdamW, which is PyTorch's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gru_scratch.training.options import OptimisationOptions
from gru_scratch.training.update import HasParams, Updater, grad_clipping, named_parameters, not_finite, sgd


class Optimizer:
    """Updates the parameters of a model at a rate that may change: `optimizer.lr`, then `clip`, then `step`."""

    def __init__(self, model: nn.Module | HasParams, options: OptimisationOptions) -> None:
        self.model, self.kind, self.theta, self.lr = model, options.optimizer, options.clip, options.lr
        self.named = named_parameters(model)
        self.inner: torch.optim.Optimizer | None = None
        if self.kind == "adamw":
            self.inner = torch.optim.AdamW(
                _groups([param for _, param in self.named], options.weight_decay),
                lr=options.lr,
                betas=(options.beta1, options.beta2),
                fused=True,
            )
        elif isinstance(model, nn.Module):
            self.inner = torch.optim.SGD([param for _, param in self.named], options.lr)

    @property
    def updater(self) -> Updater:
        """What makes an update: the optimizer of PyTorch, or the book's own `sgd` for its own models."""
        return self.inner or (lambda batch_size: sgd([param for _, param in self.named], self.lr, batch_size))

    def set_lr(self, lr: float) -> None:
        self.lr = lr
        if self.inner is not None:
            for group in self.inner.param_groups:
                group["lr"] = lr

    def clip(self) -> float:
        """Scale the gradients to the norm `theta` at most, and return what their norm was.

        With sgd in the book's arithmetic, bit for bit; else by PyTorch's kernels for many tensors at once.
        Raises NotFiniteError, which names a parameter, if the norm is not finite.
        """
        if self.kind == "sgd":
            return grad_clipping(self.model, self.theta)
        named = [(name, param.grad) for name, param in self.named if param.grad is not None]
        total = nn.utils.get_total_norm([grad for _, grad in named])
        norm = float(total)
        if not math.isfinite(norm):
            raise not_finite(named, norm)
        if norm > self.theta:
            nn.utils.clip_grads_with_norm_([param for _, param in self.named], self.theta, total)
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """What the optimizer remembers, by parameter and name."""
        if self.inner is None:
            return {}
        return {
            f"{name}/{key}": value
            for name, param in self.named
            for key, value in self.inner.state.get(param, {}).items()
            if isinstance(value, Tensor)
        }

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """ValueError if `tensors` are those of other parameters than this optimizer's: another engine's."""
        own, found = {name for name, _ in self.named}, {key.rpartition("/")[0] for key in tensors}
        if found and found != own:
            raise ValueError(
                f"what {self.kind} remembers belongs to other parameters than those of this model: "
                "go on with the engine that the run was made with"
            )

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` took."""
        if self.inner is None:
            return
        for name, param in self.named:
            found: dict[str, Any] = {
                key.rpartition("/")[2]: value.to(param.device)
                for key, value in tensors.items()
                if key.rpartition("/")[0] == name
            }
            if found:
                self.inner.state[param] = found


def _groups(params: Sequence[Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; vectors, which are biases and gains, do not."""
    return [
        {"params": [param for param in params if param.dim() > 1], "weight_decay": weight_decay},
        {"params": [param for param in params if param.dim() <= 1], "weight_decay": 0.0},
    ]
