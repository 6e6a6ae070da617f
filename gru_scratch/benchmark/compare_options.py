"""The options of a comparison, in one place: names, defaults, help and checks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from gru_scratch.benchmark.setting import SIX_SETTINGS, Input, Setting
from gru_scratch.training.options import MOST_THREADS, Otherwise

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
"""The programs that can train a model, in the order of tables; the first that is available is the base."""

FIXED = ("cells", "engines", "batch_size", "num_steps", "num_hiddens", "vocab_size", "input")
"""Options that --six-settings has values of its own for."""


@dataclass(frozen=True)
class CompareArguments:
    """Compare time, memory and values of a training step on several engines.

    The default sizes are the book's.
    """

    cells: tuple[str, ...] = ("rnn", "gru", "lstm")
    """Cells to compare: rnn, gru (both the book's and that of torch.nn, two models), lstm, mgu, cifg, peephole-lstm,
    layer-norm-gru, layer-norm-lstm, min-gru or min-lstm; or your own as path/to/file.py:ClassName, whose code is then
    executed."""
    engines: Annotated[tuple[str, ...], Otherwise("those that the question needs")] = ()
    """Engines to compare: builtin, builtin-compiled, builtin-unrolled (minutes to compile), textbook, textbook-layer,
    fused, fused-compiled or native."""
    batch_size: int = 32
    """Sequences in a minibatch."""
    num_steps: int = 35
    """Tokens of a sequence."""
    num_hiddens: int = 256
    """Hidden units."""
    vocab_size: int = 28
    """Tokens in the vocabulary."""
    input: Input = "tokens"
    """tokens are indices; dense is 128 numbers a step; dense-with-gradient computes the input's gradient, too, as if a
    layer were below."""
    sweep: Annotated[Literal["batch", "steps", "hidden"] | None, Otherwise("none")] = None
    """Instead, measure how time grows with one size, beside that of the matrix products alone."""
    sizes: Annotated[tuple[int, ...], Otherwise("powers of 2 or 4 around the usual")] = ()
    """Sizes of a sweep."""
    generate: bool = False
    """Instead, measure the generation of one sequence, token after token."""
    ladder: bool = False
    """Instead, measure each improvement on the way from the book's loop to native code."""
    six_settings: bool = False
    """Instead, measure GRU, LSTM, the book's GRU and a cell without a derivative at six settings, from the book's to
    long sequences, which takes minutes."""
    only: Annotated[tuple[str, ...], Otherwise("all six")] = ()
    """Settings of --six-settings to measure: book, book-1.0, char-rnn, large, one-sequence or long."""
    seconds: Annotated[float | None, Otherwise("3 to 12, depending on the question")] = None
    """Seconds to measure one model at one setting; at least 7 rounds are made."""
    threads: Annotated[int | None, Otherwise("as PyTorch chooses")] = None
    """Threads of PyTorch."""
    device: str = "cpu"
    """One of cpu, cuda and cuda:N."""
    seed: int = 0
    """Seed of the parameters, the minibatch and the order of engines."""
    out: Annotated[Path | None, Otherwise("runs/compare, numbered where that is taken")] = None
    """Folder to write, new or empty."""

    def validate(self) -> None:
        """Raise ValueError for the first invalid option."""
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
                raise ValueError(f"--{name} has no effect without --{needed.replace('_', '-')}")
        fixed = FIXED if self.six_settings else ("engines",) if self.ladder else ()
        for name in fixed:
            if getattr(self, name) != getattr(CompareArguments, name):
                raise ValueError(f"--{name.replace('_', '-')} has no effect with --{chosen[0].replace('_', '-')}")
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
