"""The options of runs whose examples are sentences: translators and classifiers. PyTorch is not imported."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gru_scratch.engines.names import Engine
from gru_scratch.training.config import check_builtin_cell, check_cell_name
from gru_scratch.training.options import (
    EndOptions,
    MachineOptions,
    OptimisationOptions,
    Otherwise,
    ResumableFolderOptions,
    RunOptions,
    check_below_one,
    check_whole,
)

TRANSLATOR_EXAMPLES = """Train a translator and keep it in a run folder.

Without options it makes its own pairs: numbers and dates, English to Chinese.

examples:
  gru-scratch train-translator
  gru-scratch train-translator --reverse --decoder bahdanau
  gru-scratch train-translator --pairs fra.txt --epochs 10
  gru-scratch train-translator --resume runs/translator-luong --epochs 40"""

CLASSIFIER_EXAMPLES = """Train a classifier of sentences and keep it in a run folder.

Without options it tells lines of the shipped story from shuffled copies of them.

examples:
  gru-scratch train-classifier
  gru-scratch train-classifier --class wells=wells.txt --class poe=poe.txt
  gru-scratch train-classifier --table reviews.csv --label-column stars"""


@dataclass(frozen=True)
class LayerOptions:
    """The recurrent layers, and what they read."""

    cell: str = "gru"
    """Recurrent cell: rnn, gru, lstm, mgu, cifg, peephole-lstm, layer-norm-gru, layer-norm-lstm, min-gru or min-lstm;
    or one of your own, as path/to/file.py:ClassName."""
    engine: Engine = "auto"
    """Engine of the recurrence: native is the cell's equations compiled to C; fused is PyTorch's operators, with
    gradients by hand; textbook is the equations step by step, with autograd; builtin is the layer of torch.nn, for rnn,
    gru and lstm; auto is the fastest that can run."""
    num_hiddens: int = 128
    """Hidden units."""
    num_layers: int = 1
    """Recurrent layers, each reading the one below."""
    bidirectional: bool = True
    """Read sentences in both directions."""
    embedding: int = 64
    """Size of the learnt vector of each token."""
    dropout: float = 0.1
    """Probability of zeroing, in training, a number of an embedding, of an output between layers or of the vector that
    is scored."""


@dataclass(frozen=True)
class SentenceOptions(RunOptions, LayerOptions):
    """The options of both kinds of run; the optimizer's defaults suit small sets of sentences."""

    batch_size: int = 64
    lr: float = 0.005
    optimizer: Literal["sgd", "adamw"] = "adamw"
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: int = 50
    epochs: int = 14
    keep: Literal["last", "best"] = "best"
    val_fraction: float = 0.1
    test_fraction: float = 0.1
    longest: int = 50

    def check(self) -> None:
        check_cell_name(self.cell)
        super().check()
        if self.engine == "builtin":
            check_builtin_cell(self.cell)
        if self.compile:
            raise ValueError("compile is an option of train alone: batches of sentences differ in length")
        check_whole(self, ("num_hiddens", "num_layers", "embedding", "longest"), least=1)
        check_below_one(self, ("dropout", "val_fraction", "test_fraction"))

    def check_given(self, given: Collection[str]) -> None:
        super().check_given(given)
        if self.val_fraction == 0:
            self.check_held_out(given, "val_fraction 0")

    @property
    def may_differ(self) -> tuple[str, ...]:
        """The options that may change when the run is resumed: the data are compared themselves, and all engines have
        the same parameters."""
        return (*super().may_differ, "engine")

    @property
    def cell_name(self) -> str:
        """The cell's name without the path of its file."""
        return self.cell.rpartition(":")[2]


@dataclass(frozen=True)
class PairOptions:
    """The pairs of sentences, and their parts for training, evaluating and testing."""

    pairs: Annotated[Path | None, Otherwise("numbers and dates, made by the program")] = None
    """File with a source, a tab and a target on each line; fra-eng is the book's file, English to French."""
    reverse: bool = False
    """Translate from target to source."""
    source_tokens: Literal["auto", "word", "char"] = "auto"
    """Tokens of a source; auto is characters if most sentences have no space, as in Chinese, else words."""
    target_tokens: Literal["auto", "word", "char"] = "auto"
    """Tokens of a target; auto is as for the source."""
    min_freq: int = 0
    """Tokens that occur less often in the training part count as unknown."""
    longest: int = 50
    """Leave out pairs with more tokens than this in source or target."""
    num_pairs: int = 6250
    """Pairs to make, if no file is given."""
    largest: int = 1_000_000
    """Largest number in these pairs."""
    max_pairs: Annotated[int | None, Otherwise("all")] = None
    """Train on this many pairs of the training part."""
    val_fraction: float = 0.1
    """Fraction of the source sentences to evaluate on."""
    test_fraction: float = 0.1
    """Fraction of the source sentences to test on: they are read once, when the run ends."""


@dataclass(frozen=True)
class DecoderOptions:
    """The decoder of the target."""

    decoder: Literal["luong", "bahdanau", "none"] = "luong"
    """luong has attention after the recurrent layer, so that in training all steps are one call; bahdanau has it before
    the layer, step by step; none reads the encoder's final state alone."""


@dataclass(frozen=True)
class TranslatorOptions(SentenceOptions, DecoderOptions, PairOptions):
    """The options of a translator's run."""

    longest: int = 50
    eval_every: int | None = 250

    def check(self) -> None:
        super().check()
        check_whole(self, ("min_freq",), least=0)
        check_whole(self, ("num_pairs", "largest"), least=2)
        check_whole(self, ("max_pairs",), least=1)

    def idle(self) -> dict[str, str]:
        made = {} if self.pairs is None else dict.fromkeys(("num_pairs", "largest"), f"with pairs {self.pairs}")
        return {**super().idle(), **made}

    @property
    def folder_name(self) -> str:
        return "translator" if self.decoder == "luong" else f"translator-{self.decoder}"

    @property
    def may_differ(self) -> tuple[str, ...]:
        return (*super().may_differ, "pairs")


@dataclass(frozen=True)
class LabelledOptions:
    """The labelled texts, and their parts for training, evaluating and testing."""

    table: Annotated[Path | None, Otherwise("the shipped story, its lines as they are and shuffled")] = None
    """CSV or TSV file whose first line names its columns."""
    text_column: str = "text"
    """Column of the table that holds the texts."""
    label_column: str = "label"
    """Column of the table that holds their labels."""
    classes: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="class", metavar="NAME=FILE")
    ] = ()
    """A class and the text file whose lines are its examples, as NAME=FILE; once for each class."""
    balance: bool = True
    """Use as many examples of each class as the smallest class has."""
    tokens: Literal["auto", "char", "word"] = "auto"
    """Tokens of a text; auto is words for the shipped story, else characters."""
    min_freq: int = 0
    """Tokens that occur less often in the training part count as unknown."""
    longest: int = 200
    """Read this many tokens of a text at most."""
    val_fraction: float = 0.1
    """Fraction of the texts to evaluate on."""
    test_fraction: float = 0.2
    """Fraction of the texts to test on: they are read once, when the run ends."""


@dataclass(frozen=True)
class PoolingOptions:
    """The pooling of all steps into one vector."""

    pooling: Literal["mean", "last", "attention"] = "mean"
    """mean is the mean of the outputs; last is the final state of each direction; attention is a sum with weights that
    are learnt."""


@dataclass(frozen=True)
class ClassifierOptions(SentenceOptions, PoolingOptions, LabelledOptions):
    """The options of a classifier's run."""

    longest: int = 200
    test_fraction: float = 0.2
    batch_size: int = 32
    num_hiddens: int = 64
    embedding: int = 32
    dropout: float = 0.4
    epochs: int = 12

    def check(self) -> None:
        super().check()
        check_whole(self, ("min_freq",), least=0)
        if self.table is not None and self.classes:
            raise ValueError("the examples are those of a table or of files for each class, received both")
        self.files()

    def idle(self) -> dict[str, str]:
        columns = dict.fromkeys(("text_column", "label_column"), "without a table") if self.table is None else {}
        return {**super().idle(), **columns}

    def files(self) -> dict[str, Path]:
        """The file of each class; ValueError for a class that is not given as NAME=FILE, or given twice."""
        files: dict[str, Path] = {}
        for each in self.classes:
            name, equals, path = each.partition("=")
            if not (name and equals and path):
                raise ValueError(f"a class must be given as NAME=FILE, received {each!r}")
            if name in files:
                raise ValueError(f"the class {name!r} is given twice")
            files[name] = Path(path)
        return files

    @property
    def folder_name(self) -> str:
        return "classifier"

    @property
    def may_differ(self) -> tuple[str, ...]:
        return (*super().may_differ, "table", "classes")


_RUN_GROUPS: dict[str, type] = {
    "layers": LayerOptions,
    "optimisation": OptimisationOptions,
    "end of the run": EndOptions,
    "folder": ResumableFolderOptions,
    "machine": MachineOptions,
}
TRANSLATOR_GROUPS: dict[str, type] = {"pairs": PairOptions, "decoder": DecoderOptions, **_RUN_GROUPS}
CLASSIFIER_GROUPS: dict[str, type] = {"examples": LabelledOptions, "pooling": PoolingOptions, **_RUN_GROUPS}
