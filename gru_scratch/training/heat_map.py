"""A matrix as a picture with named rows and columns, in any script for which this machine has a font."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache, lru_cache

from matplotlib import font_manager
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from torch import Tensor

from gru_scratch.training.drawing import new_figure, png

CELL = 0.34
"""The size of a row or column in inches."""
FEWEST, MOST = 3.2, 16.0
"""The least and largest side of the picture in inches."""


def draw_heat_map(
    values: Tensor,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    across: str,
    down: str,
    title: str,
    figures: bool = False,
) -> bytes:
    """A PNG of values (R, C) of at least 0, the darker the larger; `across` and `down` name the axes.

    With `figures` each value is written, too. A character that no font has is drawn as a box: see `without_font`.
    """
    width, height = (min(max(FEWEST, 1.6 + CELL * len(names)), MOST) for names in (columns, rows))
    font = FontProperties(family=["DejaVu Sans", *_fonts_for("".join([*rows, *columns]))])
    figure = new_figure(width, height)
    axes = figure.subplots()
    axes.imshow(values.tolist(), cmap="Blues", vmin=0, aspect="auto")
    long = max(map(len, columns), default=0) > 2
    axes.set_xticks(range(len(columns)), [_shown(name) for name in columns], rotation=90 if long else 0)
    axes.set_yticks(range(len(rows)), [_shown(name) for name in rows])
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_fontproperties(font)
        label.set_parse_math(False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(across)
    axes.set_ylabel(down)
    figure.suptitle(title, fontsize="medium")
    if figures:
        most = float(values.max())
        for i, row in enumerate(values.tolist()):
            for j, value in enumerate(row):
                colour = "white" if value > most / 2 else "black"
                axes.text(j, i, f"{value:,}", ha="center", va="center", color=colour, fontsize="small")
    return png(figure)


def without_font(text: str) -> str:
    """The characters of a text that no font of this machine has, each once."""
    return "".join(dict.fromkeys(character for character in text if character.isprintable() and not _has(character)))


def _shown(name: str) -> str:
    """The name as it is drawn: a space, which is a token too, would not be seen."""
    return "".join("␣" if character.isspace() else character for character in name)


def _has(character: str) -> bool:
    return any(ord(character) in _characters(path) for path in [_default(), *_other_fonts()])


def _fonts_for(text: str) -> list[str]:
    """Names of the fonts that have the characters that the default font lacks."""
    missing = {ord(character) for character in text if character.isprintable()} - _characters(_default())
    names = []
    for path, name in _other_fonts().items():
        if missing & _characters(path):
            names.append(name)
            missing -= _characters(path)
        if not missing:
            break
    return names


def _default() -> str:
    return font_manager.findfont("DejaVu Sans")


@cache
def _other_fonts() -> dict[str, str]:
    """Names of the scalable fonts, by their files; but for matplotlib's own, which has a box for every character.

    Those that were installed after matplotlib made its list, which it keeps, are added to it.
    """
    manager = font_manager.fontManager
    for path in set(font_manager.findSystemFonts()) - {entry.fname for entry in manager.ttflist}:
        with suppress(OSError, RuntimeError):  # a file that is no such font
            manager.addfont(path)
    return {entry.fname: entry.name for entry in manager.ttflist if "Last Resort" not in entry.name}


@lru_cache(maxsize=256)
def _characters(path: str) -> frozenset[int]:
    """The code points that a font has; none for a file that is no font."""
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
