"""The options of a comparison, in one place: names, defaults, help and checks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from gru_scratch.benchmark.setting import SIX_SETTINGS, Input, Setting
from gru_scratch.training.options import MOST_THREADS

ENGINES: Mapping[str, str] = MappingProxyType(
    {
        "builtin": "the layer of torch.nn, on one-hot vectors where the input is tokens",
        "builtin-compiled": "the same under torch.compile",
        "builtin-unrolled": "the same under torch.compile with allow_rnn, which unrolls it: minutes to compile",
        "textbook": "the functions of gru_scratch.scratch; for other cells the same as textbook-layer",
        "textbook-layer": 'our layer with engine="textbook"',
        "fused": 'our layer with engine="fused"',
        "fused-compiled": "the same under torch.compile",
        "native": "our layer, its equations compiled to C",
    }
)
"""Every program that a model can be trained by, in the order of tables; the first that is there is the base."""


@dataclass(frozen=True)
class CompareArguments:
    """Compare scratch with built-in: time, memory and values of a training step. The defaults are the book's sizes."""

    cells: tuple[str, ...] = ("rnn", "gru", "lstm")
    """rnn, gru (the book's and that of torch.nn, which are two models), lstm, mgu, cifg, peephole-lstm, layer-norm-gru,
    layer-norm-lstm; or a cell of your own as path/to/file.py:ClassName, whose code is then executed."""
    engines: tuple[str, ...] = ()
    """builtin, builtin-compiled, builtin-unrolled (takes minutes to compile), textbook, textbook-layer, fused,
    fused-compiled, native (none given: those that the question needs)."""
    batch_size: int = 32
    """Sequences in a minibatch."""
    num_steps: int = 35
    """Tokens of a sequence."""
    num_hiddens: int = 256
    """Hidden units."""
    vocab_size: int = 28
    """Different tokens."""
    input: Input = "tokens"
    """tokens: indices. dense: 128 numbers a step. dense-with-gradient: the same, as if a layer lay below."""
    sweep: Literal["batch", "steps", "hidden"] | None = None
    """Instead: how time grows with one size, against the products alone."""
    sizes: tuple[int, ...] = ()
    """The sizes of a sweep (none given: powers of 2 or 4 around the usual)."""
    generate: bool = False
    """Instead: tokens generated one at a time, by one sequence."""
    ladder: bool = False
    """Instead: each step from the book's loop to native code."""
    six_settings: bool = False
    """Instead: GRU, LSTM, the book's GRU and a cell without a derivative at six settings, from the book's to long
    sequences. Takes minutes: see --only."""
    only: tuple[str, ...] = ()
    """Of the six settings only these: book, book-1.0, char-rnn, large, one-sequence, long."""
    seconds: float | None = None
    """How long to measure one model at one setting (None: 3 to 12, depending on the question). Never fewer than 7
    rounds are made."""
    threads: int | None = None
    """PyTorch's threads (None: as PyTorch chooses)."""
    device: str = "cpu"
    """cpu, cuda or cuda:1."""
    seed: int = 0
    """Seed of the parameters, the minibatch and the order of engines."""
    out: Path | None = None
    """Folder to write, new or empty (None: runs/compare, with a number added if that is taken)."""

    def validate(self) -> None:
        """Raise ValueError, in one sentence, for the first option that no comparison can use."""
        chosen = [name for name in ("sweep", "generate", "ladder", "six_settings") if getattr(self, name)]
        if len(chosen) > 1:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in chosen)
            raise ValueError(f"expected one question at a time, received {options}")
        if self.generate and self.input != "tokens":
            raise ValueError(f"tokens are what is generated: expected --input tokens, received {self.input}")
        _known("engine", self.engines, tuple(ENGINES))
        _known("setting", self.only, tuple(SIX_SETTINGS))
        if not self.cells:
            raise ValueError("expected at least one cell, received none")
        for name, needed in (("sizes", "sweep"), ("only", "six_settings")):
            if getattr(self, name) and not getattr(self, needed):
                raise ValueError(f"--{name} says nothing without --{needed.replace('_', '-')}")
        if least := [size for size in self.sizes if size < 1]:
            raise ValueError(f"sizes must be at least 1, received {least[0]}")
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise ValueError(f"seconds must be a finite number of at least 0, received {self.seconds}")
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise ValueError(f"threads must be at least 1 and at most {MOST_THREADS}, received {self.threads}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be at least 0 and below 2**63, received {self.seed}")
        self.setting()

    def setting(self) -> Setting:
        """The sizes."""
        return Setting(self.batch_size, self.num_steps, self.num_hiddens, self.vocab_size, self.input)

    def to_json(self) -> dict[str, Any]:
        """The options as JSON holds them: paths as strings."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


def _known(what: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}: expected {', '.join(known)}")
