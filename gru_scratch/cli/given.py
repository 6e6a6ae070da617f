"""The sentences that a command is given: one as an option, or the lines of a file or of a pipe."""

from __future__ import annotations

import sys
from pathlib import Path

from gru_scratch.cli.generate import as_typed
from gru_scratch.text.reading import read_text, split_lines


def given_sentences(text: str | None, file: Path | None) -> list[str]:
    """The sentences. ValueError where none are given, or one is empty, with its line."""
    if text is not None and file is not None:
        raise ValueError("expected --text or --file, received both")
    if text is not None:
        if not text.strip():
            raise ValueError(f"expected a sentence, received the empty text {text!r}")
        return [as_typed(text)]
    if file is None and sys.stdin.isatty():
        raise ValueError("expected --text, --file or lines from a pipe, received none of them")
    lines = split_lines(read_text(file)) if file is not None else list(sys.stdin)
    name = "the pipe" if file is None else str(file)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise ValueError(f"line {number} of {name} is empty: expected a sentence on each line")
    if not lines:
        raise ValueError(f"{name} is empty: expected a sentence on each line")
    return [line.strip() for line in lines]
