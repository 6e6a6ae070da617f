"""What a reader sees in a text, character by character, and which units follow it.

Legend: ``T`` characters, ``H`` units, ``F`` features.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

QUOTES = {"“": 1, "”": 0, "«": 1, "»": 0}
"""Marks that open or close a quotation; a straight one does either."""


@dataclass(frozen=True)
class Feature:
    """Something that can be said of every character of a text."""

    name: str
    words: str
    """What it is, for a reader."""
    values: Tensor
    """(T,), float64."""

    @property
    def varies(self) -> bool:
        """Whether it differs anywhere in the text: what does not vary has no correlation."""
        return bool((self.values != self.values[:1]).any())


def features(text: Sequence[str]) -> list[Feature]:
    """The features of a text, given as its characters."""
    inside = _in_words(text)
    after = [*inside[1:], False]
    ends = [character in ("\n", "\r", "\r\n") for character in text]
    in_lines = [any(ends) and not end for end in ends]  # a text of one line has no lines to follow
    found: dict[str, tuple[str, Sequence[float]]] = {
        "word ends": (
            "1 at the last letter of a word, else 0",
            [now and not then for now, then in zip(inside, after, strict=True)],
        ),
        "between words": ("1 at a space or another character that belongs to no word, else 0", [not x for x in inside]),
        "position in word": ("1, 2, 3, ... from a word's first letter; 0 between words", _count(inside)),
        "inside quotes": ("1 between quotation marks, else 0", _quoted(text)),
        "position in line": ("1, 2, 3, ... from a line's start; 0 at its end", _count(in_lines)),
        "vowels": ("1 at a, e, i, o, u, with or without an accent, else 0", [_is_vowel(x) for x in text]),
    }
    return [Feature(name, words, torch.tensor(values, dtype=torch.float64)) for name, (words, values) in found.items()]


def correlations(values: Tensor, found: Sequence[Feature]) -> Tensor:
    """Pearson's correlation, through a text, of units with features: (T, H) → (F, H); 0 where either does not vary."""
    if not found:
        return values.new_zeros(0, values.shape[1])
    units = values.to(torch.float64).cpu()
    wanted = torch.stack([feature.values for feature in found])  # (F, T)
    units = units - units.mean(0)
    wanted = wanted - wanted.mean(1, keepdim=True)
    scale = wanted.norm(dim=1).unsqueeze(1) * units.norm(dim=0)  # (F, H)
    # What rounding leaves of the mean of equal numbers is no variation.
    flat = units.abs().amax(0) <= 1e-12 * values.to(torch.float64).cpu().abs().amax(0)
    still = (scale == 0) | flat
    product: Tensor = wanted @ units / scale.masked_fill(still, 1)
    return product.masked_fill(still, 0).clamp(-1, 1)


def _in_words(text: Sequence[str]) -> list[bool]:
    """Letters and digits are in a word, and so is an apostrophe between two of them."""
    letters = [character.isalnum() for character in text]
    between = [before and after for before, after in zip([False, *letters], [*letters[1:], False], strict=False)]
    return [x or (y and character in "'’") for character, x, y in zip(text, letters, between, strict=True)]


def _is_vowel(character: str) -> bool:
    return unicodedata.normalize("NFD", character.lower())[:1] in set("aeiou")


def _count(inside: Sequence[bool]) -> list[int]:
    """1, 2, 3, ... through each stretch, 0 outside."""
    counts, count = [], 0
    for now in inside:
        count = count + 1 if now else 0
        counts.append(count)
    return counts


def _quoted(text: Sequence[str]) -> list[bool]:
    """Whether a character stands between quotation marks, themselves not included. A blank line ends a quotation."""
    quoted, now, before = [], False, ""
    for character in text:
        if character == '"':
            quoted.append(False)
            now = not now
        elif character in QUOTES:
            quoted.append(False)
            now = bool(QUOTES[character])
        else:
            now = now and not (character == "\n" and before == "\n")
            quoted.append(now)
        before = before if character == "\r" else character
    return quoted
