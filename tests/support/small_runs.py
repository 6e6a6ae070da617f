"""Runs that take a moment, in this process."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gru_scratch.training.build import build_model, find_cell_file, reset_token
from gru_scratch.training.checkpoint import Snapshot, pack_snapshot, read_snapshot
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.data import read_run_text
from gru_scratch.training.text_task import TextTask
from gru_scratch.training.trainer import Trainer

CPU = torch.device("cpu")
SMALL = TrainConfig(batch_size=4, num_steps=7, num_hiddens=6, epochs=3, max_tokens=300, val_fraction=0.001)
BY_THE_CLOCK = ("seconds", "minutes")


def small_run(path: Path, **options: Any) -> Trainer[TextTask]:
    """A new run on the text of a file, from its seed."""
    by_epochs = not {"max_updates", "minutes"} & options.keys()
    bound = {} if by_epochs else {"epochs": TrainConfig.epochs}
    config = dataclasses.replace(SMALL, text=path, **{**bound, **options})
    text = read_run_text(config)
    torch.manual_seed(config.seed)
    cell_file = find_cell_file(config)
    model = build_model(config, len(text.vocab), CPU, cell_file, reset_token(config, text.vocab))
    return Trainer(TextTask(config, model, text, CPU, cell_file))


def stopped_at(trainer: Trainer[TextTask], update: int) -> Trainer[TextTask]:
    """The same, run until so many updates are made."""
    assert not trainer.run(should_stop=lambda: trainer.state.update >= update)
    return trainer


def through_a_file(snapshot: Snapshot, path: Path) -> Snapshot:
    path.write_bytes(pack_snapshot(snapshot))
    return read_snapshot(path)


def history_of(trainer: Trainer[TextTask]) -> list[dict[str, Any]]:
    """The records without what the clock says."""
    return [{k: v for k, v in record.items() if k not in BY_THE_CLOCK} for record in trainer.state.history]


def same_tensors(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
