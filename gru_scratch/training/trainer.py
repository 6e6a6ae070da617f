"""A run of training as one object whose whole state can be taken, kept and put back."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from gru_scratch.cells import CellFile
from gru_scratch.text.batches import SequenceLoader
from gru_scratch.training.build import Model, get_weights, set_weights, state_from_rows, state_to_rows
from gru_scratch.training.checkpoint import Snapshot
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.data import RunText
from gru_scratch.training.loop import Meter, State, Updater, evaluate, updates
from gru_scratch.training.update import NotFiniteError, sgd

Record = dict[str, Any]
"""What is known of one epoch; JSON values."""

MAY_DIFFER = ("epochs", "out", "text", "device", "engine", "reset_after")
"""Options that may be others when a run goes on; the text and where the reset gate acts are compared as such."""

EVALUATIONS = 50
"""How often in a run the held-out text is read, about."""


class Trainer:
    """Trains `model` on a text: one object, whose state is

    - the parameters,
    - `epoch`, whole epochs made; `batch`, batches made of the next one; `meter`, its totals so far,
    - `carried`, the model's state after the last batch (sequential sampling),
    - `epoch_start`, the state of the generator of batches when the epoch began: with `batch`, the place in the data,
    - PyTorch's generator,
    - `history`, a record of every epoch made.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: Model,
        text: RunText,
        device: torch.device,
        cell_file: CellFile | None = None,
    ) -> None:
        """`cell_file` is the file that a user's cell was loaded from; None for a shipped cell."""
        config.validate()
        self.config, self.model, self.text, self.device = config, model, text, device
        self.cell_file = cell_file
        self.generator = random.Random(config.seed)
        self.loader = SequenceLoader(
            text.train,
            config.batch_size,
            config.num_steps,
            use_random_iter=config.sampling == "random",
            generator=self.generator,
        )
        self.loss = nn.CrossEntropyLoss()
        self.updater = _updater(model, config.lr)
        self.epoch = 0
        self.batch = 0
        self.meter = Meter()
        self.carried: State = None
        self.epoch_start = self.generator.getstate()
        self.history: list[Record] = []

    def run(
        self,
        *,
        report: Callable[[Record], None] = lambda record: None,
        save: Callable[[], None] = lambda: None,
        should_stop: Callable[[], bool] = lambda: False,
        save_seconds: float = 10.0,
    ) -> bool:
        """Train up to the last epoch (True), or until `should_stop`, asked after every update, says so (False).

        `report` is told of every epoch. `save` is called before the first update, at the ends of epochs when
        `save_seconds` have passed since it was last called, and at the end.

        Raises NotFiniteError, with the epoch and advice, if the loss or a gradient is no longer a number; what was
        saved last then stays as it is.
        """
        save()
        saved = time.monotonic()
        while self.epoch < self.config.epochs:
            try:
                whole = self._train_epoch(should_stop)
            except NotFiniteError as error:
                raise NotFiniteError(
                    f"{error} in epoch {self.epoch + 1}: try a lower lr than {self.config.lr:g}, "
                    f"or a lower clip than {self.config.clip:g}"
                ) from error
            if whole:
                report(self.history[-1])
            if should_stop():
                break
            if time.monotonic() - saved > save_seconds and self.epoch < self.config.epochs:
                save()
                saved = time.monotonic()
        save()
        return self.epoch == self.config.epochs

    def snapshot(self) -> Snapshot:
        """The whole state, such that `restore` in a new Trainer of the same options goes on to the same bits."""
        tensors = {f"model.{name}": weight for name, weight in get_weights(self.config, self.model).items()}
        tensors |= {f"carried.{i}": part for i, part in enumerate(state_to_rows(self.carried))}
        tensors["generator"] = torch.get_rng_state()
        record = {
            "options": self.config.to_json(),
            "reset_after": self.config.resets_after,
            "cell_file": None if self.cell_file is None else asdict(self.cell_file),
            "text": self.text.sha256,
            "vocab": self.text.vocab.idx_to_token,
            "epoch": self.epoch,
            "batch": self.batch,
            "meter": asdict(self.meter),
            "epoch_start": self.epoch_start,
            "history": self.history,
        }
        return Snapshot(tensors, record)

    def restore(self, snapshot: Snapshot) -> None:
        """Put back what `snapshot` took, under any engine that has its cell.

        Raises ValueError if it was taken of another text, under other options or of a cell that has changed.
        """
        tensors, record = snapshot.tensors, snapshot.record
        for name, value in self.config.to_json().items():
            if name not in MAY_DIFFER and record["options"].get(name) != value:
                raise ValueError(f"the run was made with {name} {record['options'].get(name)}, not {value}")
        if record["reset_after"] != self.config.resets_after:
            raise ValueError(
                f"the run was made with reset_after {record['reset_after']}, not {self.config.resets_after}"
            )
        old, new = record["cell_file"], self.cell_file
        if old and (new is None or (old["name"], old["sha256"]) != (new.name, new.sha256)):
            raise ValueError(f"the cell of the run, {old['name']} of {old['path']}, has changed since or is another")
        if record["text"] != self.text.sha256:
            raise ValueError(f"the run was made on another text than {self.text.source.path}")
        weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        set_weights(self.config, self.model, weights)
        torch.set_rng_state(tensors["generator"])
        self.epoch, self.batch, self.meter = record["epoch"], record["batch"], Meter(**record["meter"])
        version, internal, gauss = record["epoch_start"]
        self.epoch_start = (version, tuple(internal), gauss)
        self.history = record["history"]
        rows = tuple(tensors[f"carried.{i}"].to(self.device) for i in range(len(tensors)) if f"carried.{i}" in tensors)
        self.carried = state_from_rows(self.model, rows)

    def _train_epoch(self, should_stop: Callable[[], bool]) -> bool:
        """Make the rest of the epoch that `batch` stands in; False if told to stop before its end."""
        self.generator.setstate(self.epoch_start)
        epoch = self.loader.epoch()
        start = time.perf_counter()
        for update in updates(
            self.model,
            (epoch[i] for i in range(self.batch, len(epoch))),
            self.loss,
            self.updater,
            self.device,
            carry_state=self.config.sampling == "sequential",
            clip=self.config.clip,
            state=self.carried,
        ):
            self.batch += 1
            self.carried = update.state
            self.meter.add(update.summed_loss, update.tokens)
            if self.batch < len(epoch) and should_stop():
                break
        self.meter.seconds += time.perf_counter() - start
        if self.batch < len(epoch):
            return False
        self._close_epoch()
        return True

    def _close_epoch(self) -> None:
        self.epoch += 1
        record: Record = {
            "epoch": self.epoch,
            "train_loss": self.meter.loss,
            "train_perplexity": _json_number(self.meter.perplexity),
            "tokens": self.meter.tokens,
            "seconds": self.meter.seconds,
        }
        if self._is_evaluated():
            config = self.config
            held_out = evaluate(
                self.model, self.text.held_out, self.device, rows=config.batch_size, num_steps=config.num_steps
            )
            record["held_out_loss"] = held_out.loss
            record["held_out_perplexity"] = _json_number(held_out.perplexity)
        self.history.append(record)
        self.batch, self.meter, self.carried = 0, Meter(), None
        self.epoch_start = self.generator.getstate()

    def _is_evaluated(self) -> bool:
        """Whether the held-out text is read after this epoch: some `EVALUATIONS` times in a run, and at its end."""
        every = max(1, self.config.epochs // EVALUATIONS)
        return len(self.text.held_out) > 0 and (self.epoch % every == 0 or self.epoch == self.config.epochs)


def _updater(model: Model, lr: float) -> Updater:
    """Stochastic gradient descent, as the book has it for each kind of model."""
    if isinstance(model, nn.Module):
        return torch.optim.SGD(model.parameters(), lr)
    return lambda batch_size: sgd(model.params, lr, batch_size)


def _json_number(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None
