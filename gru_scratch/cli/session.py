"""What every command that trains does: prepare the machine, claim a folder, and report while the trainer works."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from tqdm import tqdm

from gru_scratch.cli.summary import number, speed
from gru_scratch.training.checkpoint import Snapshot
from gru_scratch.training.folder import create_folder, only_writer, save_run
from gru_scratch.training.hardware import pick_device
from gru_scratch.training.interrupts import noted
from gru_scratch.training.options import RunOptions
from gru_scratch.training.processes import Processes, explain, started_processes
from gru_scratch.training.state import Record
from gru_scratch.training.task import Task
from gru_scratch.training.threads import ThreadWatch, limit_threads
from gru_scratch.training.trainer import Trainer
from gru_scratch.training.update import NotFiniteError

SECONDS_BETWEEN_PICTURES = 60.0

AnyTask = TypeVar("AnyTask", bound=Task)


def on_the_machine(options: RunOptions, work: Callable[[torch.device, Processes], int]) -> int:
    """Do `work` on the device, with the threads and in the processes that a run asks for; its exit status."""
    limit_threads(options.threads)
    torch.set_float32_matmul_precision(options.matmul_precision)
    device = pick_device(options.device)
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    with started_processes(device) as processes:
        try:
            return work(device, processes)
        except (RuntimeError, MemoryError) as error:
            reason = explain(error, processes)
            if reason is None:
                raise
            raise OSError(reason) from error


@contextmanager
def claimed_folder(options: RunOptions, resumed: Path | None, processes: Processes) -> Iterator[Path]:
    """The run's folder, to which no other run writes meanwhile; of several processes the first alone touches it."""
    if not processes.is_first:
        yield resumed or Path()
        return
    folder = create_folder(options) if resumed is None else resumed
    with only_writer(folder, new=resumed is None):
        yield folder


class Session(Generic[AnyTask]):
    """A trainer, and the folder and terminal that it reports to. A subclass says what there is to print."""

    def __init__(self, trainer: Trainer[AnyTask], folder: Path) -> None:
        self.trainer, self.folder = trainer, folder
        self.picture_at = 0.0

    def header(self) -> None:
        """Print what is trained, before it is."""
        raise NotImplementedError

    def sample(self) -> str:
        """What the model does now, for sample.txt; of the parameters that the run keeps."""
        raise NotImplementedError

    def finish(self, finished: bool) -> None:
        """Print the figures of the run, and write what else belongs into its folder; not `finished`: a signal."""
        raise NotImplementedError

    def advice(self) -> str | None:
        """A note, to be shown once, on a run that does not learn."""
        return None

    def progress(self, record: Record) -> str:
        """What stands beside the bar."""
        return f"perplexity {number(record['train_perplexity'])}, {speed(record)}"

    def run(self) -> int:
        """Train; the exit status."""
        trainer, bound = self.trainer, self.trainer.bound
        is_first = trainer.processes.is_first
        if is_first:
            self.header()
            print(f"run folder  {self.folder}", flush=True)
        unit = bound.kind.removeprefix("max_").removesuffix("s")
        shown = None if is_first else True  # None: where there is a terminal
        self.has_advised = False
        with noted() as stopped, tqdm(total=bound.value, unit=unit, disable=shown) as bar:
            self.bar, watch = bar, ThreadWatch()

            def should_stop() -> bool:
                if is_first and (advice := watch.advice(torch.get_num_threads())):
                    bar.write(f"note: {advice}", file=sys.stderr)
                return stopped()

            self.show(trainer.state.history[-1:])
            try:
                finished = trainer.run(report=self.report, save=self.save, should_stop=should_stop)
            except NotFiniteError as error:
                raise NotFiniteError(f"{error}.\nThe last good checkpoint is in {self.folder}") from error
        self.picture_at = 0.0
        self.save()
        if is_first:
            self.finish(finished)
            if not finished:
                of_epochs = f"in epoch {trainer.state.epoch + 1}{bound.of_epochs()}"
                print(f"interrupted {of_epochs}; saved in {self.folder}", file=sys.stderr)
        return 0 if finished else stopped.status

    def report(self, record: Record) -> None:
        self.show([record])
        advice = None if self.has_advised else self.advice()
        if advice and self.trainer.processes.is_first:
            self.has_advised = True
            self.bar.write(f"note: {advice}", file=sys.stderr)

    def show(self, records: Sequence[Record]) -> None:
        """Move the bar to the last record."""
        for record in records:
            done: dict[str, Any] = {"epochs": "epoch", "max_updates": "update", "minutes": "minutes"}
            self.bar.n = round(record[done[self.trainer.bound.kind]], 2)
            self.bar.set_postfix_str(self.progress(record))

    def save(self) -> None:
        """Write the folder; curve and sample, which take longer, about once a minute."""
        snapshot: Snapshot = self.trainer.snapshot()
        if not self.trainer.processes.is_first:
            return
        draws = time.monotonic() >= self.picture_at
        save_run(self.folder, self.trainer, self.sample() if draws else None, snapshot)
        if draws:
            self.picture_at = time.monotonic() + SECONDS_BETWEEN_PICTURES
