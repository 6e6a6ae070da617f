"""The state of a run as one object, which a trainer returns, a file holds, and another trainer restores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from gru_scratch.training.checkpoint import Snapshot
from gru_scratch.training.loop import Meter
from gru_scratch.training.processes import Processes
from gru_scratch.training.schedule import Bound

Record = dict[str, Any]
"""The figures of a part of training, as JSON values."""


@dataclass
class RunState:
    """All that changes during a run, except for the model, the optimizer and PyTorch's generator."""

    planned: Bound
    """The bound with which the run began."""
    epoch_start: Any
    """The state of the generator of batches when the epoch began: with `batch`, the place in the data."""
    epoch: int = 0
    """Complete epochs."""
    batch: int = 0
    """Batches done in the current epoch."""
    update: int = 0
    """Updates done."""
    seconds: float = 0.0
    """Seconds of running."""
    meter: Meter = field(default_factory=Meter)
    """Totals since the last record."""
    history: list[Record] = field(default_factory=list)
    """The records so far."""
    carried: tuple[Tensor, ...] = ()
    """The state that the last batch leaves to the next, (layers, B, H) each."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """The parameters of the lowest held-out loss, in the first process."""
    best_loss: float = math.inf
    waited: int = 0
    """Evaluations since that loss."""

    def snapshot(self, processes: Processes) -> Snapshot:
        """The state as tensors and JSON values; of several processes, all must call it."""
        rows = [torch.cat(processes.gather(row), dim=1) for row in self.carried]
        record = {
            "planned": asdict(self.planned),
            "epoch": self.epoch,
            "batch": self.batch,
            "update": self.update,
            "seconds": self.seconds,
            "meter": asdict(self.meter),
            "epoch_start": self.epoch_start,
            "history": list(self.history),
            "best_loss": self.best_loss if math.isfinite(self.best_loss) else None,
            "waited": self.waited,
        }
        return Snapshot(prefixed("best", self.best) | {f"carried.{i}": row for i, row in enumerate(rows)}, record)

    @classmethod
    def of(cls, snapshot: Snapshot, processes: Processes, device: torch.device) -> RunState:
        """The inverse of `snapshot`, for this process."""
        tensors, record = snapshot.tensors, snapshot.record
        rows = [tensors[f"carried.{i}"].to(device) for i in range(len(tensors)) if f"carried.{i}" in tensors]
        version, internal, gauss = record["epoch_start"]
        return cls(
            planned=Bound(**record["planned"]),
            epoch_start=(version, tuple(internal), gauss),
            epoch=record["epoch"],
            batch=record["batch"],
            update=record["update"],
            seconds=record["seconds"],
            meter=Meter(**record["meter"]),
            history=list(record["history"]),
            carried=tuple(processes.own_rows(row.transpose(0, 1)).transpose(0, 1).contiguous() for row in rows),
            best=with_prefix("best", tensors),
            best_loss=math.inf if record["best_loss"] is None else record["best_loss"],
            waited=record["waited"],
        )


def generator_states(processes: Processes, device: torch.device) -> dict[str, Tensor]:
    """The states of the generators of PyTorch in every process."""
    states = {f"generator.{i}": state for i, state in enumerate(processes.gather(torch.get_rng_state()))}
    if device.type == "cuda":
        gathered = processes.gather(torch.cuda.get_rng_state(device))
        states |= {f"cuda_generator.{i}": state for i, state in enumerate(gathered)}
    return states


def restore_generators(tensors: Mapping[str, Tensor], processes: Processes, device: torch.device, seed: int) -> None:
    """Restore the generators of this process; a process that the run did not have before is seeded with `seed`."""
    rank = processes.rank
    if f"generator.{rank}" not in tensors:
        torch.manual_seed(seed)
        return
    torch.set_rng_state(tensors[f"generator.{rank}"])
    if device.type == "cuda" and f"cuda_generator.{rank}" in tensors:
        torch.cuda.set_rng_state(tensors[f"cuda_generator.{rank}"], device)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = prefix + "."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
