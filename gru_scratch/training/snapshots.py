"""The whole state of a run of training, taken and put back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gru_scratch.training.build import get_weights, set_weights, state_from_rows, state_to_rows
from gru_scratch.training.checkpoint import Snapshot
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.loop import Meter
from gru_scratch.training.schedule import Bound

if TYPE_CHECKING:
    from gru_scratch.training.trainer import Trainer

BOUNDS = ("epochs", "max_updates", "minutes")
MAY_DIFFER = (*BOUNDS, "out", "text", "token_dir", "device", "engine", "reset_after", "watch_gradients")
"""Options that may be others when a run goes on. Of these, the bound may grow; the text and where the reset gate acts
are compared as such."""


def take(trainer: Trainer) -> Snapshot:
    """Everything that `put_back` needs; under several processes, to be called by all."""
    processes = trainer.processes
    carried = [torch.cat(processes.gather(row), dim=1) for row in state_to_rows(trainer.carried)]
    tensors = _prefixed("model", get_weights(trainer.config, trainer.model))
    tensors |= _prefixed("best", trainer.best)
    tensors |= _prefixed("optimizer", trainer.optimizer.tensors())
    tensors |= {f"carried.{i}": row for i, row in enumerate(carried)}
    tensors |= {f"generator.{i}": state for i, state in enumerate(processes.gather(torch.get_rng_state()))}
    if trainer.device.type == "cuda":
        states = processes.gather(torch.cuda.get_rng_state(trainer.device))
        tensors |= {f"cuda_generator.{i}": state for i, state in enumerate(states)}
    record = {
        "options": trainer.config.to_json(),
        "planned": asdict(trainer.planned),
        "reset_after": trainer.config.resets_after,
        "cell_file": None if trainer.cell_file is None else asdict(trainer.cell_file),
        "text": trainer.text.sha256,
        "vocab": trainer.text.vocab.idx_to_token,
        "epoch": trainer.epoch,
        "batch": trainer.batch,
        "update": trainer.update,
        "seconds": trainer.seconds,
        "meter": asdict(trainer.meter),
        "epoch_start": trainer.epoch_start,
        "history": list(trainer.history),
        "best_loss": trainer.best_loss if math.isfinite(trainer.best_loss) else None,
        "waited": trainer.waited,
    }
    return Snapshot(tensors, record)


def put_back(trainer: Trainer, snapshot: Snapshot) -> None:
    """Give a new trainer the state that was taken. ValueError if it is another run's."""
    tensors, record = snapshot.tensors, snapshot.record
    _check(trainer, record)
    optimizer = _with_prefix("optimizer", tensors)
    trainer.optimizer.check(optimizer)
    set_weights(trainer.config, trainer.model, _with_prefix("model", tensors))
    trainer.optimizer.restore(optimizer)
    trainer.best = _with_prefix("best", tensors)
    trainer.best_loss = math.inf if record["best_loss"] is None else record["best_loss"]
    trainer.waited = record["waited"]
    trainer.plan(Bound(**record["planned"]))
    trainer.epoch, trainer.batch, trainer.update = record["epoch"], record["batch"], record["update"]
    trainer.seconds, trainer.meter = record["seconds"], Meter(**record["meter"])
    version, internal, gauss = record["epoch_start"]
    trainer.epoch_start = (version, tuple(internal), gauss)
    trainer.history = list(record["history"])
    rows = [tensors[f"carried.{i}"].to(trainer.device) for i in range(len(tensors)) if f"carried.{i}" in tensors]
    own = tuple(trainer.processes.own_rows(row.transpose(0, 1)).transpose(0, 1).contiguous() for row in rows)
    trainer.carried = state_from_rows(trainer.model, own)
    _restore_generators(trainer, tensors)


def _restore_generators(trainer: Trainer, tensors: Mapping[str, Tensor]) -> None:
    """Each process its own; one that the run did not have before gets a new seed."""
    rank = trainer.processes.rank
    if f"generator.{rank}" not in tensors:
        torch.manual_seed(hash((trainer.config.seed, trainer.update, rank)) % 2**63)
        return
    torch.set_rng_state(tensors[f"generator.{rank}"])
    if trainer.device.type == "cuda" and f"cuda_generator.{rank}" in tensors:
        torch.cuda.set_rng_state(tensors[f"cuda_generator.{rank}"], trainer.device)


def _check(trainer: Trainer, record: Mapping[str, Any]) -> None:
    config = trainer.config
    options = {**TrainConfig().to_json(), **record["options"]}  # an option that the run is older than had its default
    for name, value in config.to_json().items():
        if name not in MAY_DIFFER and options.get(name) != value:
            raise ValueError(f"the run was made with {name} {options.get(name)}, not {value}")
    for name in BOUNDS:
        old, new = options.get(name), getattr(config, name)
        if old != new and (old is None or new is None or new < old):
            raise ValueError(f"the run was made with {name} {old}, which may grow but not become {new}")
    if record["reset_after"] != config.resets_after:
        raise ValueError(f"the run was made with reset_after {record['reset_after']}, not {config.resets_after}")
    old, new = record["cell_file"], trainer.cell_file
    if old and (new is None or (old["name"], old["sha256"]) != (new.name, new.sha256)):
        raise ValueError(f"the cell of the run, {old['name']} of {old['path']}, has changed since or is another")
    if record["text"] != trainer.text.sha256:
        raise ValueError(f"the run was made on another text than {trainer.text.source.path}")


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = prefix + "."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
