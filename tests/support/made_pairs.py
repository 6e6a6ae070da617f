"""A file of pairs like the book's, small and made by a program: `$GRU_SCRATCH_DATA/fra-eng/fra.txt`."""

from __future__ import annotations

from itertools import product
from pathlib import Path

WHO = {"I": "Je", "You": "Tu", "Tom": "Tom", "The cat": "Le chat"}
DOES = {"run": "cours", "sleep": "dors", "see it": "le vois", "see the sea": "vois la mer", "say so": "le dis"}
HOW = {".": ".", "!": "\u202f!", " now.": " maintenant.", ", too.": " aussi.", ", I say?": ", dis-je\xa0?"}


def made_text() -> str:
    """A hundred pairs, the shorter first, and a line that is none."""
    pairs = [
        (f"{who}{'' if who == 'I' else ','} {does}{how}", f"{qui} {fait}{comment}")
        for (who, qui), (does, fait), (how, comment) in product(WHO.items(), DOES.items(), HOW.items())
    ]
    lines = [f"{english}\t{french}" for english, french in sorted(pairs, key=lambda pair: len(pair[0]))]
    return "\n".join([*lines[:50], "no pair at all", *lines[50:], ""])


def write_pairs(folder: Path) -> Path:
    """Put the file where the library looks for it below `folder`; the folder that it is in."""
    place = folder / "fra-eng"
    place.mkdir()
    (place / "fra.txt").write_text(made_text(), encoding="utf-8")
    return place
