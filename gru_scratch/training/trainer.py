"""A training run, whatever it trains: one object whose complete state can be saved and restored."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from gru_scratch.training.checkpoint import Snapshot
from gru_scratch.training.loop import Meter
from gru_scratch.training.optimizer import Optimizer
from gru_scratch.training.schedule import Bound, Evaluations, Position, Schedule
from gru_scratch.training.state import (
    Record,
    RunState,
    generator_states,
    prefixed,
    restore_generators,
    with_prefix,
)
from gru_scratch.training.task import Task
from gru_scratch.training.update import NotFiniteError, make_update

SHARE_OF_SAVING = 20
"""Saving takes at most 1 / 20 of the time."""

AnyTask = TypeVar("AnyTask", bound=Task)


class Trainer(Generic[AnyTask]):
    """Trains the model of a task, changing `state`, the model, the optimizer and PyTorch's generator, and nothing else.

    Each of several processes has its own Trainer, for its rows of every batch; all call the same methods.
    """

    def __init__(self, task: AnyTask) -> None:
        config = task.config
        self.task, self.config, self.processes = task, config, task.processes
        self.processes.check_batch_size(config.batch_size)
        if self.processes.rank:
            torch.manual_seed(config.seed + self.processes.rank)  # dropout differs from process to process
        self.optimizer = Optimizer(task.model, config)
        self.generator = random.Random(config.seed)
        self.bound = Bound.of(config)
        self.watch: Callable[[], Record] = dict  # what else to put into the record of an evaluation: nothing
        self._take(RunState(planned=self.bound, epoch_start=self.generator.getstate()))

    def _take(self, state: RunState) -> None:
        """Continue from `state`, with the schedule and the evaluations of the bound with which the run began."""
        self.state = state
        self.schedule = Schedule(self.config, state.planned)
        self.evaluations = Evaluations(self.config.eval_every, state.planned)

    def run(
        self,
        *,
        report: Callable[[Record], None] = lambda record: None,
        save: Callable[[], None] = lambda: None,
        should_stop: Callable[[], bool] = lambda: False,
        save_seconds: float | None = None,
    ) -> bool:
        """Train up to the bound, and return True; or False if `should_stop`, called after every update, returns True.

        `report` is called with every record. `save` is called before the first update, whenever `save_seconds` (None:
        as in the options) have passed since the last call, and at the end.

        Raises NotFiniteError, with the epoch and advice, if the loss or a gradient is not finite; nothing is saved
        after that.
        """
        state = self.state
        every = self.config.save_seconds if save_seconds is None else save_seconds
        began = time.monotonic() - state.seconds
        save()
        save_at = time.monotonic() + every
        stopped = False
        before = Position(state.epoch, state.update, state.seconds)
        for now in self._with_advice(self._updates()):
            state.seconds, stops, is_due = self.processes.decide(
                [time.monotonic() - began, should_stop(), time.monotonic() >= save_at]
            )
            now = Position(now.epoch, now.update, state.seconds)
            if self.is_over(now) or self.evaluations.is_record(before, now):
                start = time.monotonic()
                self._close_record(now)
                self.evaluations.took(time.monotonic() - start)
                report(state.history[-1])
            if stops or self.is_over(now):
                stopped = not self.is_over(now)
                break
            if is_due:
                start = time.monotonic()
                save()
                took = time.monotonic() - start
                save_at = start + took + (max(every, SHARE_OF_SAVING * took) if every else 0)
            before = now
        save()
        return not stopped

    def position(self, batches: int) -> Position:
        """The progress of the run, in an epoch of `batches` batches."""
        state = self.state
        part = state.batch / batches if state.batch else 0.0
        return Position(state.epoch + part, state.update, state.seconds)

    def is_over(self, now: Position) -> bool:
        """Whether the bound is reached, or patience has run out."""
        patience = self.config.patience
        return self.bound.share(now) >= 1 or (patience is not None and self.state.waited >= patience)

    def snapshot(self) -> Snapshot:
        """The complete state, from which `restore` in a new Trainer with the same options resumes bitwise."""
        state = self.state.snapshot(self.processes)
        tensors = prefixed("model", self.task.weights())
        tensors |= state.tensors
        tensors |= prefixed("optimizer", self.optimizer.tensors())
        tensors |= generator_states(self.processes, self.task.device)
        return Snapshot(tensors, {**self.task.identity(), **state.record})

    def restore(self, snapshot: Snapshot) -> None:
        """Restore a `snapshot`, with any number of processes. ValueError if it is that of another run."""
        self.task.check(snapshot.record)
        remembered = with_prefix("optimizer", snapshot.tensors)
        self.optimizer.check(remembered)
        self.task.load_weights(with_prefix("model", snapshot.tensors))
        self.optimizer.restore(remembered)
        self._take(RunState.of(snapshot, self.processes, self.task.device))
        seed = hash((self.config.seed, self.state.update, self.processes.rank)) % 2**63
        restore_generators(snapshot.tensors, self.processes, self.task.device, seed)

    def final_weights(self) -> dict[str, Tensor]:
        """The parameters to keep: the last, or those of the lowest held-out loss, as the options say."""
        return self.state.best if self.keeps_best() else self.task.weights()

    def keeps_best(self) -> bool:
        """Whether the parameters to keep are those of the lowest held-out loss."""
        return self.config.keep == "best" and bool(self.state.best)

    @contextmanager
    def with_final_weights(self) -> Iterator[None]:
        """Within the block, the model has the parameters that the run keeps; after it, those that it had."""
        if not self.keeps_best():
            yield
            return
        last = {name: weight.clone() for name, weight in self.task.weights().items()}
        self.task.load_weights(self.state.best)
        try:
            yield
        finally:
            self.task.load_weights(last)

    def _updates(self) -> Iterator[Position]:
        """Make one update after another, and yield the progress after each; nothing if the run is already over."""
        state = self.state
        if self.is_over(self.position(len(self._this_epoch()))):
            return
        while True:
            epoch = self._this_epoch()
            self._set_lr(len(epoch))
            tick = time.perf_counter()
            for i in range(state.batch, len(epoch)):
                loss = self.task.loss(epoch[i], state.carried)
                made = make_update(loss.mean, loss.count, self.optimizer.updater, self.optimizer.clip)
                state.batch += 1
                state.update += 1
                state.carried = loss.carried
                state.meter.add(made.summed_loss, loss.count)
                state.meter.add_update(made.norm, self.config.clip)
                state.meter.seconds += time.perf_counter() - tick
                if state.batch == len(epoch):
                    state.epoch, state.batch, state.carried = state.epoch + 1, 0, ()
                    state.epoch_start = self.generator.getstate()
                yield self.position(len(epoch))
                self._set_lr(len(epoch))
                tick = time.perf_counter()

    def _with_advice(self, positions: Iterator[Position]) -> Iterator[Position]:
        """The same, with the epoch and advice added to a NotFiniteError."""
        try:
            yield from positions
        except NotFiniteError as error:
            raise NotFiniteError(
                f"{error} in epoch {self.state.epoch + 1}: try a lower lr than {self.config.lr:g}, "
                f"or a lower clip than {self.config.clip:g}"
            ) from error

    def _this_epoch(self) -> Sequence[Any]:
        """The current epoch, drawn as it was when it began."""
        self.generator.setstate(self.state.epoch_start)
        return self.task.epoch(self.generator)

    def _set_lr(self, batches: int) -> None:
        if not self.schedule.is_constant:
            self.optimizer.set_lr(self.schedule.lr(self.position(batches)))

    def _close_record(self, now: Position) -> None:
        meter = self.state.meter
        record: Record = {
            "epoch": int(now.epoch) if now.epoch == int(now.epoch) else now.epoch,
            "update": now.update,
            "minutes": now.seconds / 60,
            "train_loss": meter.loss,
            "train_perplexity": json_number(meter.perplexity),
            "tokens": meter.tokens,
            "seconds": meter.seconds,
            "lr": self.optimizer.lr,
            "gradient_norm": meter.summed_norm / meter.updates,
            "clipped_share": meter.clipped / meter.updates,
        }
        if self.is_over(now) or self.evaluations.reads_held_out(now):
            record |= self._evaluate()
            record |= self.watch()
        self.state.history.append(record)
        self.state.meter = Meter()

    def _evaluate(self) -> Record:
        """Read the held-out data, and keep the parameters if their loss is the lowest so far."""
        state, evaluation = self.state, self.task.evaluate() if self.processes.is_first else None
        is_there, loss = self.processes.decide([evaluation is not None, evaluation.loss if evaluation else math.inf])
        if is_there:
            state.waited += 1
            if loss < state.best_loss:
                state.best_loss, state.waited = loss, 0
                if self.processes.is_first:
                    state.best = {name: weight.clone() for name, weight in self.task.weights().items()}
        figures = evaluation.figures if evaluation else {}
        return {name: json_number(value) if isinstance(value, float) else value for name, value in figures.items()}


def json_number(value: float) -> float | None:
    """The number, or None for infinity and NaN, which JSON does not have."""
    return value if math.isfinite(value) else None
