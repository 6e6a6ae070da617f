"""The options of runs whose examples are sentences: translators and classifiers. PyTorch is not imported."""

from __future__ import annotations

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

Without options it learns numbers and dates in words, English to Chinese, which the program makes itself.

examples:
  gru-scratch train-translator
  gru-scratch train-translator --reverse --decoder bahdanau
  gru-scratch train-translator --pairs fra.txt --epochs 10
  gru-scratch train-translator --resume runs/translator-luong --epochs 40"""

CLASSIFIER_EXAMPLES = """Train a classifier of sentences and keep it in a run folder.

Without options it learns to tell lines of the shipped story from the same lines with their words shuffled.

examples:
  gru-scratch train-classifier
  gru-scratch train-classifier --class wells=timemachine.txt --class shakespeare=tinyshakespeare.txt
  gru-scratch train-classifier --table reviews.csv --text-column review --label-column stars --tokens word"""


@dataclass(frozen=True)
class LayerOptions:
    """The recurrent layers, and what they read."""

    cell: str = "gru"
    """Recurrent cell: rnn, gru, lstm, mgu, cifg, peephole-lstm, layer-norm-gru, layer-norm-lstm, min-gru or min-lstm;
    or one of your own, as path/to/file.py:ClassName."""
    engine: Engine = "auto"
    """What the recurrence runs on: native is the cell's equations compiled to C; fused is PyTorch's operators, with
    gradients by hand; textbook takes the equations step by step, with autograd; builtin is the layer of torch.nn, which
    has rnn, gru and lstm; auto is the fastest that serves."""
    num_hiddens: int = 128
    """Hidden units."""
    num_layers: int = 1
    """Recurrent layers, each reading the one below."""
    bidirectional: bool = True
    """Read sentences in both directions, half of the outputs from each."""
    embedding: int = 64
    """Size of the learnt vector of each token."""
    dropout: float = 0.1
    """Probability of zeroing, in training, a number of an embedding, of an output between layers or of the vector that
    is scored."""


@dataclass(frozen=True)
class SentenceOptions(RunOptions, LayerOptions):
    """What both kinds of run share; the defaults of an optimizer that suits small sets of sentences."""

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

    @property
    def may_differ(self) -> tuple[str, ...]:
        """The data are compared as such; a layer's engines have the same parameters."""
        return (*super().may_differ, "engine")

    @property
    def cell_name(self) -> str:
        """The cell's name without the path of its file."""
        return self.cell.rpartition(":")[2]


@dataclass(frozen=True)
class PairOptions:
    """What is translated, and which parts of it are for training, evaluating and testing."""

    pairs: Annotated[Path | None, Otherwise("numbers and dates, made by the program")] = None
    """File of lines with a source and a target, separated by a tab; fra-eng is the book's file, English to French."""
    reverse: bool = False
    """Translate targets to sources."""
    source_tokens: Literal["auto", "word", "char"] = "auto"
    """What a source is read as; auto is characters where most sentences have no space, as in Chinese, else words."""
    target_tokens: Literal["auto", "word", "char"] = "auto"
    """What a target is written in."""
    min_freq: int = 0
    """Tokens that occur less often in the training part count as unknown."""
    longest: int = 50
    """Leave out pairs of which a side has more tokens."""
    num_pairs: int = 6250
    """Pairs to make, where no file is given."""
    largest: int = 1_000_000
    """Largest number in the pairs that are made."""
    max_pairs: Annotated[int | None, Otherwise("all")] = None
    """Train on this many pairs of the training part."""
    val_fraction: float = 0.1
    """Part of the source sentences to evaluate on."""
    test_fraction: float = 0.1
    """Part of the source sentences that is kept from training and from evaluations, and read once when the run ends."""


@dataclass(frozen=True)
class DecoderOptions:
    """How the target is decoded."""

    decoder: Literal["luong", "bahdanau", "none"] = "luong"
    """Luong's attention comes after the recurrent layer, so that in training all steps are one call; Bahdanau's before
    it, step by step; none reads the encoder's last state alone."""


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

    @property
    def folder_name(self) -> str:
        return "translator" if self.decoder == "luong" else f"translator-{self.decoder}"

    @property
    def may_differ(self) -> tuple[str, ...]:
        return (*super().may_differ, "pairs")


@dataclass(frozen=True)
class LabelledOptions:
    """What is classified, and which parts of it are for training, evaluating and testing."""

    table: Annotated[Path | None, Otherwise("the shipped story, its lines as they are and shuffled")] = None
    """CSV or TSV file whose first line names its columns."""
    text_column: str = "text"
    """Column of the table that holds the texts."""
    label_column: str = "label"
    """Column of the table that holds their labels."""
    classes: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="class", metavar="NAME=FILE")
    ] = ()
    """A class and the text file whose lines are its examples, as NAME=FILE; to be given for each class."""
    balance: bool = True
    """Take as many examples of each class as the smallest has."""
    tokens: Literal["auto", "char", "word"] = "auto"
    """What a text is read as; auto is words for the shipped story, else characters."""
    min_freq: int = 0
    """Tokens that occur less often in the training part count as unknown."""
    longest: int = 200
    """Read this many tokens of a text at most."""
    val_fraction: float = 0.1
    """Part of the texts to evaluate on."""
    test_fraction: float = 0.2
    """Part of the texts that is kept from training and from evaluations, and read once when the run ends."""


@dataclass(frozen=True)
class PoolingOptions:
    """How the outputs of all steps become one vector."""

    pooling: Literal["mean", "last", "attention"] = "mean"
    """The mean of the outputs, the last state of each direction, or a sum that learnt attention weighs."""


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
