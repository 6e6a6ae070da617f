"""A text as the model of a run reads texts: cleaned, and cut into tokens, as that of the run was."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from gru_scratch.text.corpus import Source, clean_lines, find_text
from gru_scratch.text.reading import TextPath, places, shown, split_lines
from gru_scratch.text.stream import read_pieces, text_sha256
from gru_scratch.text.vocab import UNKNOWN, split_tokens
from gru_scratch.training.folder import LoadedRun


def tokens_of_text(run: LoadedRun, text: str) -> list[str]:
    """The tokens of `text`.

    Raises ValueError if there are none.
    """
    if not text:
        raise ValueError("the text is empty: expected at least one character")
    kind = run.config.tokens
    if run.cleaning == "book":
        text = "".join(clean_lines(text))
    elif kind != "byte":
        text = "".join(split_lines(text))  # line ends as in a text file
    tokens = split_tokens(text, kind)
    _check_left(tokens, "the text", run.cleaning)
    return with_unknown(run, tokens)


def tokens_of_files(run: LoadedRun, path: TextPath, most: int | None = None) -> list[str]:
    """The tokens of a text, or only the first `most` of them: no more of it is then read than they need.

    Raises FileNotFoundError or ValueError where there is no such text, or no token in it.
    """
    tokens: list[str] = []
    for piece in read_pieces(path, run.config.tokens, run.cleaning, hashlib.sha256()):
        tokens += piece.decode("latin-1") if isinstance(piece, bytes) else piece
        if most is not None and len(tokens) >= most:
            break
    _check_left(tokens, shown(path), run.cleaning)
    return with_unknown(run, tokens[:most])


def find_own_text(run: LoadedRun) -> Source:
    """The text that the run was trained on, where it was then, or where it is found now.

    Raises ValueError if it has changed or another is found; FileNotFoundError if none is.
    """
    found = find_text(run.config.text)
    for source in (Source(found.name, run.text_path), found):
        if all(place.exists() for place in places(source.path)) and text_sha256(source.path) == run.text_sha256:
            return source
    raise ValueError(
        f"the run was trained on another text than {shown(found.path)}, by its SHA-256: --file names the text to read"
    )


def with_unknown(run: LoadedRun, tokens: Sequence[str]) -> list[str]:
    """`tokens`, those that the vocabulary lacks as the unknown one, if the run was trained with rare ones as such."""
    if run.config.min_freq <= 1:
        return list(tokens)
    return [token if token in run.vocab.token_to_idx else UNKNOWN for token in tokens]


def _check_left(tokens: Sequence[str], what: str, cleaning: str) -> None:
    if not tokens:
        why = (
            "is left of it after cleaning: it has no letter from a to z" if cleaning == "book" else "but space is in it"
        )
        raise ValueError(f"{what}: nothing {why}")
