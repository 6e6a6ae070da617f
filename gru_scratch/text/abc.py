"""Bars of tunes in ABC notation: how many of them add up to their meter."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

METERS = {"C": Fraction(1), "C|": Fraction(1)}
"""The meters with a sign of their own: common time and cut time."""
TUPLETS = {2: Fraction(3, 2), 3: Fraction(2, 3), 4: Fraction(3, 4), 6: Fraction(1, 3)}
"""The length of a note in a tuplet of so many notes, as a fraction of its written length."""

_LENGTH = r"(?P<times>\d*)(?P<parts>(?:/\d*)*)"
_PITCH = r"[_^=]*[A-Ga-g][,']*"
_TOKEN = re.compile(
    rf"""(?P<field>\[[A-Za-z]:[^]\n]*])
    |(?P<bar>:*\|[|\]:]*|::)(?:\[?[1-9])?|\[[1-9]
    |(?P<note>{_PITCH}|[zx]|\[(?:{_PITCH})+]){_LENGTH}
    |\((?P<tuplet>[2-9])
    |(?P<broken>[<>])
    |(?P<silent>"[^"\n]*"|![^!\n]*!|\{{[^}}\n]*}}|[\s()\-~.\\])
    |(?P<unknown>.)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Bars:
    """The number of bars of a tune that add up to its meter, and of all its bars."""

    right: int
    total: int

    @property
    def all_right(self) -> bool:
        """Whether there are bars, and each adds up."""
        return 0 < self.total == self.right


def split_tunes(text: str) -> list[str]:
    """The tunes of a text: each begins with a line "X:" and ends before the next."""
    return [tune.strip() + "\n" for tune in re.findall(r"^X:.*?(?=^X:|\Z)", text, re.MULTILINE | re.DOTALL)]


def count_bars(tune: str) -> Bars:
    """Count the bars of one tune, each in the meter (M:) and unit of length (L:) that hold there.

    It reads notes, rests, chords, tuplets of 2, 3, 4 or 6, broken rhythm and fields in brackets; ties, slurs, graces,
    ornaments and chord names take no time. A bar with any other sign or without a meter does not add up, nor does an
    upbeat, which is shorter than the meter.
    """
    reader = _Reader()
    for line in tune.splitlines():
        line = line.partition("%")[0]
        if re.match(r"[A-Za-z]:", line):
            reader.read_field(line)
        else:
            reader.read_music(line + "\n")
    reader.end_bar()
    return Bars(reader.right, reader.total)


@dataclass
class _Reader:
    """Adds up lengths, in whole notes, from bar line to bar line."""

    right: int = 0
    total: int = 0
    meter: Fraction | None = None
    unit: Fraction | None = None
    lengths: list[Fraction] = field(default_factory=list)
    """The length of the notes in the bar so far."""
    is_clear: bool = True
    """Whether every sign of the bar is known."""
    tuplet: list[Fraction] = field(default_factory=list)
    """The factors of the lengths of the next notes."""
    broken: Fraction = Fraction(1)
    """The factor of the next note's length from broken rhythm."""

    def read_field(self, line: str) -> None:
        """Read a field: M: and L: change how bars are counted, others do not."""
        name, value = line[0], line[2:].strip()
        fraction = re.fullmatch(r"(\d+)/([1-9]\d*)", value)
        if name == "M":
            self.meter = Fraction(int(fraction[1]), int(fraction[2])) if fraction else METERS.get(value)
        elif name == "L":
            self.unit = Fraction(int(fraction[1]), int(fraction[2])) if fraction else None

    def read_music(self, line: str) -> None:
        for token in _TOKEN.finditer(line):
            if token["field"]:
                self.read_field(token["field"][1:-1])
            elif token["bar"]:
                self.end_bar()
            elif token["note"]:
                self._add_note(token["times"], token["parts"])
            elif token["tuplet"]:
                count = int(token["tuplet"])
                self.is_clear = self.is_clear and count in TUPLETS
                self.tuplet = [TUPLETS.get(count, Fraction(1))] * count
            elif token["broken"]:
                self._break(token["broken"])
            elif token["unknown"]:
                self.is_clear = False

    def end_bar(self) -> None:
        """Count the bar, if it is not empty, and begin the next."""
        if self.lengths or not self.is_clear:
            self.total += 1
            self.right += self.is_clear and not self.tuplet and self.broken == 1 and sum(self.lengths) == self.meter
        self.lengths, self.is_clear, self.tuplet, self.broken = [], True, [], Fraction(1)

    def _add_note(self, times: str, parts: str) -> None:
        """Add a note of, say, 3/2 units; a slash alone halves."""
        divisors = [int(divisor or 2) for divisor in parts.split("/")[1:]]
        if 0 in divisors:
            self.is_clear = False
            return
        length = self._unit() * int(times or 1) * self.broken
        for divisor in divisors:
            length /= divisor
        if self.tuplet:
            length *= self.tuplet.pop()
        self.lengths.append(length)
        self.broken = Fraction(1)

    def _break(self, sign: str) -> None:
        """Lengthen the note on one side of > or < by half, and halve the one on the other."""
        if not self.lengths:
            self.is_clear = False
            return
        before, self.broken = (Fraction(3, 2), Fraction(1, 2)) if sign == ">" else (Fraction(1, 2), Fraction(3, 2))
        self.lengths[-1] *= before

    def _unit(self) -> Fraction:
        """The unit of length: L:, or without it the default of the notation."""
        if self.unit is not None:
            return self.unit
        return Fraction(1, 16) if self.meter is not None and self.meter < Fraction(3, 4) else Fraction(1, 8)
