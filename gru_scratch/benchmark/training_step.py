"""A whole training step, the thing that is timed: forward, cross-entropy, backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.benchmark.setting import Setting
from gru_scratch.convert import scratch_to_torch
from gru_scratch.models.language import RNNModel


class Batch(NamedTuple):
    """One minibatch; all programs get the same."""

    X: Tensor  # (B, T) token indices, or (B, T, D)
    y: Tensor  # (T * B,) the tokens to predict, the first step of all sequences first


def draw_batch(setting: Setting, device: torch.device, seed: int = 0) -> Batch:
    """Random tokens or numbers: how long a step takes does not depend on which."""
    generator = torch.Generator().manual_seed(seed)
    shape = setting.batch_size, setting.num_steps
    if setting.input == "tokens":
        X = torch.randint(setting.vocab_size, shape, generator=generator)
    else:
        X = torch.randn(*shape, setting.input_size, generator=generator)
    y = torch.randint(setting.vocab_size, (setting.tokens,), generator=generator)
    X, y = X.to(device), y.to(device)
    return Batch(X.requires_grad_(setting.input == "dense-with-gradient"), y)


class TrainingStep:
    """One program's step on one minibatch. The parameters are not changed, so that all steps are the same.

    Args:
        loss: the forward pass, → the mean cross-entropy.
        batch: the minibatch.
        parameters: what gradients are taken with respect to, besides the input if it requires one.
        gradients: these gradients, once they are there, under the names of `RNNModel`.
    """

    note = ""
    """What a reader of its figures should know."""

    def __init__(
        self,
        loss: Callable[[], Tensor],
        batch: Batch,
        parameters: Sequence[Tensor],
        gradients: Callable[[], dict[str, Tensor]],
    ) -> None:
        self._loss, self._batch, self._gradients = loss, batch, gradients
        self._parameters = [*parameters, batch.X]

    def __call__(self) -> Tensor:
        """Run it; the loss."""
        self.clear()
        loss = self._loss()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def clear(self) -> None:
        """Let go of the gradients of the step before."""
        for parameter in self._parameters:
            parameter.grad = None

    def values(self) -> dict[str, Tensor]:
        """Run it; the loss, the gradient of each parameter, and that of the input if it requires one."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # for a cell that draws masks
            found = {"loss": self().detach(), **self._gradients()}
        if self._batch.X.grad is not None:
            found["input"] = self._batch.X.grad
        self.clear()
        return found


class DenseModel(RNNModel):
    """`RNNModel` for a layer with `batch_first`, on (B, T, D) numbers instead of tokens."""

    def forward(self, inputs: Tensor, state: object, targets: Tensor | None = None) -> tuple[Tensor, object]:
        Y, state = self.rnn(inputs, state)  # (B, T, H)
        rows = Y.transpose(0, 1).reshape(-1, Y.shape[-1])
        return self.linear(rows) if targets is None else self.cross_entropy(rows, targets), state


def step_of_module(model: RNNModel, batch: Batch, compiled: Callable[..., tuple[Tensor, object]]) -> TrainingStep:
    """The step of a module; `compiled` is the module itself, or `torch.compile` of it."""
    batch_size, device = len(batch.X), batch.X.device

    def loss() -> Tensor:
        state = model.begin_state(device=device, batch_size=batch_size)
        if compiled is model:
            return model(batch.X, state, batch.y)[0]  # type: ignore[no-any-return]
        return F.cross_entropy(compiled(batch.X, state)[0], batch.y)

    def gradients() -> dict[str, Tensor]:
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    return TrainingStep(loss, batch, list(model.parameters()), gradients)


def step_of_functions(cell: str, model: Any, batch: Batch) -> TrainingStep:
    """The step of an `RNNModelScratch`; `cell` as `scratch_to_torch` names it."""
    X, params, dense = batch.X, list(model.params), batch.X.is_floating_point()

    def loss() -> Tensor:
        state = model.begin_state(len(X), X.device)
        scores, _ = model.forward_fn(X.transpose(0, 1), state, params) if dense else model(X, state)
        return F.cross_entropy(scores, batch.y)

    return TrainingStep(loss, batch, params, lambda: _torch_names(cell, params))


def _torch_names(cell: str, params: Sequence[Tensor]) -> dict[str, Tensor]:
    """The gradients of the book's parameters under the names of `RNNModel`: of two biases that are only added, each
    has the gradient of the sum."""
    gradients = [p.grad for p in params if p.grad is not None]
    if len(gradients) < len(params):
        return {}
    found = scratch_to_torch(cell, gradients)
    of_sum, of_second = found["rnn.bias_ih_l0"], found["rnn.bias_hh_l0"]
    shared = len(of_sum) - (len(params[9]) if cell == "gru_reset_after" else 0)  # its candidate has two apart
    return {**found, "rnn.bias_hh_l0": torch.cat([of_sum[:shared], of_second[shared:]])}
