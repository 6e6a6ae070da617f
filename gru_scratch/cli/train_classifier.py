"""Train a classifier of sentences, and keep it in a run folder."""

from __future__ import annotations

import sys
from functools import partial

import torch

from gru_scratch.cli.arguments import Run
from gru_scratch.cli.session import Session, claimed_folder, on_the_machine
from gru_scratch.cli.summary import print_lines, print_machine
from gru_scratch.training.checkpoint import write_files
from gru_scratch.training.classification_task import ClassificationTask, read_run_examples
from gru_scratch.training.engine import kept_engine
from gru_scratch.training.evaluate import evaluating
from gru_scratch.training.folder import read_state, save_test
from gru_scratch.training.heat_map import draw_heat_map
from gru_scratch.training.linear_counts import linear_on_counts
from gru_scratch.training.processes import Processes
from gru_scratch.training.scores import accuracy, macro_f1
from gru_scratch.training.sentence_options import ClassifierOptions
from gru_scratch.training.state import Record
from gru_scratch.training.threads import settle_threads
from gru_scratch.training.trainer import Trainer

SAMPLES = 6


def main(given: Run[ClassifierOptions]) -> int:
    """Train, keep the run in its folder, and print what a reader wants to know; the exit status."""
    return on_the_machine(given.config, partial(train_classifier, given))


def train_classifier(given: Run[ClassifierOptions], device: torch.device, processes: Processes) -> int:
    config, resumed = given.config, given.resumed
    processes.check_alone("a classifier")
    examples = read_run_examples(config)
    before = None if resumed is None else read_state(resumed).record
    kept = None if before is None else kept_engine(config, before)
    torch.manual_seed(config.seed)
    trainer = Trainer(ClassificationTask(config, examples, device, kept))
    settle_threads(trainer.task, before)
    with claimed_folder(config, resumed, processes) as folder:
        if resumed is not None:
            trainer.restore(read_state(resumed))
        elif config.table is None and not config.classes:
            print(f"note: no examples are given: learning {examples.name}", file=sys.stderr)
        return ClassifierSession(trainer, folder).run()


class ClassifierSession(Session[ClassificationTask]):
    """What a classifier's run reports."""

    def header(self) -> None:
        task = self.trainer.task
        config, examples = task.config, task.examples
        train, validation, test = map(len, examples.parts)
        print_lines(
            {
                "examples": f"{examples.name}: {train:,} to train on, {validation:,} held out, {test:,} to test on",
                "classes": ", ".join(examples.labels),
                "tokens": f"{examples.reader.kind}s, {len(examples.reader.vocab):,} of them",
            }
        )
        print_machine(task, f"pooling {config.pooling}")

    def progress(self, record: Record) -> str:
        worth = f", macro-F1 {record['macro_f1']:.1%}" if "macro_f1" in record else ""
        return f"loss {record['train_loss']:.3f}{worth}"

    def sample(self) -> str:
        """Some texts of the validation part, else of the training part, and what they are taken for."""
        task, parts = self.trainer.task, self.trainer.task.examples.parts
        some = (parts.validation or parts.train)[:SAMPLES]
        lines = []
        with evaluating(task.model), self.trainer.with_final_weights(), torch.inference_mode():
            for each in some:
                tokens = torch.tensor([task.examples.reader(each.text)], device=task.device)
                p = task.model(tokens, torch.tensor([tokens.shape[1]], device=task.device))[0].softmax(0)
                place = int(p.argmax())
                lines.append(f"{each.text} → {task.examples.labels[place]} ({float(p[place]):.2f})\n")
        return "".join(lines)

    def finish(self, finished: bool) -> None:
        task, history = self.trainer.task, self.trainer.state.history
        tested = [record for record in history if "macro_f1" in record]
        if tested:
            best = min(tested, key=lambda record: float(record["held_out_loss"]))
            worth = f"accuracy {best['accuracy']:.1%}, macro-F1 {best['macro_f1']:.1%}"
            print(f"held out: {worth}, at the lowest loss, after epoch {best['epoch']:.4g}")
        if finished and task.examples.parts.test:
            self.test()
        print(self.sample(), end="")

    def test(self) -> None:
        """Read the test part once, with the parameters that the run keeps; beside it, what counts of tokens can do."""
        task, examples = self.trainer.task, self.trainer.task.examples
        with self.trainer.with_final_weights():
            loss, matrix = task.tested(examples.parts.test)
        labels = examples.labels
        linear = linear_on_counts(
            task.train, task.numbered(examples.parts.test), len(examples.reader.vocab), len(labels)
        )
        figures = {
            "weights": "best" if self.trainer.keeps_best() else "last",
            "loss": loss,
            "accuracy": accuracy(matrix),
            "macro_f1": macro_f1(matrix),
            "confusion": matrix.tolist(),
            "labels": labels,
            "linear_accuracy": accuracy(linear),
            "linear_macro_f1": macro_f1(linear),
        }
        save_test(self.folder, figures)
        picture = draw_heat_map(
            matrix, labels, labels, across="taken for", down="is", title="Examples of the test part", figures=True
        )
        write_files(self.folder, {"confusion.png": picture})
        worth = f"accuracy {figures['accuracy']:.2%}, macro-F1 {figures['macro_f1']:.2%}"
        print(f"test: {worth} of {len(examples.parts.test):,} examples")
        worth = f"accuracy {accuracy(linear):.2%}, macro-F1 {macro_f1(linear):.2%}"
        print(f"a linear layer on counts of {examples.reader.kind}s: {worth}")
