"""A run of training as one object whose whole state can be taken, kept and put back."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from gru_scratch.cells import CellFile
from gru_scratch.text.batches import Batch, Epoch, SequenceLoader
from gru_scratch.training import snapshots
from gru_scratch.training.build import Model, get_weights
from gru_scratch.training.checkpoint import Snapshot
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.data import RunText
from gru_scratch.training.evaluate import evaluate
from gru_scratch.training.forward import ForwardModel, MeanLoss
from gru_scratch.training.loop import Meter, State, perplexity, updates
from gru_scratch.training.optimizer import Optimizer
from gru_scratch.training.processes import ONE_PROCESS, Processes
from gru_scratch.training.schedule import Bound, Evaluations, Position, Schedule
from gru_scratch.training.update import NotFiniteError

Record = dict[str, Any]
"""What is known of a stretch of training; JSON values."""

SHARE_OF_SAVING = 20
"""Saving takes one part in so many of the time, at most."""


class Trainer:
    """Trains `model` on a text: one object, whose state is

    - the parameters, and what the optimiser remembers,
    - `epoch`, whole epochs made; `batch`, batches made of the next one; `update`, updates made; `seconds` of running,
    - `meter`, totals since the last record; `history`, the records,
    - `carried`, the model's state after the last batch (sequential sampling),
    - `epoch_start`, the state of the generator of batches when the epoch began: with `batch`, the place in the data,
    - PyTorch's generator,
    - `planned`, the bound that the run was begun with,
    - `best`, the parameters of the lowest held-out loss, `best_loss`, and `waited`, evaluations since.

    Under several processes each has a Trainer of its own, on its rows of every batch; all call the same methods.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: Model,
        text: RunText,
        device: torch.device,
        cell_file: CellFile | None = None,
        processes: Processes = ONE_PROCESS,
    ) -> None:
        """`cell_file` is the file that a user's cell was loaded from; None for a shipped cell."""
        config.validate()
        processes.check_batch_size(config.batch_size)
        self.config, self.model, self.text, self.device = config, model, text, device
        self.cell_file, self.processes = cell_file, processes
        self.generator = random.Random(config.seed)
        self.loader = SequenceLoader(
            text.train,
            config.batch_size,
            config.num_steps,
            use_random_iter=config.sampling == "random",
            generator=self.generator,
        )
        if processes.rank:
            torch.manual_seed(config.seed + processes.rank)  # dropout differs from process to process
        self.forward = ForwardModel(config, model, device, processes)
        self.loss = MeanLoss(processes)
        self.optimizer = Optimizer(config, model)
        self.bound = Bound.of(config)
        self.plan(self.bound)
        self.epoch = self.batch = self.update = 0
        self.seconds = 0.0
        self.meter = Meter()
        self.carried: State = None
        self.epoch_start = self.generator.getstate()
        self.history: list[Record] = []
        self.watch: Callable[[], Record] = dict  # what else to put into the record of an evaluation: nothing
        self.best: dict[str, Tensor] = {}
        self.best_loss = math.inf
        self.waited = 0

    def plan(self, planned: Bound) -> None:
        """Take schedule and evaluations from the bound that the run was begun with."""
        self.planned = planned
        self.schedule = Schedule(self.config, planned)
        self.evaluations = Evaluations(self.config, planned)

    def run(
        self,
        *,
        report: Callable[[Record], None] = lambda record: None,
        save: Callable[[], None] = lambda: None,
        should_stop: Callable[[], bool] = lambda: False,
        save_seconds: float | None = None,
    ) -> bool:
        """Train up to the bound (True), or until `should_stop`, asked after every update, says so (False).

        `report` is told of every record. `save` is called before the first update, whenever `save_seconds` (None: as
        the options say) have passed since it was last called, and at the end.

        Raises NotFiniteError, with the epoch and advice, if the loss or a gradient is no longer a number; what was
        saved last then stays as it is.
        """
        every = self.config.save_seconds if save_seconds is None else save_seconds
        began = time.monotonic() - self.seconds
        save()
        save_at = time.monotonic() + every
        stopped = False
        before = Position(self.epoch, self.update, self.seconds)
        for now in self._with_advice(self._updates()):
            self.seconds, stops, is_due = self.processes.decide(
                [time.monotonic() - began, should_stop(), time.monotonic() >= save_at]
            )
            now = Position(now.epoch, now.update, self.seconds)
            if self.is_over(now) or self.evaluations.is_record(before, now):
                start = time.monotonic()
                self._close_record(now)
                self.evaluations.took(time.monotonic() - start)
                report(self.history[-1])
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
        """How far the run is, where an epoch has so many batches."""
        part = self.batch / batches if self.batch else 0.0
        return Position(self.epoch + part, self.update, self.seconds)

    def is_over(self, now: Position) -> bool:
        """Whether the bound is reached, or patience is at its end."""
        config = self.config
        return self.bound.share(now) >= 1 or (config.patience is not None and self.waited >= config.patience)

    def snapshot(self) -> Snapshot:
        """The whole state, such that `restore` in a new Trainer of the same options goes on to the same bits."""
        return snapshots.take(self)

    def restore(self, snapshot: Snapshot) -> None:
        """Put back what `snapshot` took, under any engine that has its cell, with any number of processes.

        Raises ValueError if it was taken of another text, under other options or of a cell that has changed.
        """
        snapshots.put_back(self, snapshot)

    def final_weights(self) -> dict[str, Tensor]:
        """The parameters to keep: the last, or those of the lowest held-out loss, as the options say."""
        return self.best if self.keeps_best() else get_weights(self.config, self.model)

    def keeps_best(self) -> bool:
        """Whether the parameters to keep are those of the lowest held-out loss."""
        return self.config.keep == "best" and bool(self.best)

    def _updates(self) -> Iterator[Position]:
        """Make one update after another; after each, how far the run is. None if the run is over already."""
        if self.is_over(self.position(len(self._this_epoch()))):
            return
        while True:
            epoch = self._this_epoch()
            self._set_lr(len(epoch))
            tick = time.perf_counter()
            for made in updates(
                self.forward,
                self._batches(epoch),
                self.loss,
                self.optimizer.updater,
                self.device,
                carry_state=self.config.sampling == "sequential",
                clip=self.optimizer.clip,
                state=self.carried,
            ):
                self.batch += 1
                self.update += 1
                self.carried = made.state
                self.meter.add(made.summed_loss * self.processes.count, made.tokens * self.processes.count)
                self.meter.add_update(made.norm, self.config.clip)
                self.meter.seconds += time.perf_counter() - tick
                if self.batch == len(epoch):
                    self.epoch, self.batch, self.carried = self.epoch + 1, 0, None
                    self.epoch_start = self.generator.getstate()
                yield self.position(len(epoch))
                self._set_lr(len(epoch))
                tick = time.perf_counter()

    def _with_advice(self, positions: Iterator[Position]) -> Iterator[Position]:
        """The same, where a NotFiniteError says in which epoch it was raised, and what may help."""
        try:
            yield from positions
        except NotFiniteError as error:
            raise NotFiniteError(
                f"{error} in epoch {self.epoch + 1}: try a lower lr than {self.config.lr:g}, "
                f"or a lower clip than {self.config.clip:g}"
            ) from error

    def _this_epoch(self) -> Epoch:
        """The epoch that the run stands in, drawn as it was when it began."""
        self.generator.setstate(self.epoch_start)
        return self.loader.epoch()

    def _batches(self, epoch: Epoch) -> Iterator[Batch]:
        """The rest of an epoch, this process's rows of it."""
        for i in range(self.batch, len(epoch)):
            X, Y = epoch[i]
            yield self.processes.own_rows(X), self.processes.own_rows(Y)

    def _set_lr(self, batches: int) -> None:
        if not self.schedule.is_constant:
            self.optimizer.set_lr(self.schedule.lr(self.position(batches)))

    def _close_record(self, now: Position) -> None:
        meter = self.meter
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
            if len(self.text.held_out):
                loss = self._held_out_loss()
                record["held_out_loss"] = json_number(loss)
                record["held_out_perplexity"] = json_number(perplexity(loss))
                self._compare(loss)
            record |= self.watch()
        self.history.append(record)
        self.meter = Meter()

    def _held_out_loss(self) -> float:
        config, loss = self.config, 0.0
        if self.processes.is_first:
            net = self.forward if self.processes.count == 1 else self.forward.alone()
            loss = evaluate(
                net, self.text.held_out, self.device, rows=config.batch_size, num_steps=config.num_steps
            ).loss
        return self.processes.decide([loss])[0]

    def _compare(self, loss: float) -> None:
        """Keep the parameters if their held-out loss is the lowest so far."""
        self.waited += 1
        if loss < self.best_loss:
            self.best_loss, self.waited = loss, 0
            if self.processes.is_first:
                self.best = {name: weight.clone() for name, weight in get_weights(self.config, self.model).items()}


def json_number(value: float) -> float | None:
    """JSON has no infinity and nothing that is not a number."""
    return value if math.isfinite(value) else None
