"""When a run ends, and its learning rate until then.

lr(p) = lr                                                          constant
lr(p) = min_lr + (lr - min_lr) (1 + cos(pi p)) / 2                  cosine, p = share of the run that is done
lr    = lr(p) (update + 1) / warmup                                 in the first `warmup` updates
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gru_scratch.training.options import EndOptions, OptimisationOptions

EVALUATIONS = 50
"""About how often a run reads the held-out data."""
MOST_VAL_TOKENS = 1_000_000
"""The most tokens that an evaluation reads by default."""


@dataclass(frozen=True)
class Position:
    """The progress of a run."""

    epoch: float
    """Passes over the training data, fractions included."""
    update: int
    seconds: float


@dataclass(frozen=True)
class Bound:
    """The end of a run: of one kind, `epochs`, `max_updates` or `minutes`."""

    kind: str
    value: float

    @classmethod
    def of(cls, options: EndOptions) -> Bound:
        for kind in ("max_updates", "minutes"):
            value = getattr(options, kind)
            if value is not None:
                return cls(kind, value)
        return cls("epochs", options.epochs)

    def share(self, position: Position) -> float:
        """The share of the run that is done, 1 at its end."""
        done = {"epochs": position.epoch, "max_updates": position.update, "minutes": position.seconds / 60}
        return done[self.kind] / self.value

    def of_epochs(self) -> str:
        """Words for messages: " of" and the number of epochs, if it is known."""
        return f" of {self.value}" if self.kind == "epochs" else ""


class Schedule:
    """The learning rate of each update.

    `planned` is the bound with which the run began: a run that is resumed with a later one continues at the final rate.
    """

    def __init__(self, options: OptimisationOptions, planned: Bound) -> None:
        self.options, self.planned = options, planned
        self.is_constant = options.schedule == "constant" and not options.warmup

    def lr(self, position: Position) -> float:
        options = self.options
        rate = options.lr
        if options.schedule == "cosine":
            share = min(self.planned.share(position), 1.0)
            least = options.lr / 10 if options.min_lr is None else options.min_lr
            rate = least + (options.lr - least) * (1 + math.cos(math.pi * share)) / 2
        if position.update < options.warmup:
            rate *= (position.update + 1) / options.warmup
        return rate


class Evaluations:
    """When a record ends and the held-out data are read: about `EVALUATIONS` times in the planned run.

    A run by epochs also has a record of each epoch; `--eval-every` sets the number of updates between two. A run by the
    clock evaluates less often if that would take more than a twentieth of the time.
    """

    def __init__(self, eval_every: int | None, planned: Bound) -> None:
        self.eval_every, self.planned = eval_every, planned
        self.cost = 0.0

    def took(self, seconds: float) -> None:
        """Record how long the last evaluation took."""
        self.cost = seconds

    def is_record(self, before: Position, now: Position) -> bool:
        """Whether a record ends with the update that led from `before` to `now`."""
        if self.eval_every is not None:
            return now.update % self.eval_every == 0
        if self.planned.kind == "epochs":
            return now.epoch == int(now.epoch)
        if self.planned.kind == "max_updates":
            return now.update % max(1, int(self.planned.value) // EVALUATIONS) == 0
        every = max(60 * self.planned.value / EVALUATIONS, 20 * self.cost)
        parts = [int(position.seconds / every) for position in (before, now)]
        return parts[0] < parts[1]

    def count(self, updates: float) -> int:
        """The number of evaluations in a run of so many updates that is not bound by the clock."""
        if self.eval_every is not None:
            return max(1, math.ceil(updates / self.eval_every))
        return math.ceil(self.planned.value / max(1, int(self.planned.value) // EVALUATIONS))

    def reads_held_out(self, now: Position) -> bool:
        """Whether the held-out data are read for a record that ends at `now`."""
        if self.eval_every is not None or self.planned.kind != "epochs":
            return True
        return now.epoch % max(1, int(self.planned.value) // EVALUATIONS) == 0


def evaluation_tokens(eval_every: int | None, planned: Bound, batch_tokens: int, train_tokens: int) -> int:
    """The tokens that an evaluation may read, so that all together read at most a tenth as many as training does.

    It depends on counts alone, so that runs repeat. A run by the clock limits the time of its evaluations instead.

    Args:
        eval_every: updates between two evaluations (None: chosen from `planned`).
        planned: the bound with which the run began.
        batch_tokens: the tokens that an update reads.
        train_tokens: the tokens of the training part.
    """
    if planned.kind == "minutes":
        return MOST_VAL_TOKENS
    updates = planned.value * (1 if planned.kind == "max_updates" else max(1, train_tokens // batch_tokens))
    each = updates * batch_tokens / (10 * Evaluations(eval_every, planned).count(updates))
    return max(2, min(MOST_VAL_TOKENS, int(each)))
