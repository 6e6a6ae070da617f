"""Do gradients vanish or explode? The derivative of the last state with respect to the state k steps before.

python scripts/gradients.py --quick
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from _command import run_command
from _report import flow_line
from torch import Tensor
from tqdm import tqdm

from gru_scratch.cells import resolve_cell
from gru_scratch.studies.gradients.draw_gradients import draw_matrices, draw_starts, draw_training
from gru_scratch.studies.gradients.runs import (
    STARTS,
    GradientOptions,
    GradientRun,
    Look,
    flow_at_start,
    pieces_of,
    watch_training,
)
from gru_scratch.studies.results import claim_folder, save_study
from gru_scratch.text.batches import SequenceLoader
from gru_scratch.text.corpus import load_text
from gru_scratch.text.vocab import Vocab

Starts = dict[str, dict[str, list[Look]]]


@dataclass(frozen=True)
class GradientsConfig:
    """Measure gradient flow before and during training on a text, with and without clipping, and draw it."""

    cells: tuple[str, ...] = ("rnn", "gru", "lstm")
    """Cells by name, or one's own as path/to/file.py:ClassName."""
    span: int = 500
    """The longest k, in steps."""
    seeds: int = 3
    """Runs of each cell, from seeds 0, 1, ..."""
    looks: tuple[int, ...] = (0, 100, 300, 1000)
    """Updates after which the flow is measured; the last one ends the run."""
    sequences: int = 2
    """Pieces of the text, not trained on where it is long enough, that a look measures."""
    text: Path | None = None
    """Text file to learn, in UTF-8 (None: The Time Machine)."""
    max_tokens: int = 10_000
    """Train on this many characters from the start of the text."""
    num_hiddens: int = 64
    """Hidden units."""
    batch_size: int = 32
    """Sequences in a minibatch."""
    num_steps: int = 35
    """Characters of a sequence, through which gradients flow in training."""
    lr: float = 2.0
    """Learning rate of stochastic gradient descent: twice the book's, so that clipping has something to do."""
    clip: float = 1.0
    """Largest norm that all gradients together may have, in the runs that are clipped."""
    quick: bool = False
    """A first look: one seed, and updates 0, 100 and 200, whatever the options say."""
    out: Path | None = None
    """Folder to write, new or empty (None: runs/gradients, with a number added if that is taken)."""


def main() -> int:
    config = tyro.cli(GradientsConfig)
    seeds, looks = (1, (0, 100, 200)) if config.quick else (config.seeds, config.looks)
    options = GradientOptions(
        looks=looks,
        span=config.span,
        sequences=config.sequences,
        num_hiddens=config.num_hiddens,
        batch_size=config.batch_size,
        num_steps=config.num_steps,
        lr=config.lr,
        clip=config.clip,
    )
    options.validate()
    for name, value in (("seeds", seeds), ("max_tokens", config.max_tokens), ("cells", len(config.cells))):
        if value < 1:
            raise ValueError(f"expected {name} of at least 1, received {value}")
    cells = tuple(dict.fromkeys(config.cells))
    for cell in cells:
        resolve_cell(cell)
    corpus, pieces, vocab_size = read(config, options)
    folder = claim_folder(config.out, "gradients")
    torch.set_num_threads(1)  # the matrices are small: a second thread costs more than it gains
    starts: Starts = {cell: {way: [] for way in STARTS} for cell in cells}
    runs: list[GradientRun] = []
    kinds = [(cell, clip, seed) for cell in cells for clip in (options.clip, None) for seed in range(seeds)]
    try:
        with tqdm(total=len(kinds) * max(looks), unit="update", disable=None) as bar:
            for cell, ways in starts.items():
                for way, found in ways.items():
                    found += [flow_at_start(cell, vocab_size, pieces, way, seed, options) for seed in range(seeds)]
            for cell, clip, seed in kinds:
                bar.set_postfix_str(f"{cell}, {'not clipped' if clip is None else 'clipped'}", refresh=False)
                runs.append(watch_training(cell, corpus, pieces, vocab_size, seed, clip, options, bar.update))
    except BaseException:
        folder.rmdir()
        raise
    numbers = {"options": options, "start": starts, "runs": runs}
    pictures = {
        "gradients-start": draw_starts(starts),
        "gradients-training": draw_training(runs),
        "gradients-matrices": draw_matrices(runs),
    }
    paths = save_study(folder, "gradients", numbers, pictures)
    report(starts, runs)
    print(f"wrote {', '.join(map(str, paths))}")
    return 0


def read(config: GradientsConfig, options: GradientOptions) -> tuple[Tensor, Tensor, int]:
    """The text to train on, the pieces to measure on, and the size of the vocabulary."""
    text = load_text(config.text)
    if text.notice:
        print(f"note: {text.notice}", file=sys.stderr)
    characters = text.tokens("char")
    if not characters:
        raise ValueError(f"{text.path} holds no letter from a to z: nothing is left of it after cleaning")
    vocab = Vocab(characters)
    tokens = vocab.encode(characters)
    corpus, rest = tokens[: config.max_tokens], tokens[config.max_tokens :]
    SequenceLoader(corpus, options.batch_size, options.num_steps)  # is it long enough?
    return corpus, pieces_of(rest if len(rest) >= options.span else corpus, options), len(vocab)


def report(starts: Starts, runs: list[GradientRun]) -> None:
    """The flow at a few k, and how training went."""
    for cell, ways in starts.items():
        for way, looks in ways.items():
            print(f"{cell}, {way}, before training: {flow_line(looks[0].flow.lags, looks[0].flow.norms)}")
    for run in runs:
        clip = "not clipped" if run.clip is None else f"clipped at {run.clip:g}"
        end = (
            f"stopped at update {run.stopped_at}" if run.stopped_at else f"loss {run.losses[-1]:.2f}" * bool(run.losses)
        )
        last = run.looks[-1] if run.looks else None
        after = f"; after {last.update}: {flow_line(last.flow.lags, last.flow.norms)}" if last else ""
        print(f"{run.cell}, {clip}, seed {run.seed}: {end}{after}")


if __name__ == "__main__":
    run_command(main)
