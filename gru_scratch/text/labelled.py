"""Lines of text with labels: from a table, from a file for each class, or from the shipped story.

A table is a CSV file, or a TSV file if its name ends in .tsv, whose first line names the columns.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gru_scratch.text.corpus import clean_lines, story_path
from gru_scratch.text.reading import read_text, split_lines

WRITTEN, SHUFFLED = "written", "shuffled"
"""The labels of the story's lines, and of the same lines with their words shuffled."""
FEWEST_WORDS = 4
"""The least number of words in a line of the story."""


class Example(NamedTuple):
    """A text and its label."""

    text: str
    label: str
    origin: str
    """The text, or the text from which it was made: examples of one origin stay together when they are divided."""


class Parts(NamedTuple):
    """Examples to train on, to choose the model by, and to test it on; no origin is in two of them."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]


def read_table(path: str | os.PathLike[str], text: str = "text", label: str = "label") -> list[Example]:
    """The examples of a table's columns `text` and `label`.

    Raises FileNotFoundError if there is no such file; ValueError, with the line, if a column, text or label is missing.
    """
    content = read_text(Path(path)).removeprefix("\ufeff")
    delimiter = "\t" if Path(path).suffix.lower() == ".tsv" else ","
    rows = csv.DictReader(io.StringIO(content), delimiter=delimiter, strict=True)
    for column in (text, label):
        if column not in (names := rows.fieldnames or []):
            raise ValueError(f"{path} has no column {column!r}: its columns are {', '.join(map(repr, names))}")
    examples = []
    try:
        for row in rows:
            values = [(row[column] or "").strip() for column in (text, label)]
            for column, value in zip((text, label), values, strict=True):
                if not value:
                    raise ValueError(f"line {rows.line_num} of {path} has an empty {column}")
            examples.append(Example(values[0], values[1], values[0]))
    except csv.Error as error:
        raise ValueError(f"{path} is no table after line {rows.line_num}: {error}") from None
    return examples


def read_classes(files: Mapping[str, Path]) -> list[Example]:
    """The lines of a text file for each class, without blank ones; raises as `read_text`."""
    lines = {label: [line.strip() for line in split_lines(read_text(path))] for label, path in files.items()}
    return [Example(line, label, line) for label, each in lines.items() for line in each if line]


def story_examples(seed: int = 0) -> list[Example]:
    """Lines of the shipped story, only letters and in lower case, and the same lines with their words shuffled."""
    chance = random.Random(seed)
    examples = []
    for line in dict.fromkeys(clean_lines(read_text(story_path()))):
        words = line.split()
        if len(words) < FEWEST_WORDS or len(set(words)) < FEWEST_WORDS:
            continue
        shuffled = words[:]
        while shuffled == words:
            chance.shuffle(shuffled)
        examples += [Example(line, WRITTEN, line), Example(" ".join(shuffled), SHUFFLED, line)]
    return examples


def check_labels(examples: Sequence[Example]) -> list[str]:
    """The labels, sorted; ValueError unless there are at least two, each with at least two examples."""
    counts = Counter(example.label for example in examples)
    if len(counts) < 2:
        raise ValueError(
            f"expected examples of two classes at least, received {', '.join(map(repr, counts)) or 'none'}"
        )
    for label, count in counts.items():
        if count < 2:
            raise ValueError(f"expected two examples of each class at least, received {count} of {label!r}")
    return sorted(counts)


def balanced(examples: Sequence[Example]) -> list[Example]:
    """As many examples of each class as the smallest has, in their order."""
    least = min(Counter(example.label for example in examples).values())
    kept = {id(each) for label in check_labels(examples) for each in _in_order(examples, label)[:least]}
    return [example for example in examples if id(example) in kept]


def split_examples(examples: Sequence[Example], *, validation: float, test: float) -> Parts:
    """Divide examples by their origins; in each class, validation and test get these fractions of them.

    The order of origins by SHA-256 decides, not chance, so that the same examples are always divided alike. Of a class
    with few examples each part gets at least one, as long as one is left to train on.
    """
    part_of: dict[str, int] = {}
    for label in check_labels(examples):
        origins = list(dict.fromkeys(example.origin for example in _in_order(examples, label)))
        sizes = [max(round(fraction * len(origins)), fraction > 0) for fraction in (validation, test)]
        for place, origin in enumerate(origins):
            part = 1 if place < sizes[0] else 2 if place < sum(sizes) else 0
            part_of.setdefault(origin, 0 if place == len(origins) - 1 else part)
    parts = Parts([], [], [])
    for example in examples:
        parts[part_of[example.origin]].append(example)
    return parts


def _in_order(examples: Sequence[Example], label: str) -> list[Example]:
    """The examples of a class in the order of their origins' SHA-256."""
    own = [example for example in examples if example.label == label]
    return sorted(own, key=lambda each: hashlib.sha256(each.origin.encode("utf-8", "surrogatepass")).digest())
