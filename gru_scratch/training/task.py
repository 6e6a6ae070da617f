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
"""What one batch leaves to the next, with no gradient: tensors (layers, B, H), or none."""


@dataclass(frozen=True)
class BatchLoss:
    """What a model says of a batch."""

    mean: Tensor
    """The loss to go down, a mean over `count` things; the same number in all processes."""
    count: int
    """Tokens (or labels) of the whole batch, of all processes together."""
    carried: Carried = ()
    """For the next batch of the same epoch."""


@dataclass(frozen=True)
class Evaluation:
    """What a model is worth on data that it is not trained on."""

    loss: float
    """The lowest is the best: it decides which parameters are kept, and when patience is at its end."""
    figures: dict[str, Any]
    """What the record says of it, as JSON values; `held_out_loss` is by custom one of them."""


class Task(Protocol):
    """A model, its data and its loss: all that one kind of run has of its own.

    The Trainer owns the rest: updates, clipping, the optimizer, the schedule, the bound, when to evaluate, records, the
    best parameters, and the state that is saved and gone on with, bitwise. `gru_scratch.training.text_task.TextTask` is
    an example, and so is this, a classifier of vectors:

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
        """Whose parameters are updated."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""

    @property
    def processes(self) -> Processes:
        """That train together; every method is called in all of them, but for `evaluate`."""

    @property
    def title(self) -> str:
        """What the picture of the run is called."""

    def epoch(self, generator: random.Random) -> Sequence[Any]:
        """Draw the next epoch and give its batches, each whatever `loss` takes.

        What is left to chance is drawn here, from `generator` alone, and batch `i` depends on nothing else than `i`:
        so a place in the data is the generator's state before this call, and `i`.
        """

    def loss(self, batch: Any, carried: Carried) -> BatchLoss:
        """The loss of a batch, with its graph. `carried` is what the batch before it left; none for an epoch's first.

        Of several processes each computes its own rows, and their gradients are averaged.
        """

    def evaluate(self) -> Evaluation | None:
        """Read the held-out data; None where there is none. Called in the first process alone, between two updates."""

    def weights(self) -> dict[str, Tensor]:
        """All parameters and buffers, for reading only."""

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Give the model what `weights` read. ValueError if they are another model's."""

    def identity(self) -> dict[str, Any]:
        """What the run is made of (its options, a sum of its data), as JSON values that are saved with its state."""

    def check(self, identity: Mapping[str, Any]) -> None:
        """ValueError unless a state that was saved with this identity is one of this run."""

    def files(self) -> dict[str, bytes]:
        """What is written into the run folder beside the parameters, by name: what reading the model back needs."""
