"""The processes that train one model together: how many there are, which one this is, and what they exchange.

`torchrun` starts them and sets their environment; without it there is one. Process 0 alone decides and writes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

WAIT = timedelta(hours=1)
"""How long one process waits for another, which may encode a large text or read the held-out one meanwhile."""


@dataclass(frozen=True)
class Processes:
    """This process among `count`; every method must be called by all of them."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def own_rows(self, batch: Tensor) -> Tensor:
        """The rows of a global batch (B, ...) that belong to this process."""
        if self.count == 1:
            return batch
        size = len(batch) // self.count
        return batch[self.rank * size : (self.rank + 1) * size]

    def decide(self, values: Sequence[float]) -> list[float]:
        """Process 0's values, in every process."""
        if self.count == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64, device=self._device())
        dist.broadcast(shared, 0)
        return [float(value) for value in shared]

    def add(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes."""
        if self.count == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64, device=self._device())
        dist.all_reduce(shared)
        return [float(value) for value in shared]

    def gather(self, part: Tensor) -> list[Tensor]:
        """One tensor of each process, all of the same shape, in their order."""
        if self.count == 1:
            return [part]
        sent = part.detach().to(self._device()).contiguous()
        parts = [torch.empty_like(sent) for _ in range(self.count)]
        dist.all_gather(parts, sent)
        return [each.to(part.device) for each in parts]

    def check_batch_size(self, batch_size: int) -> None:
        """Raise ValueError unless a global batch can be split equally."""
        if batch_size % self.count:
            raise ValueError(
                f"batch_size is that of all processes together and must be a multiple of their number, {self.count}, "
                f"received {batch_size}"
            )

    def check_alone(self, what: str) -> None:
        """Raise ValueError, which names `what` is trained, unless there is only one process."""
        if self.count > 1:
            raise ValueError(f"{what} is trained by one process, received {self.count}: batches differ in length")

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.count > 1:
            dist.barrier()

    def _device(self) -> torch.device:
        return (
            torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
        )


ONE_PROCESS = Processes()


@contextmanager
def started_processes(device: torch.device) -> Iterator[Processes]:
    """The processes that `torchrun` started, connected: by NCCL for GPUs, by gloo else; or the only one."""
    if "TORCHELASTIC_RUN_ID" not in os.environ and "WORLD_SIZE" not in os.environ:
        yield ONE_PROCESS
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=WAIT)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def explain(error: RuntimeError | MemoryError, processes: Processes) -> str | None:
    """A message if memory ran out or another process ended; None for any other error."""
    message = str(error).partition("\n")[0]
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in message:
        advice = "a smaller batch_size, num_steps or num_hiddens needs less, and so does a larger min_freq"
        return f"memory ran out ({message}): {advice}"
    if processes.count > 1 and (isinstance(error, dist.DistError) or "gloo" in message):
        reason = re.sub(r"^\[\S+\] ", "", message).partition(". ")[0]
        return f"process {processes.rank}: another process of this run has ended ({reason})"
    return None
