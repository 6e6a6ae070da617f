"""The options of a language model's run: names, defaults, help and checks; and reading them from a command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gru_scratch.engines.names import Engine
from gru_scratch.training.command_line import read_run
from gru_scratch.training.options import (
    MAY_DIFFER,
    EndOptions,
    MachineOptions,
    OptimisationOptions,
    Otherwise,
    ResumableFolderOptions,
    RunOptions,
    check_below_one,
    check_one_of,
    check_whole,
)

BUILTIN_CELLS = ("rnn", "gru", "lstm")
"""The cells of torch.nn, which are also the book's."""

DESCRIPTION = """Train a language model and keep it in a run folder.

Without options it is the book's: Dive into Deep Learning, chapters 8 and 9.

examples:
  gru-scratch train --cell gru
  gru-scratch train --text book.txt --max-tokens -1 --minutes 10 \\
                    --val-fraction 0.1 --keep best
  gru-scratch train --resume runs/gru --epochs 1000"""


@dataclass(frozen=True)
class TextOptions:
    """The text, and its parts for training, evaluating and testing."""

    text: Annotated[
        Path | tuple[Path, ...] | None, Otherwise("The Time Machine"), tyro.conf.arg(metavar="PATH [PATH ...]")
    ] = None
    """Text to learn, in UTF-8: a file, or several, read in the order in which they are given, with a line end between
    two. A folder is its .txt and .abc files in the order of their names."""
    tokens: Literal["char", "word", "byte"] = "char"
    """Unit of prediction: characters, words between white space, or bytes, of which any file is made."""
    cleaning: Literal["auto", "book", "raw"] = "auto"
    """book keeps letters, in lower case, and single spaces; raw is the text as it is, with \\r\\n read as \\n; auto is
    book for The Time Machine and for the story that replaces it, and raw for any other text."""
    min_freq: int = 0
    """Tokens that occur less often in the text count as unknown."""
    token_dir: Annotated[Path | None, Otherwise("beside the text")] = None
    """Folder for the token file of a large text; if given, small texts get a token file, too."""
    max_tokens: int = 10_000
    """Train on this many tokens from the start of the text; -1 is all of it."""
    num_steps: int = 35
    """Tokens of a sequence, the length of back-propagation through time."""
    sampling: Literal["sequential", "random"] = "sequential"
    """With sequential a batch continues the one before it, and so does its state; with random the sequences are
    shuffled and each starts from a zero state."""
    reset_at: Annotated[str | None, Otherwise("nowhere")] = None
    """Token at which the state is cleared, as it is read: what comes after one separator is predicted from nothing
    before it, in training and in generation. \\n is a line end, \\t a tab."""
    val_fraction: Annotated[float | None, Otherwise("0.1")] = None
    """Fraction to evaluate on, of the text after the first --max-tokens. If nothing comes after them, this fraction at
    the end of the text is not trained on, but only if the option is given."""
    val_tokens: Annotated[
        int | None, Otherwise("as many as make evaluations read a tenth as much as training, at most 1000000")
    ] = None
    """Held-out tokens that an evaluation reads at most; -1 is all."""
    test_fraction: float = 0.0
    """Fraction at the end of the text to test on: it is read once, when the run ends."""


@dataclass(frozen=True)
class ModelOptions:
    """The model, its initial values and its regularisation."""

    cell: str = "gru"
    """Recurrent cell: rnn, gru, lstm, mgu, cifg, peephole-lstm, layer-norm-gru, layer-norm-lstm, min-gru or min-lstm;
    or one of your own, as path/to/file.py:ClassName."""
    engine: Engine = "auto"
    """Engine of the recurrence: native is the cell's equations compiled to C; fused is PyTorch's operators, with
    gradients by hand; textbook is the equations step by step, with autograd; builtin is the layer of torch.nn, for rnn,
    gru and lstm; auto is the fastest that can run."""
    num_hiddens: int = 256
    """Hidden units."""
    num_layers: int = 1
    """Recurrent layers, each reading the one below."""
    embedding: int = 0
    """Size of the learnt vector of each token; 0 gives the layer one-hot vectors, as in the book."""
    tie_weights: bool = False
    """Use the embedding as the weight of the scores, too; --embedding must then equal --num-hiddens."""
    reset_after: Annotated[
        tyro.conf.DisallowNone[bool | None], Otherwise("before; after with engine builtin, which has no other")
    ] = None
    """Whether the GRU's reset gate acts after the candidate's recurrent product, as in nn.GRU, or before it, as in the
    book."""
    init: Literal["auto", "book", "torch", "orthogonal"] = "auto"
    """Initial values: book is N(0, 0.01) with biases 0; torch is those of torch.nn; orthogonal has recurrent matrices
    that are orthogonal gate by gate, the others Glorot-uniform, biases 0; auto is book for one layer as in the book,
    else torch."""
    forget_bias: float = 0.0
    """Added to the bias of the gate that keeps the state, with the sign that keeps more, so that units remember longer
    at first; for cells with such a gate."""
    dropout: float = 0.0
    """Probability of zeroing an output between layers and before the last linear layer, in training."""
    locked_dropout: bool = False
    """Zero the same units at every step of a sequence, instead of others at each."""
    weight_dropout: float = 0.0
    """Probability of zeroing a recurrent weight for one update."""
    watch_gradients: bool = False
    """Log gradient flow with every evaluation: the derivative of each layer's last state with respect to its state k
    steps before, for k up to --num-steps, and the largest singular values of its recurrent matrices."""


@dataclass(frozen=True)
class TrainConfig(RunOptions, ModelOptions, TextOptions):
    """All options of a language model's run; the defaults are the book's, of its chapters 8 and 9.

    Raises ValueError or TypeError for the first invalid option.
    """

    def check(self) -> None:
        check_cell_name(self.cell)
        super().check()
        self._check_engine()
        check_whole(self, ("num_steps", "num_hiddens", "num_layers"), least=1)
        check_whole(self, ("min_freq", "embedding"), least=0)
        check_whole(self, ("val_tokens", "max_tokens"), least=-1)
        check_below_one(self, ("dropout", "weight_dropout", "test_fraction"))
        if self.text == ():
            raise ValueError("text must name at least one file or folder, received none")
        if self.max_tokens == 0:
            raise ValueError("max_tokens must be at least 1, or -1 for the whole text, received 0")
        if self.val_tokens in (0, 1):
            raise ValueError(f"val_tokens must be at least 2, or -1 for all, received {self.val_tokens}")
        if self.val_fraction is not None and not 0 <= self.val_fraction <= 1:
            raise ValueError(f"val_fraction must be between 0 and 1, received {self.val_fraction}")
        if not math.isfinite(self.forget_bias):
            raise ValueError(f"forget_bias must be a finite number, received {self.forget_bias}")
        if self.tie_weights and self.embedding != self.num_hiddens:
            raise ValueError(
                f"tie_weights needs an embedding as wide as num_hiddens, {self.num_hiddens}, received {self.embedding}"
            )

    def idle(self) -> dict[str, str]:
        idle = super().idle()
        if self.locked_dropout and not self.dropout:
            idle["locked_dropout"] = "with dropout 0: expected a probability above 0"
        return idle

    def check_given(self, given: Collection[str]) -> None:
        super().check_given(given)
        if self.val_fraction == 0:
            self.check_held_out(given, "val_fraction 0")

    def _check_engine(self) -> None:
        if self.reset_after is not None and self.cell != "gru":
            raise ValueError(f"reset_after is an option of the cell gru; the cell is {self.cell}")
        if self.reset_at is not None and self.watch_gradients:
            raise ValueError("watch_gradients follows a state that is never cleared: it cannot be had with reset_at")
        if self.engine != "builtin":
            return
        check_builtin_cell(self.cell)
        if self.locked_dropout or self.weight_dropout:
            raise ValueError(
                "engine builtin has neither locked_dropout nor weight_dropout: the other engines have both"
            )
        if self.reset_at is not None:
            raise ValueError("engine builtin cannot clear a state inside a sequence, as reset_at does: the others can")
        if self.reset_after is False:
            raise ValueError(
                "engine builtin cannot reset before the product: nn.GRU's reset gate acts after it, and no choice of "
                "parameters makes the two equal; the other engines have both"
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
        extras = (self.embedding, self.dropout, self.weight_dropout, self.tie_weights)
        plain = not any(extras) and self.init in ("auto", "book")
        return self.engine != "builtin" and books_cell and self.num_layers == 1 and plain

    @property
    def cell_name(self) -> str:
        """The cell's name without the path of its file."""
        return self.cell.rpartition(":")[2]

    @property
    def folder_name(self) -> str:
        return self.cell_name if self.engine == "auto" else f"{self.cell_name}-{self.engine}"

    @property
    def may_differ(self) -> tuple[str, ...]:
        """The options that may differ when the run is resumed: those of the text and the reset gate are compared in
        `TextTask.check`."""
        return (*MAY_DIFFER, "text", "token_dir", "engine", "reset_after", "watch_gradients")

    def under_engine(self, engine: Engine) -> TrainConfig:
        """The same model on another engine. ValueError, with the reason, if that engine cannot compute it."""
        return replace(self, engine=engine, reset_after=self.resets_after)


def check_builtin_cell(cell: str) -> None:
    """Raise ValueError unless torch.nn has the cell."""
    if cell not in BUILTIN_CELLS:
        raise ValueError(
            f"engine builtin has the cells {', '.join(BUILTIN_CELLS)} of torch.nn alone, received {cell}: "
            "the other engines have every cell"
        )


def check_cell_name(cell: str) -> None:
    """Raise ValueError unless it is the name of a shipped cell, or has the form of a file's."""
    if cell in BUILTIN_CELLS:
        return
    from gru_scratch.cells import CELLS, is_path  # which imports PyTorch: help does not need it

    if not is_path(cell):
        check_one_of("cell", cell, (*CELLS, "path/to/file.py:ClassName"))


GROUPS: dict[str, type] = {
    "text": TextOptions,
    "model": ModelOptions,
    "optimisation": OptimisationOptions,
    "end of the run": EndOptions,
    "folder": ResumableFolderOptions,
    "machine": MachineOptions,
}


def parse(
    arguments: Sequence[str],
    stored: Callable[[Path], TrainConfig],
    preset: TrainConfig | None = None,
    *,
    description: str = DESCRIPTION,
    prog: str | None = None,
    otherwise: Mapping[str, str] | None = None,
) -> tuple[TrainConfig, Path | None, frozenset[str]]:
    """A language model's options, as `read_run`; without a preset they are the book's."""
    preset = preset or TrainConfig()
    return read_run(GROUPS, preset, arguments, stored, description=description, prog=prog, otherwise=otherwise)
