"""The options of a training run, in one place: names, defaults, help and checks."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from tyro.conf import DisallowNone

from gru_scratch.cells import CELLS, is_path

Engine: TypeAlias = Literal["fused", "textbook", "builtin"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
BUILTIN_CELLS = ("rnn", "gru", "lstm")


@dataclass(frozen=True)
class TrainConfig:
    """Train a character model. The defaults are the settings of Dive into Deep Learning, chapters 8 and 9."""

    cell: str = "gru"
    """Recurrent cell: rnn, gru, lstm, mgu, cifg, peephole-lstm, layer-norm-gru, layer-norm-lstm; or one of your own, as
    path/to/file.py:ClassName."""
    engine: Engine = "fused"
    """fused: the fast engine, with gradients by hand. textbook: the equations step by step, with autograd. builtin: the
    layer of torch.nn, which has rnn, gru and lstm."""
    text: Path | None = None
    """Text file to learn, in UTF-8 (None: The Time Machine)."""
    batch_size: int = 32
    """Sequences in a minibatch."""
    num_steps: int = 35
    """Characters of a sequence, through which gradients flow."""
    num_hiddens: int = 256
    """Hidden units."""
    num_layers: int = 1
    """Recurrent layers, each reading the one below."""
    reset_after: DisallowNone[bool | None] = None
    """Whether the GRU's reset gate acts after the candidate's recurrent product, as in nn.GRU, or before it, as in the
    book (None: before; after with engine builtin, which has no other)."""
    lr: float = 1.0
    """Learning rate of stochastic gradient descent."""
    clip: float = 1.0
    """Largest norm that all gradients together may have."""
    epochs: int = 500
    """Passes over the training text."""
    max_tokens: int = 10_000
    """Train on this many characters from the start of the text; -1 for all of it."""
    sampling: Literal["sequential", "random"] = "sequential"
    """sequential: a batch goes on where the one before ended, and so does its state. random: shuffled, state zero."""
    val_fraction: float | None = None
    """Part to test on, of what max-tokens leaves over (None: 0.1 of it). If it leaves nothing over, this part of the
    text, its end, is kept from training, but only when this option is given."""
    seed: int = 0
    """Seed of the initial parameters and of the order of batches."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU where there is one."""
    out: Path | None = None
    """Folder to write, new or empty (None: runs/CELL-ENGINE, with a number added if that is taken)."""

    def validate(self) -> None:
        """Raise ValueError or TypeError, in one sentence, for the first option that no run can use."""
        if not is_path(self.cell):
            _one_of("cell", self.cell, (*CELLS, "path/to/file.py:ClassName"))
        _one_of("engine", self.engine, ENGINES)
        self._check_engine()
        _one_of("sampling", self.sampling, ("sequential", "random"))
        for name in ("batch_size", "num_steps", "num_hiddens", "num_layers", "epochs"):
            _whole_number(name, getattr(self, name), least=1)
        _whole_number("seed", self.seed, least=0)
        _whole_number("max_tokens", self.max_tokens, least=-1)
        if self.seed >= 2**63:
            raise ValueError(f"seed must be below 2**63, received {self.seed}")
        if self.max_tokens == 0:
            raise ValueError("max_tokens must be at least 1, or -1 for the whole text, received 0")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr must be a finite number above 0, received {self.lr}")
        if not self.clip > 0:
            raise ValueError(f"clip must be a number above 0, received {self.clip}")
        if self.val_fraction is not None and not 0 <= self.val_fraction <= 1:
            raise ValueError(f"val_fraction must be between 0 and 1, received {self.val_fraction}")

    def _check_engine(self) -> None:
        if self.reset_after is not None and self.cell != "gru":
            raise ValueError(f"reset_after is an option of the cell gru; the cell is {self.cell}")
        if self.engine != "builtin":
            return
        if self.cell not in BUILTIN_CELLS:
            raise ValueError(
                f"engine builtin has the cells {', '.join(BUILTIN_CELLS)} of torch.nn alone, received {self.cell}: "
                "engines fused and textbook have every cell"
            )
        if self.reset_after is False:
            raise ValueError(
                "engine builtin cannot reset before the product: nn.GRU's reset gate acts after it, and no choice of "
                "parameters makes the two equal; engines fused and textbook have both"
            )

    @property
    def resets_after(self) -> bool | None:
        """Whether the GRU's reset gate acts after the recurrent product; None for other cells."""
        if self.cell != "gru":
            return None
        return self.engine == "builtin" if self.reset_after is None else self.reset_after

    @property
    def is_the_books(self) -> bool:
        """Whether the model is one of the book's own: one layer of its RNN, GRU or LSTM, with one bias a gate."""
        books_cell = self.cell in ("rnn", "lstm") or self.resets_after is False
        return self.engine != "builtin" and books_cell and self.num_layers == 1

    @property
    def cell_name(self) -> str:
        """The cell's name without the path of its file."""
        return self.cell.rpartition(":")[2] if is_path(self.cell) else self.cell

    def under_engine(self, engine: Engine) -> TrainConfig:
        """The same model on another engine. ValueError, with the reason, if that engine cannot compute it."""
        config = replace(self, engine=engine, reset_after=self.resets_after)
        config.validate()
        return config

    def to_json(self) -> dict[str, Any]:
        """The options as JSON holds them: paths as strings."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, options: dict[str, Any]) -> TrainConfig:
        """The inverse of `to_json`. ValueError for options that are not these, or that `validate` refuses."""
        paths = {name: Path(options[name]) for name in ("text", "out") if isinstance(options.get(name), str)}
        try:
            config = cls(**{**options, **paths})
            config.validate()
        except TypeError as error:
            raise ValueError(f"these are not the options of a run: {error}") from None
        return config


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, received {value!r}")


def _whole_number(name: str, value: object, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, received {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, received {value}")
