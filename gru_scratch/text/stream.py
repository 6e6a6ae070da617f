"""A text of any size, read in chunks, its tokens counted or mapped to their indices.

The chunks are small enough for a processor's cache, and all work on them is done by NumPy and the codec.
"""

from __future__ import annotations

import codecs
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gru_scratch.text.corpus import clean_lines
from gru_scratch.text.reading import BETWEEN_FILES, TextPath, check_encoding, not_utf8, shown, text_files
from gru_scratch.text.vocab import Vocab

CHUNK_BYTES = 1 << 18

Piece = Any
"""A part of a text: `str` for characters, `bytes` for bytes, a list of `str` for words."""


class Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


def read_pieces(
    path: TextPath, kind: str, cleaning: str, digest: Hash, progress: Callable[[int], object] = lambda size: None
) -> Iterator[Piece]:
    """A text, of one file or of several, in pieces, each ready to be counted or numbered by its kind of token.

    Between two files is `BETWEEN_FILES`.
    Line ends \\r\\n and \\r become \\n, as Python reads a text file, and a byte order mark is dropped, unless tokens
    are bytes. With the `cleaning` "book" the text is cleaned line by line. `digest` is fed the bytes of the text;
    `progress` is told their number.

    Raises ValueError, with its place, for a zero byte or one that is not UTF-8, unless tokens are bytes.
    """
    files = text_files(path)
    ends = [*[BETWEEN_FILES.encode()] * (len(files) - 1), b""]
    texts = [_read_chunks(file, end, digest, progress) for file, end in zip(files, ends, strict=True)]
    if kind == "byte" and cleaning == "raw":
        return chain.from_iterable(texts)
    characters: Iterator[str] = chain.from_iterable(map(_decode, texts, files))
    if cleaning == "book":
        characters = _clean(characters)
    if kind == "byte":
        return (piece.encode() for piece in characters)
    return _words(characters) if kind == "word" else characters


def text_sha256(path: TextPath, progress: Callable[[int], object] = lambda size: None) -> str:
    """The SHA-256 sum of a text's bytes, as `read_pieces` feeds them to its digest."""
    digest = hashlib.sha256()
    for _ in read_pieces(path, "byte", "raw", digest, progress):
        pass
    return digest.hexdigest()


def text_size(path: TextPath) -> int:
    """The bytes of a text's files together."""
    return sum(file.stat().st_size for file in text_files(path))


def _read_chunks(path: Path, end: bytes, digest: Hash, progress: Callable[[int], object]) -> Iterator[bytes]:
    """The bytes of a file in chunks, and then `end`."""
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            yield chunk
            progress(len(chunk))
    if end:
        digest.update(end)
        yield end


def _decode(chunks: Iterator[bytes], path: Path) -> Iterator[str]:
    """Decode UTF-8; both decoders keep a character or \\r\\n that a chunk cuts in two for the next chunk."""
    decode_bytes = codecs.getincrementaldecoder("utf-8")()
    line_ends = io.IncrementalNewlineDecoder(None, translate=True)
    read = 0
    for chunk in chunks:
        check_encoding(path, chunk, read)
        waiting = len(decode_bytes.getstate()[0])
        try:
            piece = line_ends.decode(decode_bytes.decode(chunk))
        except UnicodeDecodeError as error:
            raise not_utf8(path, read - waiting, error) from None
        yield piece if read else piece.removeprefix("\ufeff")
        read += len(chunk)
    waiting = len(decode_bytes.getstate()[0])
    try:
        yield line_ends.decode(decode_bytes.decode(b"", final=True), final=True)
    except UnicodeDecodeError as error:
        raise not_utf8(path, read - waiting, error) from None


def _clean(pieces: Iterator[str]) -> Iterator[str]:
    """The book's cleaning, applied to complete lines."""
    rest = ""
    for piece in pieces:
        lines, newline, rest_of_piece = piece.rpartition("\n")
        if newline:
            yield "".join(clean_lines(rest + lines))
            rest = rest_of_piece
        else:
            rest += piece
    yield "".join(clean_lines(rest))


def _words(pieces: Iterator[str]) -> Iterator[list[str]]:
    """Split into words; one that a piece cuts in two waits for the next piece."""
    rest = ""
    for piece in filter(None, pieces):
        words = (rest + piece).split()
        rest = "" if piece[-1].isspace() else words.pop()
        yield words
    yield rest.split()


def code_points(piece: str | bytes) -> NDArray[Any]:
    """The code of each character or byte: uint8 if that is enough, else uint32."""
    if isinstance(piece, str) and not piece.isascii():
        return np.frombuffer(piece.encode("utf-32-le"), dtype="<u4")
    return np.frombuffer(piece.encode("ascii") if isinstance(piece, str) else piece, dtype=np.uint8)


class CodeCounter:
    """Counts characters or bytes, and records the order of their first appearance."""

    def __init__(self) -> None:
        self.counts = np.zeros(0x110000, np.int64)
        self.order: list[int] = []

    def add(self, piece: str | bytes) -> None:
        codes = code_points(piece)
        counts = np.bincount(codes)
        seen = self.counts[: len(counts)]
        new = np.flatnonzero((seen == 0) & (counts > 0))
        if len(new):
            # Written from the last place to the first, so that the first is what stays.
            place = np.empty(len(counts), np.int64)
            place[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
            self.order += new[np.argsort(place[new])].tolist()
        seen += counts

    def result(self) -> Counter[str]:
        return Counter({chr(code): int(self.counts[code]) for code in self.order})


class WordCounter:
    """Counts words, in the order of their first appearance."""

    def __init__(self) -> None:
        self.words: Counter[str] = Counter()

    def add(self, piece: list[str]) -> None:
        self.words.update(piece)

    def result(self) -> Counter[str]:
        return self.words


def count_tokens(pieces: Iterable[Piece], kind: str, min_freq: int = 0) -> Vocab:
    """The vocabulary of a text that comes in pieces."""
    counter: Any = WordCounter() if kind == "word" else CodeCounter()
    for piece in pieces:
        counter.add(piece)
    return Vocab.from_counts(counter.result(), min_freq)


def check_not_empty(vocab: Vocab, path: TextPath, cleaning: str) -> None:
    """ValueError if the text has no token at all, or if all are too rare for the vocabulary."""
    if not vocab.token_freqs:
        why = "no letter from a to z: nothing is left of it after cleaning" if cleaning == "book" else "no token at all"
        raise ValueError(f"{shown(path)} holds {why}")
    if len(vocab) == 1:
        _, most = vocab.token_freqs[0]
        raise ValueError(f"min_freq leaves no token of {shown(path)}: the most frequent one occurs {most:,} times")


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest of uint8, uint16 and uint32 that holds the index of every token."""
    return np.dtype(next(t for t in ("<u1", "<u2", "<u4") if vocab_size - 1 <= np.iinfo(t).max))


def encoder(vocab: Vocab, kind: str) -> Callable[[Piece], NDArray[Any]]:
    """A function from pieces to the indices of their tokens."""
    dtype = token_dtype(len(vocab))
    if kind == "word":
        find = vocab.token_to_idx.get
        return lambda words: np.fromiter(map(find, words, repeat(vocab.unk)), dtype, count=len(words))
    table = np.full(0x110000, vocab.unk, dtype)
    for token, index in vocab.token_to_idx.items():
        if len(token) == 1:
            table[ord(token)] = index
    # "clip" saves a check of the codes, none of which is outside the table.
    return lambda piece: table.take(code_points(piece), mode="clip")
