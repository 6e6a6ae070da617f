"""The small tools that every chapter of both editions uses: devices, times, sums, batches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

# ------------------------------------------------------------------------------------------------ devices


def cpu() -> torch.device:
    """The CPU."""
    return torch.device("cpu")


def gpu(i: int = 0) -> torch.device:
    """The GPU number `i`, whether there is one or not."""
    return torch.device(f"cuda:{i}")


def num_gpus() -> int:
    """How many GPUs there are."""
    return torch.cuda.device_count()


def try_gpu(i: int = 0) -> torch.device:
    """The GPU number `i` where there is one, else the CPU."""
    return gpu(i) if i < num_gpus() else cpu()


# ------------------------------------------------------------------------------------------------ times and sums


class Timer:
    """Times of several runs, in seconds."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.start()

    def start(self) -> None:
        self.tik = time.time()

    def stop(self) -> float:
        """Note the time since `start` and return it."""
        self.times.append(time.time() - self.tik)
        return self.times[-1]

    def avg(self) -> float:
        return sum(self.times) / len(self.times)

    def sum(self) -> float:
        return sum(self.times)

    def cumsum(self) -> list[float]:
        return [sum(self.times[: i + 1]) for i in range(len(self.times))]


class Accumulator:
    """`n` running sums."""

    def __init__(self, n: int) -> None:
        self.data = [0.0] * n

    def add(self, *args: Any) -> None:
        values = [float(arg.detach() if isinstance(arg, Tensor) else arg) for arg in args]
        self.data = [total + value for total, value in zip(self.data, values, strict=False)]

    def reset(self) -> None:
        self.data = [0.0] * len(self.data)

    def __getitem__(self, idx: int) -> float:
        return self.data[idx]


# ------------------------------------------------------------------------------------------------ batches


class Rows(TensorDataset):
    """A data set of which a whole batch is taken at once, rather than row by row."""

    def __getitems__(self, indices: list[int]) -> list[Tensor]:
        return [tensor[indices] for tensor in self.tensors]


def _as_it_is(batch: list[Tensor]) -> list[Tensor]:
    return batch


def load_array(data_arrays: Sequence[Tensor], batch_size: int, is_train: bool = True) -> DataLoader[Any]:
    """Batches of the rows of `data_arrays`, shuffled anew in each epoch if `is_train`.

    Under the same seed they come in the order in which the book's `DataLoader` draws them.
    """
    return DataLoader(Rows(*data_arrays), batch_size, shuffle=is_train, collate_fn=_as_it_is)
