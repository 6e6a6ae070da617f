"""The two ways to update: the book's stochastic gradient descent, and AdamW, which is PyTorch's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gru_scratch.models.language import RNNModel, RNNModelScratch
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.update import grad_clipping, named_parameters, not_finite, sgd

Model = RNNModelScratch | RNNModel


class Optimizer:
    """Updates the parameters of a model at a rate that may change: `optimizer.lr`, then `clip`, then `step`."""

    def __init__(self, config: TrainConfig, model: Model) -> None:
        self.config, self.model = config, model
        self.named = named_parameters(model)
        self.lr = config.lr
        self.inner: torch.optim.Optimizer | None = None
        if config.optimizer == "adamw":
            self.inner = torch.optim.AdamW(
                _groups([param for _, param in self.named], config.weight_decay),
                lr=config.lr,
                betas=(config.beta1, config.beta2),
                fused=True,
            )
        elif isinstance(model, nn.Module):
            self.inner = torch.optim.SGD([param for _, param in self.named], config.lr)

    @property
    def updater(self) -> torch.optim.Optimizer | Callable[[int], object]:
        """What the training loop calls: the optimiser of PyTorch, or the book's own `sgd` for its own models."""
        return self.inner or (lambda batch_size: sgd([param for _, param in self.named], self.lr, batch_size))

    def set_lr(self, lr: float) -> None:
        self.lr = lr
        if self.inner is not None:
            for group in self.inner.param_groups:
                group["lr"] = lr

    def clip(self) -> float:
        """Scale the gradients to the norm `clip` at most, and return what their norm was.

        With sgd in the book's arithmetic, bit for bit; else by PyTorch's kernels for many tensors at once.
        Raises NotFiniteError, which names a parameter, if the norm is not finite.
        """
        if self.config.optimizer == "sgd":
            return grad_clipping(self.model, self.config.clip)
        named = [(name, param.grad) for name, param in self.named if param.grad is not None]
        total = nn.utils.get_total_norm([grad for _, grad in named])
        norm = float(total)
        if not math.isfinite(norm):
            raise not_finite(named, norm)
        if norm > self.config.clip:
            nn.utils.clip_grads_with_norm_([param for _, param in self.named], self.config.clip, total)
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """What the optimiser remembers, by parameter and name."""
        if self.inner is None:
            return {}
        return {
            f"{name}/{key}": value
            for name, param in self.named
            for key, value in self.inner.state.get(param, {}).items()
            if isinstance(value, Tensor)
        }

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """ValueError if `tensors` are those of other parameters than this optimiser's: another engine's."""
        own, found = {name for name, _ in self.named}, {key.rpartition("/")[0] for key in tensors}
        if found and found != own:
            raise ValueError(
                f"what {self.config.optimizer} remembers belongs to other parameters than those of engine "
                f"{self.config.engine}: go on with the engine that the run was made with"
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
