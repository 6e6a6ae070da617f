"""Options read from a command line: dataclasses whose attributes are explained under them.

Help shows the options of a training run in groups, and for every option its default, once.
"""

from __future__ import annotations

import argparse
import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields, make_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

from gru_scratch.engines.names import check_engine
from gru_scratch.training.options import Otherwise, RunOptions

Options = TypeVar("Options", bound=RunOptions)
AnyOptions = TypeVar("AnyOptions")


def read_options(options: type[AnyOptions], arguments: Sequence[str], prog: str | None = None) -> AnyOptions:
    """The options of a command, all in one group; the docstring of the class says what the command does."""
    given: Any = tyro.cli(_with_help(options, {}), args=list(arguments), prog=prog)
    return options(**vars(given))


def read_groups(
    groups: Mapping[str, type],
    values: Mapping[str, Any],
    arguments: Sequence[str],
    *,
    description: str,
    prog: str | None = None,
    otherwise: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The values of all options, by name.

    Args:
        groups: dataclasses, by their names in help.
        values: the defaults of the options, which help shows.
        arguments: the words of a command line.
        description: what the command does, in lines of at most 80 characters.
        prog: the name of the command (None: the file that runs).
        otherwise: what None means for an option, in place of its `Otherwise`.
    """
    parts: list[Any] = []
    for name, group in groups.items():
        shown: Any = _with_help(group, otherwise or {})
        default = shown(**{each.name: values[each.name] for each in fields(group)})
        parts.append((name.replace(" ", "_"), Annotated[shown, tyro.conf.OmitArgPrefixes], field(default=default)))
    command = make_dataclass("Command", parts, frozen=True)
    given: Any = tyro.cli(command, args=list(arguments), prog=prog, description=description)
    return {name: value for group in vars(given).values() for name, value in vars(group).items()}


def read_run(
    groups: Mapping[str, type],
    preset: Options,
    arguments: Sequence[str],
    stored: Callable[[Path], Options],
    *,
    description: str,
    prog: str | None = None,
    otherwise: Mapping[str, str] | None = None,
) -> tuple[Options, Path | None, frozenset[str]]:
    """The options of a run, the folder to resume from (None: it is a new run), and what was given for a new run.

    Raises ValueError for an option that is given for a new run, and has no effect beside the others.

    Args:
        groups: as `read_groups` has them; one of them has the option `resume`.
        preset: the defaults of a new run, which help shows.
        arguments: the words after the command.
        stored: returns the options of the run in a folder, the defaults when it is resumed.
        description, prog, otherwise: as `read_groups` has them.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--resume", type=Path)
    folder: Path | None = first.parse_known_args(arguments)[0].resume
    before = stored(folder) if folder is not None else preset
    values = {**vars(before), "resume": folder}
    if folder is None and values["engine"] == "auto":
        values["engine"] = check_engine(None)  # the environment may name another
    given = read_groups(groups, values, arguments, description=description, prog=prog, otherwise=otherwise)
    del given["resume"]
    options = type(before)(**given)
    if folder is not None and options.out not in (before.out, folder):
        raise ValueError(f"a resumed run stays in its own folder, {folder}, received out {options.out}")
    named = frozenset() if folder is not None else _named(arguments)
    options.check_given(named)
    return options, folder, named


def _named(arguments: Sequence[str]) -> frozenset[str]:
    """The names of the options among the words of a command line."""
    flags = (word.partition("=")[0].replace("_", "-") for word in arguments if word.startswith("--"))
    return frozenset(flag.removeprefix("--").removeprefix("no-").replace("-", "_") for flag in flags)


def _with_help(group: type, otherwise: Mapping[str, str]) -> type:
    """A dataclass of the same options that carries their help, each in one line, as tyro keeps some line breaks."""
    hints, docs = get_type_hints(group, include_extras=True), _docs(group)
    shown = []
    for each in fields(group):
        meaning = otherwise.get(each.name) or next(
            (mark.meaning for mark in getattr(hints[each.name], "__metadata__", ()) if isinstance(mark, Otherwise)),
            None,
        )
        show = tyro.conf.arg(help=docs[each.name], help_behavior_hint=None if meaning is None else _hint(meaning))
        shown.append((each.name, Annotated[hints[each.name], show], field(default=each.default)))
    made = make_dataclass(group.__name__, shown, frozen=True)
    made.__doc__ = group.__doc__
    return made


def _hint(meaning: str) -> Any:
    return lambda default: f"(default: {meaning if default in ('None', '') else default})"


def _docs(group: type) -> dict[str, str]:
    """The docstring under each attribute of a class and of its base classes, in one line."""
    docs: dict[str, str] = {}
    for each in reversed(group.__mro__[:-1]):
        (definition,) = ast.parse(inspect.getsource(each)).body
        assert isinstance(definition, ast.ClassDef)
        for attribute, sentences in pairwise(definition.body):
            if isinstance(attribute, ast.AnnAssign) and isinstance(sentences, ast.Expr):
                docs[ast.unparse(attribute.target)] = " ".join(ast.literal_eval(sentences.value).split())
    return docs
