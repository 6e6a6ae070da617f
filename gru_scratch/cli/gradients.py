"""Do gradients vanish or explode? The derivative of the last state with respect to the state k steps before."""

from __future__ import annotations

import sys

from torch import Tensor
from tqdm import tqdm

from gru_scratch.cells import resolve_cell
from gru_scratch.cli.summary import flow_line
from gru_scratch.studies.gradients.draw_gradients import draw_matrices, draw_starts, draw_training
from gru_scratch.studies.gradients.gradient_options import GradientArguments, GradientOptions
from gru_scratch.studies.gradients.runs import (
    STARTS,
    GradientRun,
    Look,
    flow_at_start,
    pieces_of,
    watch_training,
)
from gru_scratch.studies.results import claim_folder, save_study
from gru_scratch.studies.study_options import check_seeds, check_threads, part_of
from gru_scratch.text.batches import SequenceLoader
from gru_scratch.text.corpus import load_text
from gru_scratch.text.reading import shown
from gru_scratch.text.vocab import Vocab
from gru_scratch.training.threads import limit_threads

Starts = dict[str, dict[str, list[Look]]]


def main(given: GradientArguments) -> int:
    check_threads(given.threads)
    check_seeds(given.seeds)
    quick = {"looks": (0, 100, 200)} if given.quick else {}
    options = part_of(given, GradientOptions, **quick)
    seeds = 1 if given.quick else given.seeds
    for name, value in (("seeds", seeds), ("max_tokens", given.max_tokens), ("cells", len(given.cells))):
        if value < 1:
            raise ValueError(f"expected {name} of at least 1, received {value}")
    cells = tuple(dict.fromkeys(given.cells))
    for cell in cells:
        resolve_cell(cell)
    corpus, pieces, vocab_size = read(given, options)
    folder = claim_folder(given.out, "gradients")
    limit_threads(given.threads)
    starts: Starts = {cell: {way: [] for way in STARTS} for cell in cells}
    runs: list[GradientRun] = []
    numbers = {"options": options, "start": starts, "runs": runs}
    kinds = [(cell, clip, seed) for cell in cells for clip in (options.clip, None) for seed in range(seeds)]
    try:
        with tqdm(total=len(kinds) * max(options.looks), unit="update", disable=None) as bar:
            for cell, ways in starts.items():
                for way, found in ways.items():
                    found += [flow_at_start(cell, vocab_size, pieces, way, seed, options) for seed in range(seeds)]
            for cell, clip, seed in kinds:
                bar.set_postfix_str(f"{cell}, {'not clipped' if clip is None else 'clipped'}", refresh=False)
                runs.append(watch_training(cell, corpus, pieces, vocab_size, seed, clip, options, bar.update))
                save_study(folder, "gradients", numbers, {})  # what ends a long study leaves this
    finally:
        if runs:
            pictures = {
                "gradients-start": draw_starts(starts),
                "gradients-training": draw_training(runs),
                "gradients-matrices": draw_matrices(runs),
            }
            paths = save_study(folder, "gradients", numbers, pictures)
            report(starts, runs)
            print(f"wrote {', '.join(map(str, paths))}")
        else:
            folder.rmdir()
    return 0


def read(given: GradientArguments, options: GradientOptions) -> tuple[Tensor, Tensor, int]:
    """The text to train on, the pieces to measure on, and the size of the vocabulary."""
    text = load_text(given.text)
    if text.notice:
        print(f"note: {text.notice}", file=sys.stderr)
    characters = text.tokens("char")
    if not characters:
        raise ValueError(f"{shown(text.path)} holds no letter from a to z: nothing is left of it after cleaning")
    vocab = Vocab(characters)
    tokens = vocab.encode(characters)
    corpus, rest = tokens[: given.max_tokens], tokens[given.max_tokens :]
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
