"""Train a character model, and keep it in a run folder.

python scripts/train.py --cell gru
"""

from __future__ import annotations

import sys

import torch
import tyro
from _command import run_command
from tqdm import tqdm

from gru_scratch.generate import samples
from gru_scratch.training.build import build_model, count_parameters, find_cell_file, pick_device
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.data import read_run_text
from gru_scratch.training.folder import create_folder, save_run
from gru_scratch.training.interrupt import stop_on_interrupt
from gru_scratch.training.trainer import Record, Trainer
from gru_scratch.training.update import NotFiniteError


def main() -> int:
    config = tyro.cli(TrainConfig)
    config.validate()
    device = pick_device(config.device)
    text = read_run_text(config)
    if text.source.notice:
        print(f"note: {text.source.notice}", file=sys.stderr)
    torch.manual_seed(config.seed)
    cell_file = find_cell_file(config)
    trainer = Trainer(config, build_model(config, len(text.vocab), device, cell_file), text, device, cell_file)
    folder = create_folder(config)
    print_header(trainer)
    print(f"run folder  {folder}", flush=True)

    def continuations() -> str:
        lines = samples(trainer.model, text.vocab, device, opening=text.opening)
        return "".join(line + "\n" for line in lines)

    with stop_on_interrupt() as stopped, tqdm(total=config.epochs, unit="epoch", disable=None) as bar:

        def report(record: Record) -> None:
            bar.set_postfix_str(f"perplexity {number(record['train_perplexity'])}, {speed(record)}", refresh=False)
            bar.update()

        try:
            finished = trainer.run(
                report=report, save=lambda: save_run(folder, trainer, continuations()), should_stop=stopped
            )
        except NotFiniteError as error:
            raise NotFiniteError(f"{error}.\nThe last good checkpoint is in {folder}") from error
    print_result(trainer)
    print(continuations(), end="")
    if not finished:
        print(f"interrupted in epoch {trainer.epoch + 1} of {config.epochs}; saved in {folder}", file=sys.stderr)
    return 0 if finished else 130


def print_header(trainer: Trainer) -> None:
    config, text = trainer.config, trainer.text
    gate = {True: ", reset gate after the product", False: ", reset gate before the product", None: ""}
    layers = f", {config.num_layers} layers" if config.num_layers > 1 else ""
    held_out = f"{len(text.held_out):,} characters, " if len(text.held_out) else ""
    print(f"text        {text.source.name}, {text.num_tokens:,} characters; trained on the first {len(text.train):,}")
    print(f"held out    {held_out}{text.held_out_label}")
    print(f"vocabulary  {len(text.vocab)}")
    print(f"model       {config.cell}{layers}, engine {config.engine}{gate[config.resets_after]}")
    print(f"parameters  {count_parameters(trainer.model):,}")
    threads = torch.get_num_threads()
    print(f"device      {trainer.device}, {threads} thread{'s' if threads > 1 else ''}")


def print_result(trainer: Trainer) -> None:
    """The figures of the last epochs, each as what it is."""
    if not trainer.history:
        return
    last = trainer.history[-1]
    print(f"training perplexity {number(last['train_perplexity'])}, {speed(*trainer.history)} on {trainer.device}")
    tested = [record for record in trainer.history if "held_out_loss" in record]
    if tested:
        end, best = tested[-1], min(tested, key=lambda record: float(record["held_out_loss"]))
        lowest = f"lowest {number(best['held_out_perplexity'])} after epoch {best['epoch']}"
        print(f"held-out perplexity {number(end['held_out_perplexity'])} after epoch {end['epoch']}, {lowest}")


def speed(*records: Record) -> str:
    """Of training alone: the held-out text is read outside these seconds."""
    return (
        f"{sum(record['tokens'] for record in records) / sum(record['seconds'] for record in records):.1f} tokens/sec"
    )


def number(perplexity: float | None) -> str:
    return "infinite" if perplexity is None else f"{perplexity:.3f}"


if __name__ == "__main__":
    run_command(main)
