"""Train a language model: what `train` and its presets do."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from gru_scratch.cli.arguments import Run
from gru_scratch.cli.session import Session, claimed_folder, on_the_machine
from gru_scratch.cli.summary import print_header, print_result
from gru_scratch.generate.continuation import samples
from gru_scratch.studies.gradients.watch import watch_run
from gru_scratch.studies.results import plain
from gru_scratch.training.build import build_model, find_cell_file, reset_token
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.data import RunText, read_run_text
from gru_scratch.training.engine import kept_engine
from gru_scratch.training.evaluate import advice_if_stuck, evaluating, final_losses, unigram_loss
from gru_scratch.training.folder import read_state, save_test
from gru_scratch.training.processes import Processes
from gru_scratch.training.schedule import Bound
from gru_scratch.training.text_task import TextTask
from gru_scratch.training.threads import settle_threads
from gru_scratch.training.trainer import Trainer


def main(given: Run[TrainConfig]) -> int:
    """Train, keep the run in its folder, and print what a reader wants to know; the exit status."""
    return on_the_machine(given.config, partial(train_together, given))


def train_together(given: Run[TrainConfig], device: torch.device, processes: Processes) -> int:
    """The work of this process, which may be one of several that train the model together."""
    config, resumed = given.config, given.resumed
    before = None if resumed is None else read_state(resumed).record
    text = read_text_once(config, processes, None if before is None else Bound(**before["planned"]))
    if text.source.notice and processes.is_first:
        print(f"note: {text.source.notice}", file=sys.stderr)
    if not len(text.held_out):
        config.check_held_out(given.given, text.held_out_label)
    separator = reset_token(config, text.vocab)
    if "reset_at" in given.given and separator is not None and not text.train_counts()[separator]:
        raise ValueError(f"reset_at has no effect: {config.reset_at!r} is not in the part of the text to train on")
    torch.manual_seed(config.seed)
    cell_file = find_cell_file(config)
    model = build_model(config, len(text.vocab), device, cell_file, separator)
    kept = None if before is None else kept_engine(config, before)
    trainer = Trainer(TextTask(config, model, text, device, cell_file, processes, kept))
    settle_threads(trainer.task, before)
    with claimed_folder(config, resumed, processes) as folder:
        if resumed is not None:
            trainer.restore(read_state(resumed))
        return TextSession(trainer, folder).run()


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


class TextSession(Session[TextTask]):
    """What a language model's run reports."""

    def __init__(self, trainer: Trainer[TextTask], folder: Path) -> None:
        super().__init__(trainer, folder)
        task, is_first = trainer.task, trainer.processes.is_first
        self.unigram = unigram_loss(task.text.train_counts()) if is_first else 0.0
        if task.config.watch_gradients and is_first:
            trainer.watch = lambda: {"gradient_flow": plain(watch_run(task))}

    def header(self) -> None:
        print_header(self.trainer.task)

    def advice(self) -> str | None:
        return advice_if_stuck(self.trainer.state.history, self.unigram)

    def sample(self) -> str:
        task = self.trainer.task
        with evaluating(task.model), self.trainer.with_final_weights():
            lines = samples(task.model, task.text.vocab, task.device, task.text.prefixes, kind=task.text.kind)
        return "".join(line + "\n" for line in lines)

    def finish(self, finished: bool) -> None:
        tested = self.test() if finished and len(self.trainer.task.text.test) else []
        print_result(self.trainer.state.history, self.trainer.task.device)
        for line in tested:
            print(line)
        print(self.sample(), end="")

    def test(self) -> list[str]:
        """Read the test part of the text, once, with the parameters that the run keeps; what to print of it."""
        task = self.trainer.task
        with self.trainer.with_final_weights():
            weights = "best" if self.trainer.keeps_best() else "last"
            result = final_losses(task.alone, task.text.test, task.device, weights)
        save_test(self.folder, asdict(result))
        return result.lines()
