"""The table of commands and the page that lists them. A command's module is imported once its options are read.

So a help page needs neither PyTorch nor matplotlib, and a mistyped option is refused at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias

import gru_scratch
from gru_scratch.benchmark.compare_options import CompareArguments
from gru_scratch.cli.arguments import (
    ClassifyArguments,
    CurvesArguments,
    ExportArguments,
    GenerateArguments,
    TranslateArguments,
    read_shakespeare,
    read_train,
    read_train_classifier,
    read_train_translator,
)
from gru_scratch.studies.forecast.forecast_options import ForecastArguments
from gru_scratch.studies.gates.explore_options import ExploreArguments
from gru_scratch.studies.gradients.gradient_options import GradientArguments
from gru_scratch.studies.memory.memory_options import MemoryArguments
from gru_scratch.training.command_line import read_options

Reader: TypeAlias = Callable[[Sequence[str], str | None], Any]
"""From the words after a command and its name in help (None: the file that runs) to its options."""

Work: TypeAlias = Callable[[], int]
"""The work of a command, once its module is imported and its options are read; it returns the exit status."""

PROGRAM = "gru-scratch"
VERSION = f"{PROGRAM} {gru_scratch.__version__}"


@dataclass(frozen=True)
class Command:
    """A command: its line in help, the reader of its options, and the module in this room whose `main` takes them."""

    summary: str
    read: Reader
    module: str


def reader(options: type[object]) -> Reader:
    return partial(read_options, options)


COMMANDS = {
    "train": Command("train a character model, and keep it in a run folder", read_train, "train"),
    "generate": Command("continue a prefix with a trained model", reader(GenerateArguments), "generate"),
    "export": Command("write a trained model as C, as ONNX or for torch.nn", reader(ExportArguments), "export"),
    "train-translator": Command("train a translator of sentences", read_train_translator, "train_translator"),
    "translate": Command("translate sentences with a trained translator", reader(TranslateArguments), "translate"),
    "train-classifier": Command("train a classifier of sentences", read_train_classifier, "train_classifier"),
    "classify": Command("classify sentences with a trained classifier", reader(ClassifyArguments), "classify"),
    "compare": Command("measure engines and torch.nn against each other", reader(CompareArguments), "compare"),
    "explore": Command("show all gates of a trained model in one page", reader(ExploreArguments), "explore"),
    "memory": Command("study how far back a cell remembers", reader(MemoryArguments), "memory"),
    "gradients": Command("study whether gradients vanish or explode", reader(GradientArguments), "gradients"),
    "forecast": Command("forecast a series, and compare with a linear model", reader(ForecastArguments), "forecast"),
    "curves": Command("draw the losses of several runs in one picture", reader(CurvesArguments), "curves"),
    "shakespeare": Command("train and test a model of Tiny Shakespeare", read_shakespeare, "train"),
}


def prepare(words: Sequence[str]) -> Work:
    """The work of the command that the first of `words` names, the others being its options."""
    if not words:
        raise ValueError(f"expected a command, received none: {PROGRAM} --help lists them")
    name, *arguments = words
    if name in ("-h", "--help"):
        return partial(show, help_page())
    if name == "--version":
        return partial(show, VERSION)
    if name not in COMMANDS:
        raise ValueError(f"unknown command {name!r}: expected {', '.join(COMMANDS)}")
    return prepare_named(name, arguments, f"{PROGRAM} {name}")


def prepare_named(name: str, arguments: Sequence[str], prog: str | None = None) -> Work:
    """The work of one command; its help calls it `prog`."""
    if list(arguments) == ["--version"]:
        return partial(show, VERSION)
    command = COMMANDS[name]
    options = command.read(arguments, prog)
    return partial(import_module(f"gru_scratch.cli.{command.module}").main, options)


def show(text: str) -> int:
    print(text)
    return 0


def help_page() -> str:
    lines = "\n".join(f"  {name:<18}{command.summary}" for name, command in COMMANDS.items())
    return f"""usage: {PROGRAM} COMMAND [OPTIONS]

RNN, GRU and LSTM from the equations of Dive into Deep Learning.

commands:
{lines}

options:
  -h, --help   show this page and exit
  --version    show the version and exit

{PROGRAM} COMMAND --help explains a command and its options."""
