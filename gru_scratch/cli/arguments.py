"""What may be written after a command's name, read without PyTorch: names, defaults and help of every option."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Literal, TypeVar

import tyro

from gru_scratch.training.command_line import read_run
from gru_scratch.training.config import TrainConfig, parse
from gru_scratch.training.options import RunOptions
from gru_scratch.training.sentence_options import (
    CLASSIFIER_EXAMPLES,
    CLASSIFIER_GROUPS,
    TRANSLATOR_EXAMPLES,
    TRANSLATOR_GROUPS,
    ClassifierOptions,
    TranslatorOptions,
)

AnyOptions = TypeVar("AnyOptions", bound=RunOptions)


@dataclass(frozen=True)
class GenerateArguments:
    """Continue a prefix with the model of a run folder, character after character (or word, or byte, as it learnt)."""

    run: tyro.conf.Positional[Path]
    """Run folder that train wrote."""
    prefix: str = "time traveller"
    """What to continue; cleaned as the text of the run was."""
    length: int = 200
    """Characters (words, bytes) to add."""
    temperature: float | None = None
    """0 takes the likeliest character each time, as the book does; 1 draws as the model's probabilities say; between
    them the likelier ones more often (None: 1 where an option below asks for samples, else 0)."""
    top_k: int | None = None
    """Draw from this many characters only, the likeliest."""
    top_p: float | None = None
    """Draw from the fewest characters only whose probabilities add up to this."""
    n: int = 1
    """Samples to draw, in one batch."""
    seed: int | None = None
    """Draw the same samples again for the same seed (None: others each time)."""
    best: bool = False
    """Take the parameters of the lowest held-out loss, not those of the end."""
    cell: str | None = None
    """Where the file of a cell of your own is now, as path/to/file.py:ClassName (None: where it was in training)."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU where there is one."""


@dataclass(frozen=True)
class ExportArguments:
    """Write the model of a run folder as one file that needs no gru_scratch.

    With c a program that continues a prefix, in C99, with no library but libm; with onnx a graph of any batch and
    length; with torch the parameters under the names of torch.nn, and the four lines that load them."""

    run: tyro.conf.Positional[Path]
    """Run folder that train wrote."""
    to: Literal["c", "onnx", "torch"] = "c"
    """What to write."""
    out: Path | None = None
    """File to write, over an old one (None: model.c, model.onnx or torch.safetensors in the run folder)."""
    best: bool = False
    """Take the parameters of the lowest held-out loss, not those of the end."""
    cell: str | None = None
    """Where the file of a cell of your own is now, as path/to/file.py:ClassName (None: where it was in training)."""


@dataclass(frozen=True)
class CurvesArguments:
    """Draw the losses of several runs in one picture: held out, and on the text that was put aside, in nats a token."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders."""
    x: Literal["minutes", "update", "epoch"] = "minutes"
    """What the losses are drawn against."""
    out: Path = Path("runs/curves.png")
    """PNG to write, over an old one."""


SHAKESPEARE = TrainConfig(
    cell="gru",
    reset_after=True,
    max_tokens=-1,
    val_fraction=0.02,
    test_fraction=0.1,
    batch_size=32,
    num_steps=64,
    num_hiddens=192,
    num_layers=2,
    dropout=0.05,
    init="orthogonal",
    forget_bias=1.0,
    optimizer="adamw",
    lr=0.03,
    weight_decay=0.1,
    schedule="cosine",
    min_lr=0.0,
    warmup=50,
    minutes=80 / 60,
    eval_every=300,
    keep="best",
)
"""docs/shakespeare.md tells how these were found."""

ABOUT = """Train on nine tenths of Tiny Shakespeare, and test on the last tenth.

The last part of the nine tenths chooses which parameters are tested, once."""


@dataclass(frozen=True)
class TranslateArguments:
    """Translate sentences with the model of a run folder: a text, or the lines of a file or of a pipe."""

    run: tyro.conf.Positional[Path]
    """Run folder that train-translator wrote."""
    text: str | None = None
    """Sentence to translate."""
    file: Path | None = None
    """File whose lines are to be translated (None: the lines of a pipe, where no text is given)."""
    score: Path | None = None
    """File of pairs, as train-translator reads them, whose sources are translated: print BLEU and exact match, also
    by the length of the source, instead of the translations."""
    beam: int = 1
    """Beginnings of a translation that are followed at once; 1 takes the likeliest word each time."""
    n_best: int = 1
    """Translations to print of each sentence, at most the beam, with their scores."""
    alpha: float = 0.6
    """By how much long translations are favoured; 0 is not at all."""
    attention: Path | None = None
    """PNG to write, over an old one, of what attention reads in one sentence."""
    cell: str | None = None
    """Where the file of a cell of your own is now, as path/to/file.py:ClassName (None: where it was in training)."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU where there is one."""


@dataclass(frozen=True)
class ClassifyArguments:
    """Classify sentences with the model of a run folder: a text, or the lines of a file or of a pipe."""

    run: tyro.conf.Positional[Path]
    """Run folder that train-classifier wrote."""
    text: str | None = None
    """Sentence to classify."""
    file: Path | None = None
    """File whose lines are to be classified (None: the lines of a pipe, where no text is given)."""
    explain: Path | None = None
    """HTML page to write, over an old one, that colours what moved the decision."""
    cell: str | None = None
    """Where the file of a cell of your own is now, as path/to/file.py:ClassName (None: where it was in training)."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU where there is one."""


@dataclass(frozen=True)
class Run(Generic[AnyOptions]):
    """A run of training to make, or to go on with from the folder `resumed`."""

    config: AnyOptions
    resumed: Path | None


def read_train(arguments: Sequence[str], prog: str | None = None) -> Run[TrainConfig]:
    return Run(*parse(arguments, stored_options, prog=prog))


def read_train_translator(arguments: Sequence[str], prog: str | None = None) -> Run[TranslatorOptions]:
    def stored(folder: Path) -> TranslatorOptions:
        from gru_scratch.training.folder import TRANSLATOR, stored_options

        return stored_options(folder, TRANSLATOR, TranslatorOptions)

    preset, means = TranslatorOptions(), {"out": "runs/translator, numbered where that is taken"}
    about = TRANSLATOR_EXAMPLES
    return Run(*read_run(TRANSLATOR_GROUPS, preset, arguments, stored, description=about, prog=prog, otherwise=means))


def read_train_classifier(arguments: Sequence[str], prog: str | None = None) -> Run[ClassifierOptions]:
    def stored(folder: Path) -> ClassifierOptions:
        from gru_scratch.training.folder import CLASSIFIER, stored_options

        return stored_options(folder, CLASSIFIER, ClassifierOptions)

    preset, means = ClassifierOptions(), {"out": "runs/classifier, numbered where that is taken"}
    about = CLASSIFIER_EXAMPLES
    return Run(*read_run(CLASSIFIER_GROUPS, preset, arguments, stored, description=about, prog=prog, otherwise=means))


def read_shakespeare(arguments: Sequence[str], prog: str | None = None) -> Run[TrainConfig]:
    means = {"text": "Tiny Shakespeare"}
    run = Run(*parse(arguments, stored_options, SHAKESPEARE, description=ABOUT, prog=prog, otherwise=means))
    if run.config.text is None and run.resumed is None:
        from gru_scratch.text.corpus import find_tiny_shakespeare  # with pooch, which takes a while to import

        return replace(run, config=replace(run.config, text=find_tiny_shakespeare()))
    return run


def stored_options(folder: Path) -> TrainConfig:
    """The options of the run in a folder, which its state holds: PyTorch has to read it."""
    from gru_scratch.training.folder import stored_config

    return stored_config(folder)
