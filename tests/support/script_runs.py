"""Runs of the files in scripts/: in this process, or in one that starts at once, a fork of one with all imported."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from support.paths import ROOT

SCRIPTS = ROOT / "scripts"
RunScript = Callable[..., tuple[int, str, str]]
"""From a command's name and its arguments to its exit status, stdout and stderr."""
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "pytest",
        "gru_scratch.cli.commands",
        "gru_scratch.cli.train",
        "torch._dynamo",  # the first optimiser imports it
    ]
)


def in_this_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunScript:
    def run_script(name: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
        captured = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, captured.out, captured.err

    return run_script


def run_here(
    script: str, arguments: Sequence[str], cwd: Path, outputs: tuple[Path, Path], environment: Mapping[str, str]
) -> None:
    """The script as its own process runs it, started from a terminal; what it prints and its errors go to files."""
    os.chdir(cwd)
    os.environ.update(environment)
    for stream, output in enumerate(outputs, 1):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    torch.set_num_threads(1)
    sys.argv = [script, *arguments]
    runpy.run_path(str(SCRIPTS / script), run_name="__main__")


def start_train(
    cwd: Path,
    *arguments: object,
    script: str = "train.py",
    output: str = "output.txt",
    errors: str | None = None,
    **environment: str,
) -> BaseProcess:
    """A script with these arguments; what it prints is added to the files `output` and `errors`, or one, in `cwd`."""
    outputs = cwd / output, cwd / (errors or output)
    process = FORKS.Process(target=run_here, args=(script, list(map(str, arguments)), cwd, outputs, environment))
    process.start()
    return process


def train(cwd: Path, *arguments: object, script: str = "train.py", status: int = 0) -> str:
    """A script to its end, which is to have this status; what it printed."""
    output = f"output-{len(list(cwd.glob('output-*')))}.txt"
    process = start_train(cwd, *arguments, script=script, output=output)
    process.join(300)
    printed = (cwd / output).read_text()
    assert process.exitcode == status, printed
    return printed
