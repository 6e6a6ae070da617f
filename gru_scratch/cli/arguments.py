"""The options of the commands, read without PyTorch: names, defaults and help of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

import tyro

from gru_scratch.training.command_line import read_run
from gru_scratch.training.config import TrainConfig, parse
from gru_scratch.training.options import Otherwise, RunOptions
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
    """Continue a prefix with the model of a run folder."""

    run: tyro.conf.Positional[Path]
    """Run folder that gru-scratch train wrote."""
    prefix: str = "time traveller"
    """Text to continue; cleaned as the text of the run was."""
    length: int = 200
    """Characters to add; words or bytes, if the run was trained on them."""
    temperature: Annotated[float | None, Otherwise("1 where an option below asks for samples, else 0")] = None
    """0 takes the likeliest character each time, as in the book; 1 draws from the model's distribution; values between
    them prefer the likelier characters."""
    top_k: Annotated[int | None, Otherwise("all")] = None
    """Draw from this many of the likeliest characters only."""
    top_p: Annotated[float | None, Otherwise("all")] = None
    """Draw from the fewest likeliest characters whose probabilities add up to this."""
    n: int = 1
    """Samples to draw, in one batch."""
    seed: Annotated[int | None, Otherwise("others each time")] = None
    """Seed of the samples: the same seed draws the same samples."""
    best: bool = False
    """Use the parameters of the lowest held-out loss, not those of the end."""
    cell: Annotated[str | None, Otherwise("the file of the training run")] = None
    """File of your own cell, if it has moved, as path/to/file.py:ClassName."""
    device: str = "auto"
    """One of cpu, cuda, cuda:N and mps; auto takes a GPU where there is one."""


@dataclass(frozen=True)
class ExportArguments:
    """Write the model of a run folder as one file that does not need gru_scratch."""

    run: tyro.conf.Positional[Path]
    """Run folder that gru-scratch train wrote."""
    to: Literal["c", "onnx", "torch"] = "c"
    """c is a C99 program that continues a prefix, with no library but libm; onnx is a graph for any batch and length;
    torch is the parameters under the names of torch.nn, with four lines of Python that load them."""
    out: Annotated[Path | None, Otherwise("model.c, model.onnx or torch.safetensors in the run folder")] = None
    """File to write; an older one is replaced."""
    best: bool = False
    """Use the parameters of the lowest held-out loss, not those of the end."""
    cell: Annotated[str | None, Otherwise("the file of the training run")] = None
    """File of your own cell, if it has moved, as path/to/file.py:ClassName."""


@dataclass(frozen=True)
class CurvesArguments:
    """Draw the held-out and test losses of several runs in one picture."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders."""
    x: Literal["minutes", "update", "epoch"] = "minutes"
    """Horizontal axis of the picture."""
    out: Path = Path("runs/curves.png")
    """PNG to write; an older one is replaced."""


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
    matmul_precision="medium",
)
"""docs/shakespeare.md says how these were chosen."""

ABOUT = """Train on nine tenths of Tiny Shakespeare, and test on the last tenth.

The end of the nine tenths chooses the parameters that are tested, once."""


@dataclass(frozen=True)
class TranslateArguments:
    """Translate sentences with the model of a run folder."""

    run: tyro.conf.Positional[Path]
    """Run folder that gru-scratch train-translator wrote."""
    text: Annotated[str | None, Otherwise("the lines of --file or of a pipe")] = None
    """Sentence to translate."""
    file: Annotated[Path | None, Otherwise("the lines of a pipe, if there is no --text")] = None
    """File whose lines are to be translated."""
    score: Annotated[Path | None, Otherwise("none")] = None
    """File of pairs, as train-translator reads them, whose sources are translated: print BLEU and exact match, also
    by the length of the source, instead of the translations."""
    beam: int = 1
    """Hypotheses that beam search follows at once; 1 takes the likeliest word each time."""
    n_best: int = 1
    """Translations to print for each sentence, at most the beam; several are printed with their scores."""
    alpha: float = 0.6
    """How much long translations are favoured: the exponent of the length normalisation; 0 is not at all."""
    attention: Annotated[Path | None, Otherwise("none")] = None
    """PNG to write of the weights of attention in one sentence; an older one is replaced."""
    cell: Annotated[str | None, Otherwise("the file of the training run")] = None
    """File of your own cell, if it has moved, as path/to/file.py:ClassName."""
    device: str = "auto"
    """One of cpu, cuda, cuda:N and mps; auto takes a GPU where there is one."""


@dataclass(frozen=True)
class ClassifyArguments:
    """Classify sentences with the model of a run folder."""

    run: tyro.conf.Positional[Path]
    """Run folder that gru-scratch train-classifier wrote."""
    text: Annotated[str | None, Otherwise("the lines of --file or of a pipe")] = None
    """Sentence to classify."""
    file: Annotated[Path | None, Otherwise("the lines of a pipe, if there is no --text")] = None
    """File with a sentence to classify on each line."""
    explain: Annotated[Path | None, Otherwise("none")] = None
    """HTML page to write that colours each token by its influence on the decision; an older one is replaced."""
    cell: Annotated[str | None, Otherwise("the file of the training run")] = None
    """File of your own cell, if it has moved, as path/to/file.py:ClassName."""
    device: str = "auto"
    """One of cpu, cuda, cuda:N and mps; auto takes a GPU where there is one."""


@dataclass(frozen=True)
class Run(Generic[AnyOptions]):
    """A training run to start, or to resume from the folder `resumed`."""

    config: AnyOptions
    resumed: Path | None
    given: frozenset[str]
    """The names of the options that were given for a new run; none for one that is resumed."""


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
    """The options of the run in a folder, from its state, which only PyTorch can read."""
    from gru_scratch.training.folder import stored_config

    return stored_config(folder)
