"""Continue a prefix with a trained model."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from gru_scratch.cli.arguments import GenerateArguments
from gru_scratch.generate.continuation import clean_prefix, streams
from gru_scratch.training.folder import load_run
from gru_scratch.training.hardware import check_memory, pick_device

RULE = "-" * 20
"""Printed between samples."""


def main(given: GenerateArguments) -> int:
    idle = [option for option in ("top_k", "top_p", "seed") if getattr(given, option) is not None]
    if given.temperature == 0 and idle:
        names = ", ".join(f"--{option.replace('_', '-')}" for option in idle)
        print(f"note: {names} has no effect: --temperature 0 always takes the likeliest", file=sys.stderr)
    device = pick_device(given.device)
    run = load_run(given.run, device, cell=given.cell, best=given.best)
    prefix = as_typed(given.prefix)
    if run.cleaning == "book":
        prefix = clean_prefix(prefix)
    if given.prefix and not prefix:
        raise ValueError(f"nothing is left of the prefix {given.prefix!r} after cleaning: it has no letter from a to z")
    check_memory(f"n = {given.n:,}", 4 * given.n * (run.config.num_layers * run.config.num_hiddens + len(run.vocab)))
    if given.n > 1:
        check_memory(f"a length of {given.length:,}", 8 * given.n * given.length)  # all but the first are kept
    rows = streams(
        run.model,
        run.vocab,
        prefix,
        given.length,
        device,
        temperature=given.temperature,
        top_k=given.top_k,
        top_p=given.top_p,
        n=given.n,
        seed=given.seed,
        kind=run.config.tokens,
    )
    show(rows)
    return 0


def show(rows: Iterator[list[str]]) -> None:
    """Print the first sample as it comes, then the others, which have come with it."""
    others = []
    for first, *rest in rows:
        print(first, end="", flush=True)
        if rest:
            others.append(rest)
    print()
    for pieces in zip(*others, strict=True):
        print(RULE)
        print("".join(pieces))


def as_typed(argument: str) -> str:
    """The characters of an argument in UTF-8, also where the locale knows none of them."""
    try:
        argument.encode()
    except UnicodeEncodeError:  # bytes that Python could not read came as lone surrogates
        return os.fsencode(argument).decode(errors="surrogateescape")
    return argument
