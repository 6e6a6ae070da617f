"""Pairs of sentences to translate: from a file, from the book, or generated.

A file of pairs is UTF-8 text with one pair a line, source and target separated by a tab. The exports of Anki (a third
column names the authors) and of Tatoeba (four columns: number, source, number, target) can be read, too.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from gru_scratch.text import corpus
from gru_scratch.text.number_words import LARGEST, chinese_date, chinese_number, english_date, english_number
from gru_scratch.text.reading import read_text, split_lines

FRA_ENG = "fra-eng"
FRA_ENG_URL = "http://d2l-data.s3-accelerate.amazonaws.com/fra-eng.zip"
FRA_ENG_SHA1 = "94646ad1522d915e7b0f9296181140edcf86a4f5"
FRA_ENG_FILE = Path("fra-eng") / "fra.txt"
FRA_ENG_SECONDS = 60.0
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2099, 12, 31)


class Pair(NamedTuple):
    """A sentence and its translation."""

    source: str
    target: str


class Parts(NamedTuple):
    """Pairs to train on, to choose the model by, and to test it on; no source is in two of them."""

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]


def read_pairs(path: str | os.PathLike[str]) -> list[Pair]:
    """The pairs of a file, in its order; blank lines are skipped.

    Raises FileNotFoundError if there is no such file; ValueError, with the line, if a line is not a pair.
    """
    lines = split_lines(read_text(Path(path)).removeprefix("\ufeff"))
    pairs = [_pair(line.rstrip("\n"), f"line {i} of {path}") for i, line in enumerate(lines, 1) if line != "\n"]
    if not pairs:
        raise ValueError(f"{path} has no pair: expected lines of a source and a target, separated by a tab")
    return pairs


def _pair(line: str, place: str) -> Pair:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) == 1:
        raise ValueError(f"{place} has one column: expected a source and a target, separated by a tab")
    if len(columns) >= 4 and columns[0].isdecimal() and columns[2].isdecimal():
        columns = columns[1::2]
    for side, sentence in zip(("source", "target"), columns, strict=False):
        if not sentence:
            raise ValueError(f"{place} has an empty {side}")
    return Pair(*columns[:2])


def find_fra_eng() -> Path:
    """The book's English–French pairs: from $GRU_SCRATCH_DATA, `download_folder()`, or by download into it.

    Raises FileNotFoundError, which says where to put them, if there are none.
    """
    named = os.environ.get(corpus.DATA_VARIABLE)
    folders = [*([Path(named)] if named else []), corpus.download_folder()]
    for folder in folders:
        if (folder / FRA_ENG_FILE).is_file():
            return folder / FRA_ENG_FILE
    place = folders[-1] / FRA_ENG_FILE
    archive = corpus.fetch(FRA_ENG_URL, f"sha1:{FRA_ENG_SHA1}", "fra-eng.zip", folders[-1], FRA_ENG_SECONDS)
    if archive is None:
        raise FileNotFoundError(
            f"the book's pairs are not at hand and could not be downloaded from {FRA_ENG_URL}: put them at {place}"
        )
    with zipfile.ZipFile(archive) as file:
        file.extract(FRA_ENG_FILE.as_posix(), folders[-1])
    return place


def made_pairs(count: int, *, largest: int = LARGEST, seed: int = 0) -> list[Pair]:
    """Numbers from 1 to `largest` and dates of two centuries in words, English to Chinese, one half each.

    Short numbers are drawn as often as long ones, as far as there are enough of them; no pair is repeated.
    """
    if count < 2:
        raise ValueError(f"expected at least 2 pairs to make, received {count}")
    chance = random.Random(seed)
    days = [FIRST_DAY + timedelta(days=k) for k in range((LAST_DAY - FIRST_DAY).days + 1)]
    dates = chance.sample(days, min(count // 2, len(days)))
    if count - len(dates) > largest:
        raise ValueError(f"expected at most {2 * largest:,} pairs of numbers up to {largest:,}, received {count:,}")
    numbers: dict[int, None] = {}  # in the order in which they were drawn
    while len(numbers) < count - len(dates):
        numbers[chance.randint(1, min(largest, 10 ** chance.randint(1, len(str(largest - 1)))))] = None
    pairs = [Pair(english_number(number), chinese_number(number)) for number in numbers]
    pairs += [Pair(english_date(day), chinese_date(day)) for day in dates]
    chance.shuffle(pairs)
    return pairs


def turned_round(pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs from targets to sources."""
    return [Pair(target, source) for source, target in pairs]


def clean_sentence(sentence: str) -> str:
    """The book's cleaning: lower case, single spaces, and a space before a mark (,.!?) that ends a word."""
    sentence = re.sub(r"(?<=\S)(?=[,.!?])", " ", sentence.lower())
    return " ".join(sentence.split())


def split_pairs(pairs: Sequence[Pair], *, validation: float, test: float) -> Parts:
    """Divide pairs by their source sentences; validation and test get these fractions of them.

    The order of sentences by SHA-256 decides, not chance, so that the same pairs are always divided alike.
    """
    sources = {pair.source for pair in pairs}
    order = sorted(sources, key=lambda source: hashlib.sha256(source.encode("utf-8", "surrogatepass")).digest())
    num_validation, num_test = round(validation * len(order)), round(test * len(order))
    rank = {source: place for place, source in enumerate(order)}
    parts = Parts([], [], [])
    for pair in pairs:
        place = rank[pair.source]
        parts[1 if place < num_validation else 2 if place < num_validation + num_test else 0].append(pair)
    if not parts.train:
        raise ValueError(f"no pair is left to train on: all {len(pairs)} are for validation and test")
    return parts


def kind_of_tokens(sentences: Iterable[str]) -> str:
    """ "word" where most sentences of a language have a space in them, else "char", as Chinese and Japanese."""
    spaced = [" " in sentence for sentence in sentences]
    return "word" if 2 * sum(spaced) >= len(spaced) else "char"
