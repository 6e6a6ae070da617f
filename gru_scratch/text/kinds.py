"""What counts as one token: a character, a word between white space, or a byte.

A byte is kept as the character of the same number (0 to 255), so that a vocabulary is made of strings in all three.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Sequence

KINDS = ("char", "word", "byte")


def split_tokens(text: str, kind: str) -> Sequence[str]:
    """The tokens of a text: a `str`, which is a sequence of characters or bytes, or a list of words.

    Bytes are those of UTF-8. Raises ValueError for another kind.
    """
    if kind == "char":
        return text
    if kind == "word":
        return text.split()
    if kind == "byte":
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    raise ValueError(f"tokens must be one of {', '.join(KINDS)}, received {kind!r}")


def join_tokens(tokens: Iterable[str], kind: str) -> str:
    """The text that tokens stand for: the inverse of `split_tokens`, but for the white space between words.

    Bytes that are not UTF-8 become U+FFFD.
    """
    if kind == "word":
        return " ".join(tokens)
    text = "".join(tokens)
    return text.encode("latin-1").decode("utf-8", "replace") if kind == "byte" else text


def token_writer(kind: str) -> Callable[[str], str]:
    """A function that is told of one token after another, and returns the text that each adds to what came before.

    The first bytes of a character add nothing, its last byte adds it. The first token follows a finished one.
    """
    if kind == "byte":
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return lambda byte: decoder.decode(byte.encode("latin-1"))
    before = " " if kind == "word" else ""
    return lambda token: before + token
