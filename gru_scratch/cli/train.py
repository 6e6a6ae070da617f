"""A run of training from its options to its last line: what `train` and its presets do."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from gru_scratch.cli.arguments import Run
from gru_scratch.cli.summary import number, print_header, print_result, speed
from gru_scratch.generate.continuation import samples
from gru_scratch.studies.gradients.watch import watch_run
from gru_scratch.studies.results import plain
from gru_scratch.training.build import build_model, find_cell_file, pick_device
from gru_scratch.training.checkpoint import Snapshot
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.data import RunText, read_run_text
from gru_scratch.training.engine import kept_engine
from gru_scratch.training.evaluate import advice_if_stuck, evaluating, final_losses, unigram_loss
from gru_scratch.training.folder import create_folder, only_writer, read_state, save_run, save_test
from gru_scratch.training.interrupts import noted
from gru_scratch.training.processes import Processes, explain, started_processes
from gru_scratch.training.schedule import Bound
from gru_scratch.training.state import Record
from gru_scratch.training.text_task import TextTask
from gru_scratch.training.threads import ThreadWatch, fastest_threads, limit_threads
from gru_scratch.training.trainer import Trainer
from gru_scratch.training.update import NotFiniteError, named_parameters

SECONDS_BETWEEN_PICTURES = 60.0


def main(given: Run) -> int:
    """Train, keep the run in its folder, and print what a reader wants to know; the exit status."""
    config = given.config
    limit_threads(config.threads)
    torch.set_float32_matmul_precision(config.matmul_precision)
    device = pick_device(config.device)
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    with started_processes(device) as processes:
        try:
            return train_together(config, given.resumed, device, processes)
        except (RuntimeError, MemoryError) as error:
            reason = explain(error, processes)
            if reason is None:
                raise
            raise OSError(reason) from error


def train_together(config: TrainConfig, resumed: Path | None, device: torch.device, processes: Processes) -> int:
    """The part of `main` that this process has."""
    before = None if resumed is None else read_state(resumed).record
    text = read_text_once(config, processes, None if before is None else Bound(**before["planned"]))
    if text.source.notice and processes.is_first:
        print(f"note: {text.source.notice}", file=sys.stderr)
    torch.manual_seed(config.seed)
    cell_file = find_cell_file(config)
    model = build_model(config, len(text.vocab), device, cell_file)
    kept = None if before is None else kept_engine(config, before)
    trainer = Trainer(TextTask(config, model, text, device, cell_file, processes, kept))
    if config.threads == "auto":
        kept_threads = None if before is None else before.get("threads")
        limit_threads("auto", kept_threads or measured_threads(trainer.task))
    with claimed_folder(config, resumed, processes) as folder:
        if resumed is not None:
            trainer.restore(read_state(resumed))
        return Session(trainer, folder).run()


def read_text_once(config: TrainConfig, processes: Processes, planned: Bound | None) -> RunText:
    """The first process reads, and makes a token file where one is needed, before the others read."""
    if not processes.is_first:
        processes.wait()
        return read_run_text(config, planned=planned)
    with tqdm(unit="B", unit_scale=True, disable=None, leave=False, delay=1.0) as bar:

        def progress(task: str, done: int, total: int) -> None:
            if bar.disable:  # no terminal, and then it has no description either
                return
            if bar.desc != f"{task}: ":
                bar.reset(total)
                bar.set_description(task)
            bar.update(done)

        text = read_run_text(config, progress, planned)
    processes.wait()
    return text


def measured_threads(task: TextTask) -> int:
    """One thread or all, whichever makes an update of this run sooner; the run stays as it is."""
    batch = task.epoch(random.Random(0))[0]
    with torch.random.fork_rng(devices=[]):
        count = fastest_threads(lambda: torch.autograd.backward(task.loss(batch, ()).mean), torch.get_num_threads())
    for _, param in named_parameters(task.model):
        param.grad = None
    return count


@contextmanager
def claimed_folder(config: TrainConfig, resumed: Path | None, processes: Processes) -> Iterator[Path]:
    """The run's folder, to which no other run writes meanwhile; of several processes the first alone touches it."""
    if not processes.is_first:
        yield resumed or Path()
        return
    folder = create_folder(config) if resumed is None else resumed
    with only_writer(folder, new=resumed is None):
        yield folder


class Session:
    """A trainer, and the folder and terminal that it reports to."""

    def __init__(self, trainer: Trainer[TextTask], folder: Path) -> None:
        self.trainer, self.folder = trainer, folder
        self.unigram = unigram_loss(trainer.task.text.train_counts()) if trainer.processes.is_first else 0.0
        self.has_advised = False
        self.picture_at = 0.0

    def run(self) -> int:
        trainer, bound = self.trainer, self.trainer.bound
        is_first = trainer.processes.is_first
        if trainer.task.config.watch_gradients and is_first:
            trainer.watch = lambda: {"gradient_flow": plain(watch_run(trainer.task))}
        if is_first:
            print_header(trainer.task)
            print(f"run folder  {self.folder}", flush=True)
        unit = bound.kind.removeprefix("max_").removesuffix("s")
        shown = None if is_first else True  # None: where there is a terminal
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
        if not is_first:
            return 0 if finished else stopped.status
        tested = self.test() if finished and len(trainer.task.text.test) else []
        print_result(trainer.state.history, trainer.task.device)
        for line in tested:
            print(line)
        print(self.continuations(), end="")
        if not finished:
            print(
                f"interrupted in epoch {trainer.state.epoch + 1}{bound.of_epochs()}; saved in {self.folder}",
                file=sys.stderr,
            )
        return 0 if finished else stopped.status

    def report(self, record: Record) -> None:
        self.show([record])
        advice = advice_if_stuck(self.trainer.state.history, self.unigram)
        if advice and not self.has_advised and self.trainer.processes.is_first:
            self.has_advised = True
            self.bar.write(f"note: {advice}", file=sys.stderr)

    def show(self, records: Sequence[Record]) -> None:
        """Move the bar to the last record."""
        for record in records:
            done: dict[str, Any] = {"epochs": "epoch", "max_updates": "update", "minutes": "minutes"}
            self.bar.n = round(record[done[self.trainer.bound.kind]], 2)
            self.bar.set_postfix_str(f"perplexity {number(record['train_perplexity'])}, {speed(record)}")

    def save(self) -> None:
        """Write the folder; curve and sample, which take longer, about once a minute."""
        snapshot: Snapshot = self.trainer.snapshot()
        if not self.trainer.processes.is_first:
            return
        draws = time.monotonic() >= self.picture_at
        save_run(self.folder, self.trainer, self.continuations() if draws else None, snapshot)
        if draws:
            self.picture_at = time.monotonic() + SECONDS_BETWEEN_PICTURES

    def continuations(self) -> str:
        task = self.trainer.task
        with evaluating(task.model), self.trainer.with_final_weights():
            lines = samples(task.model, task.text.vocab, task.device, task.text.prefixes, kind=task.text.kind)
        return "".join(line + "\n" for line in lines)

    def test(self) -> list[str]:
        """Read the test part of the text, once, with the parameters that the run keeps; what to print of it."""
        task = self.trainer.task
        with self.trainer.with_final_weights():
            weights = "best" if self.trainer.keeps_best() else "last"
            result = final_losses(task.alone, task.text.test, task.device, weights)
        save_test(self.folder, asdict(result))
        return result.lines()
