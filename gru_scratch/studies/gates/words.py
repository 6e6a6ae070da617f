"""Gates in words: their names, what they do, and their equations as the cell's own docstring has them."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from dataclasses import dataclass

from gru_scratch.cells import (
    Cell,
    CIFGEquations,
    GRUEquations,
    LayerNormGRUEquations,
    LayerNormLSTMEquations,
    LSTMEquations,
    MGUEquations,
    MinGRUEquations,
    MinLSTMEquations,
    PeepholeLSTMEquations,
    RNNEquations,
    Zoneout,
)


@dataclass(frozen=True)
class Description:
    """A gate or a state for a reader."""

    title: str
    equation: str
    """A line of the cell's docstring; empty if it has none."""
    words: str


_GRU = {
    "r": (
        "reset gate",
        "How much of its past the unit takes into account when it proposes a new value: near 0 it starts afresh from "
        "what it reads, near 1 it uses what the layer remembers.",
    ),
    "z": (
        "update gate",
        "How much of the old state stays: near 1 the unit holds on to what it has, near 0 it takes the candidate.",
    ),
    "n": (
        "candidate",
        "The new value that the unit proposes, from what it reads and from that part of the past which the reset gate "
        "lets through.",
    ),
    "h": (
        "hidden state",
        "What the unit holds now: z parts of its old value and 1 − z parts of the candidate. What comes next is "
        "predicted from it.",
    ),
}
_LSTM = {
    "i": (
        "input gate",
        "How much of the candidate is written into the memory: near 0 nothing, near 1 all of it.",
    ),
    "f": ("forget gate", "How much of the memory stays: near 1 the unit remembers, near 0 it forgets."),
    "g": ("candidate", "The new value that the unit proposes to write, from what it reads and the state before."),
    "o": ("output gate", "How much of the memory shows: near 0 the unit keeps it to itself, near 1 it tells the rest."),
    "h": ("hidden state", "What the unit shows of its memory; what comes next is predicted from it."),
    "c": ("memory cell", "What the unit remembers: it only fades, by the forget gate, and is added to."),
}
_CANDIDATE_OF_INPUT = ("candidate", "The new value that the unit proposes, from what it reads alone.")
_WORDS: dict[type[Cell], dict[str, tuple[str, str]]] = {
    MinGRUEquations: {
        "z": (
            "update gate",
            "How much of the old state the candidate overwrites: near 0 the unit holds on to what it has. It sees what "
            "is read, and not the state.",
        ),
        "n": _CANDIDATE_OF_INPUT,
        "h": ("hidden state", "What the unit holds now: 1 − z parts of its old value and z parts of the candidate."),
    },
    MinLSTMEquations: {
        "f": ("forget gate", "How much of the old state stays, in proportion to f + i. It sees what is read alone."),
        "i": (
            "input gate",
            "How much of the candidate is written, in proportion to f + i. It sees what is read alone.",
        ),
        "n": _CANDIDATE_OF_INPUT,
        "h": ("hidden state", "What the unit holds now: its old value and the candidate, weighed by f and i."),
    },
    RNNEquations: {
        "h": (
            "hidden state",
            "What the unit holds now. There is no gate: every step makes the whole state anew, from what is read and "
            "the state before.",
        )
    },
    GRUEquations: _GRU,
    LayerNormGRUEquations: _GRU,
    MGUEquations: {
        "f": (
            "forget gate",
            "How much of the state is replaced, and how much of the past the candidate sees: near 0 the unit holds on "
            "to what it has, near 1 it takes the candidate.",
        ),
        "n": (
            "candidate",
            "The new value that the unit proposes, from what it reads and the part of its past that the gate lets in.",
        ),
        "h": (
            "hidden state",
            "What the unit holds now: 1 − f parts of its old value and f parts of the candidate. What comes next is "
            "predicted from it.",
        ),
    },
    LSTMEquations: _LSTM,
    PeepholeLSTMEquations: _LSTM,
    LayerNormLSTMEquations: _LSTM,
    CIFGEquations: {
        **_LSTM,
        "f": (
            "forget gate",
            "How much of the memory stays; what it leaves over, 1 − f, is how much of the candidate is written.",
        ),
    },
}


def describe(cell: Cell, name: str, is_state: bool) -> Description:
    """A gate or state of `cell` in words: of shipped cells in ours, of others in those of their docstring."""
    inner: Cell = cell.cell if isinstance(cell, Zoneout) else cell
    kind = "state" if is_state else "gate"
    known = _WORDS.get(type(inner), {})
    title, words = known.get(name, (f"{kind} {name}", f"A {kind} of {type(inner).__name__}, as its step returns it."))
    if inner is not cell and is_state:
        words += " Zoneout mixes in some of its old value."
    return Description(title, equation(inner, name), words)


def equation(cell: Cell, name: str) -> str:
    """The line of the cell's docstring that says what `name` is; empty if there is none.

    Of lines for different options of the cell (``reset_after=True:``) it is the one that holds.
    """
    for line in _docstring(type(cell)).splitlines():
        left, equals, right = line.partition("=")
        names = [part.strip().removesuffix("'") for part in left.split(",")]
        if not equals or name not in names or not _holds(cell, right):
            continue
        formula, *notes = re.split(r"\s{4,}", right.strip())
        notes = [re.sub(" +", " ", re.sub(r"^\w+=\w+:", "", note)).strip() for note in notes]
        shown = f"{re.sub(' +', ' ', left.strip())} = {re.sub(' +', ' ', formula)}"
        return f"{shown}   ({'; '.join(notes)})" if notes else shown
    return ""


def _docstring(kind: type) -> str:
    """Of a class; from its source where Python keeps no docstrings (``python -OO``)."""
    kept = inspect.getdoc(kind)
    if kept is not None or sys.flags.optimize < 2:
        return kept or ""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, SyntaxError):
        return ""
    return (ast.get_docstring(definition) if isinstance(definition, ast.ClassDef) else None) or ""


def _holds(cell: Cell, text: str) -> bool:
    """Whether all options that the text names are as the cell has them."""
    return all(f"{name}={value!r}" in text or f"{name}=" not in text for name, value in cell.options().items())
