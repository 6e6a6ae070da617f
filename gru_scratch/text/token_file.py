"""Texts that are larger than memory, as token indices in a file: made by two passes over the text, then mapped.

    TEXT.char.tokens        the indices, little-endian, each in 1, 2 or 4 bytes as the vocabulary needs
    TEXT.char.tokens.json   the vocabulary, and SHA-256 sums of the text, of the indices and of the vocabulary

The sums are checked each time the file is opened: if the text has changed since, or the file is damaged, it is made
again.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gru_scratch.text.files import Lock, replacing
from gru_scratch.text.reading import TextPath, places, shown, text_name
from gru_scratch.text.stream import (
    check_not_empty,
    count_tokens,
    encoder,
    read_pieces,
    text_sha256,
    text_size,
    token_dtype,
)
from gru_scratch.text.vocab import Vocab

FORMAT = 1
BYTES_BEFORE_RELEASE = 1 << 25
BYTES_A_FAULT = 1 << 20  # what a system may map around the one page that was asked for (Linux 6.18: up to 2 MB)

Progress = Callable[[str, int, int], object]
"""Called with the name of the task, the number of bytes done since the last call, and that of all bytes."""


class MappedTokens:
    """The tokens of a file as a sequence (N,), with `len`, slices, and windows as tensors.

    Pages of memory that were read are released now and then, so that the memory of the process does not grow.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._numbers: NDArray[Any] = np.frombuffer(self._map, dtype)
        self._touched = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, part: slice) -> MappedTokens:
        view = object.__new__(MappedTokens)
        view._map, view._numbers, view._touched = self._map, self._numbers[part], 0
        return view

    def windows(self, starts: NDArray[np.int64], length: int) -> Tensor:
        """The tokens from each of B places on, (B, length), int64."""
        numbers = np.stack([self._numbers[start : start + length] for start in starts])
        self._release(len(starts) * max(BYTES_A_FAULT, length * self._numbers.itemsize))
        return torch.from_numpy(numbers.astype(np.int64))

    def counts(self, size: int) -> Tensor:
        """How often each of the indices 0 .. size - 1 occurs, (size,), int64."""
        total = np.zeros(size, np.int64)
        step = 1 << 20
        for start in range(0, len(self), step):
            part = self._numbers[start : start + step]
            total += np.bincount(part, minlength=size)
            self._release(part.nbytes)
        return torch.from_numpy(total)

    def _release(self, touched: int) -> None:
        self._touched += touched
        if self._touched > BYTES_BEFORE_RELEASE and hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0


@dataclass(frozen=True)
class TokenFile:
    """A text as token indices in a file."""

    tokens: MappedTokens
    vocab: Vocab
    sha256: str
    """The SHA-256 of the text."""
    notice: str | None
    """A line for the user if the file existed and could not be used, else None."""


def open_token_file(
    text: TextPath,
    kind: str = "char",
    *,
    cleaning: str = "raw",
    min_freq: int = 0,
    folder: Path | None = None,
    progress: Progress = lambda task, done, total: None,
) -> TokenFile:
    """The token file of a text, which is made unless there is one of this text.

    Args:
        text: a text file of any size, a folder of such, or several of these.
        kind: of token: char, word or byte.
        cleaning: raw, or book: the book's cleaning, line by line.
        min_freq: tokens that occur less often get the number of `<unk>`.
        folder: where token files are kept; by default beside the text, or the first of several.

    Raises as `text_files` and `read_pieces`; ValueError if the text holds no token, or changes meanwhile; OSError, with
    advice, if the file cannot be written.
    """
    size = text_size(text)
    folder = places(text)[0].parent if folder is None else folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot make the folder {folder} for token files: {error.strerror}") from error
    marks = [
        text_name(text),
        kind,
        *([cleaning] if cleaning != "raw" else []),
        *([f"min{min_freq}"] if min_freq > 1 else []),
    ]
    path = folder / (".".join(marks) + ".tokens")
    wanted = {"format": FORMAT, "tokens": kind, "cleaning": cleaning, "min_freq": min_freq}
    with Lock(folder) as lock:
        lock.wait()
        notice = None
        if path.exists() or _description(path).exists():
            sha256 = text_sha256(text, lambda done: progress("checking", done, size))
            try:
                return TokenFile(*_read(path, wanted | {"source_sha256": sha256}), sha256, None)
            except ValueError as error:
                notice = f"{path} is made anew: {error}"
        sha256 = _make(path, text, wanted, lambda task, done: progress(task, done, size))
        return TokenFile(*_read(path, wanted | {"source_sha256": sha256}), sha256, notice)


def _make(path: Path, text: TextPath, wanted: dict[str, Any], progress: Callable[[str, int], object]) -> str:
    """Write the token file and its description; return the SHA-256 of the text."""
    kind, cleaning = wanted["tokens"], wanted["cleaning"]
    before = hashlib.sha256()
    vocab = count_tokens(
        read_pieces(text, kind, cleaning, before, lambda done: progress("counting", done)),
        kind,
        wanted["min_freq"],
    )
    check_not_empty(vocab, text, cleaning)
    encode = encoder(vocab, kind)
    after, written = hashlib.sha256(), hashlib.sha256()
    with _replacing(path) as file:
        for piece in read_pieces(text, kind, cleaning, after, lambda done: progress("encoding", done)):
            numbers = encode(piece).data
            written.update(numbers)
            file.write(numbers)
        if after.digest() != before.digest():
            raise ValueError(f"{shown(text)} was changed while it was being read: nothing was made of it")
    content = vocab.to_json()
    description = wanted | {
        "source_sha256": before.hexdigest(),
        "tokens_sha256": written.hexdigest(),
        "vocab_sha256": hashlib.sha256(content.encode()).hexdigest(),
        "vocab": content,
    }
    with _replacing(_description(path)) as file:
        file.write((json.dumps(description, indent=1) + "\n").encode())
    return before.hexdigest()


def _read(path: Path, wanted: dict[str, Any]) -> tuple[MappedTokens, Vocab]:
    """The token indices and their vocabulary. ValueError, with the reason, unless both are those of the text."""
    try:
        description = json.loads(_description(path).read_bytes())
        content, sums = description["vocab"], [description[f"{name}_sha256"] for name in ("source", "tokens", "vocab")]
        sums_now = [wanted["source_sha256"], _file_sha256(path), hashlib.sha256(content.encode()).hexdigest()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("a part of it is missing or damaged") from None
    if sums_now[0] != sums[0]:
        raise ValueError("the text has changed since it was made")
    if sums_now != sums or any(description.get(name) != value for name, value in wanted.items()):
        raise ValueError("it is damaged, its SHA-256 sums are not the ones noted")
    vocab = Vocab.from_json(content)
    return MappedTokens(path, token_dtype(len(vocab))), vocab


def _description(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """As `replacing`, with advice if the file cannot be written."""
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"cannot write {path}: {reason}; token_dir names another folder for it") from error
