"""Train a translator, and keep it in a run folder."""

from __future__ import annotations

import sys
from functools import partial

import torch

from gru_scratch.cli.arguments import Run
from gru_scratch.cli.session import Session, claimed_folder, on_the_machine
from gru_scratch.cli.summary import number, print_lines, print_machine, score_lines, speed
from gru_scratch.generate.translation import decode_greedily
from gru_scratch.training.engine import kept_engine
from gru_scratch.training.evaluate import evaluating
from gru_scratch.training.folder import read_state, save_test
from gru_scratch.training.processes import Processes
from gru_scratch.training.sentence_options import TranslatorOptions
from gru_scratch.training.state import Record
from gru_scratch.training.threads import settle_threads
from gru_scratch.training.trainer import Trainer
from gru_scratch.training.translation_task import TranslationTask, read_run_pairs, translate_by

SAMPLES = 5


def main(given: Run[TranslatorOptions]) -> int:
    """Train, keep the run in its folder, and print what a reader wants to know; the exit status."""
    return on_the_machine(given.config, partial(train_translator, given))


def train_translator(given: Run[TranslatorOptions], device: torch.device, processes: Processes) -> int:
    config, resumed = given.config, given.resumed
    processes.check_alone("a translator")
    pairs = read_run_pairs(config)
    if not pairs.parts.validation:
        config.check_held_out(given.given, f"none of {len(pairs.parts.train):,} pairs")
    before = None if resumed is None else read_state(resumed).record
    kept = None if before is None else kept_engine(config, before)
    torch.manual_seed(config.seed)
    trainer = Trainer(TranslationTask(config, pairs, device, decode_greedily, kept))
    settle_threads(trainer.task, before)
    with claimed_folder(config, resumed, processes) as folder:
        if resumed is not None:
            trainer.restore(read_state(resumed))
        elif config.pairs is None:
            print(f"note: no pairs are given: learning {pairs.name}, made by the program", file=sys.stderr)
        return TranslatorSession(trainer, folder).run()


class TranslatorSession(Session[TranslationTask]):
    """What a translator's run reports."""

    def header(self) -> None:
        task = self.trainer.task
        config, pairs = task.config, task.pairs
        train, validation, test = map(len, pairs.parts)
        left_out = f"; {pairs.left_out:,} left out, longer than {config.longest} tokens" if pairs.left_out else ""
        print_lines(
            {
                "pairs": f"{pairs.name}: {train:,} to train on, {validation:,} held out, {test:,} to test on{left_out}",
                "source": f"{pairs.source.kind}s, {len(pairs.source.vocab):,} of them",
                "target": f"{pairs.target.kind}s, {len(pairs.target.vocab):,} of them",
            }
        )
        decoder = "no attention" if config.decoder == "none" else f"attention of {config.decoder.capitalize()}"
        print_machine(task, decoder)

    def progress(self, record: Record) -> str:
        worth = f", BLEU {record['bleu']:.1f}, exact {record['exact_match']:.1%}" if "bleu" in record else ""
        return f"perplexity {number(record['train_perplexity'])}{worth}, {speed(record)}"

    def sample(self) -> str:
        """Some sources of the validation part, else of the training part, and what they are translated to."""
        task, parts = self.trainer.task, self.trainer.task.pairs.parts
        sources = list(dict.fromkeys(pair.source for pair in parts.validation or parts.train))[:SAMPLES]
        with evaluating(task.model), self.trainer.with_final_weights():
            said = translate_by(task.decode, task.model, task.pairs.source, task.pairs.target, sources)
        return "".join(f"{source} → {each}\n" for source, each in zip(sources, said, strict=True))

    def finish(self, finished: bool) -> None:
        task, history = self.trainer.task, self.trainer.state.history
        if history:
            print(f"training perplexity {number(history[-1]['train_perplexity'])}, {speed(*history)} on {task.device}")
        tested = [record for record in history if "bleu" in record]
        if tested:
            best = max(tested, key=lambda record: float(record["bleu"]))
            exact = f"exact match {best['exact_match']:.1%}"
            print(f"held out: BLEU {best['bleu']:.2f}, {exact}, the best, after epoch {best['epoch']:.4g}")
        if finished and task.pairs.parts.test:
            self.test()
        print(self.sample(), end="")

    def test(self) -> None:
        """Read the test part once, with the parameters that the run keeps."""
        task = self.trainer.task
        with self.trainer.with_final_weights():
            figures, score = task.tested(task.pairs.parts.test)
        weights = "best" if self.trainer.keeps_best() else "last"
        save_test(self.folder, {"weights": weights, **figures, "by_length": score.by_length})
        print("test: " + "\n".join(score_lines(score, task.pairs.source.kind)))
