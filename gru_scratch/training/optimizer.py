"""The two optimizers: the book's stochastic gradient descent, and PyTorch's AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gru_scratch.training.options import OptimisationOptions
from gru_scratch.training.update import HasParams, Updater, grad_clipping, named_parameters, not_finite, sgd


class Optimizer:
    """Updates the parameters of a model, at a learning rate that may change from update to update."""

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
        """The object that makes an update: PyTorch's optimizer, or for the book's own models its function `sgd`."""
        return self.inner or (lambda batch_size: sgd([param for _, param in self.named], self.lr, batch_size))

    def set_lr(self, lr: float) -> None:
        self.lr = lr
        if self.inner is not None:
            for group in self.inner.param_groups:
                group["lr"] = lr

    def clip(self) -> float:
        """Scale the gradients to the norm `theta` at most, and return their norm before scaling.

        With sgd the arithmetic is bitwise the book's; else it is that of PyTorch's kernels for many tensors at once.
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
        """The state of the optimizer, by parameter and name."""
        if self.inner is None:
            return {}
        return {
            f"{name}/{key}": value
            for name, param in self.named
            for key, value in self.inner.state.get(param, {}).items()
            if isinstance(value, Tensor)
        }

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Raise ValueError if `tensors` belong to other parameters than this optimizer's, as another engine's do."""
        own, given = {name for name, _ in self.named}, {key.rpartition("/")[0] for key in tensors}
        if given and given != own:
            raise ValueError(
                f"the state of {self.kind} belongs to other parameters than those of this model: "
                "resume with the engine that the run was made with"
            )

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state that `tensors` returned."""
        if self.inner is None:
            return
        for name, param in self.named:
            restored: dict[str, Any] = {
                key.rpartition("/")[2]: value.to(param.device)
                for key, value in tensors.items()
                if key.rpartition("/")[0] == name
            }
            if restored:
                self.inner.state[param] = restored


def _groups(params: Sequence[Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """The parameter groups of AdamW: matrices decay; vectors, which are biases and gains, do not."""
    return [
        {"params": [param for param in params if param.dim() > 1], "weight_decay": weight_decay},
        {"params": [param for param in params if param.dim() <= 1], "weight_decay": 0.0},
    ]
