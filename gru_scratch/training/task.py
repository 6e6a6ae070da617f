"""What `gru_scratch.training.trainer.Trainer` asks of the thing that it trains."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gru_scratch.training.options import RunOptions
from gru_scratch.training.processes import Processes
from gru_scratch.training.update import HasParams

Carried = tuple[Tensor, ...]
"""The state that one batch leaves to the next, without gradient: tensors (layers, B, H), or none."""


@dataclass(frozen=True)
class BatchLoss:
    """The loss of a model on a batch."""

    mean: Tensor
    """The loss to minimise, a mean over `count` tokens or labels; the same number in all processes."""
    count: int
    """The tokens or labels in the batch, of all processes together."""
    carried: Carried = ()
    """The state for the next batch of the same epoch."""


@dataclass(frozen=True)
class Evaluation:
    """The result of a model on data that it is not trained on."""

    loss: float
    """The lowest is the best: it decides which parameters are kept, and when patience is at its end."""
    figures: dict[str, Any]
    """Further entries of the record, as JSON values, among them by custom `held_out_loss`."""


class Task(Protocol):
    """A model, its data and its loss: what distinguishes one kind of run from another.

    The Trainer owns the rest: updates, clipping, the optimizer, the schedule, the bound, when to evaluate, records, the
    best parameters, and the state with which a run resumes bitwise. `gru_scratch.training.text_task.TextTask` is an
    example, and so is this, a classifier of vectors:

        class Classify:
            processes = ONE_PROCESS

            def __init__(self, config, model, device, train, held_out): ...

            def epoch(self, generator):
                order = generator.sample(range(len(self.train.x)), len(self.train.x))
                return torch.tensor(order).split(self.config.batch_size)

            def loss(self, batch, carried):
                x, y = self.train.x[batch], self.train.y[batch]
                return BatchLoss(F.cross_entropy(self.model(x), y), len(y))

            def evaluate(self):
                loss = F.cross_entropy(self.model(self.held_out.x), self.held_out.y).item()
                return Evaluation(loss, {"held_out_loss": loss})

            def weights(self):
                return {name: weight.detach() for name, weight in self.model.state_dict().items()}

            def load_weights(self, weights):
                self.model.load_state_dict(weights)

            def identity(self):
                return {"options": self.config.to_json()}

            def check(self, identity):
                self.config.check_goes_on(identity["options"])

            def files(self):
                return {"config.json": json.dumps({"options": self.config.to_json()}).encode()}

            title = "a classifier"
    """

    @property
    def config(self) -> RunOptions:
        """The options of the run."""

    @property
    def model(self) -> nn.Module | HasParams:
        """The model whose parameters are updated."""

    @property
    def device(self) -> torch.device:
        """The device of the model."""

    @property
    def processes(self) -> Processes:
        """The processes that train together; every method is called in all of them, except for `evaluate`."""

    @property
    def title(self) -> str:
        """The title of the picture of the run."""

    def epoch(self, generator: random.Random) -> Sequence[Any]:
        """Draw the next epoch and return its batches, each in the form that `loss` takes.

        All random numbers are drawn here, from `generator` alone, and batch `i` depends on nothing but `i`: so a place
        in the data is the generator's state before this call, and `i`.
        """

    def loss(self, batch: Any, carried: Carried) -> BatchLoss:
        """The loss of a batch, with its graph. `carried` is the state left by the batch before it in the same epoch.

        Each of several processes computes its own rows, and their gradients are averaged.
        """

    def evaluate(self) -> Evaluation | None:
        """Evaluate on the held-out data, None without any; called between two updates, in the first process alone."""

    def weights(self) -> dict[str, Tensor]:
        """All parameters and buffers, for reading only."""

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Give the model the parameters that `weights` returned. ValueError if they are those of another model."""

    def identity(self) -> dict[str, Any]:
        """The run's options and a checksum of its data, as JSON values that are saved with its state."""

    def check(self, identity: Mapping[str, Any]) -> None:
        """Raise ValueError unless a state that was saved with this identity belongs to this run."""

    def files(self) -> dict[str, bytes]:
        """Further files of the run folder, by name, with which the model can be read back."""
