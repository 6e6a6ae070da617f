"""Runs of scripts/train.py in processes of their own that start at once: forks of one that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from support.paths import ROOT

SCRIPTS = ROOT / "scripts"
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "pytest",
        "gru_scratch.generate.continuation",
        "gru_scratch.studies.gradients.watch",
        "gru_scratch.training.folder",
        "torch._dynamo",  # the first optimiser imports it
        "tyro",
    ]
)


def run_here(script: str, arguments: Sequence[str], cwd: Path, output: Path, environment: Mapping[str, str]) -> None:
    """The script as its own process runs it; what it prints goes to a file."""
    os.chdir(cwd)
    os.environ.update(environment)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    torch.set_num_threads(1)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(SCRIPTS))
    runpy.run_path(str(SCRIPTS / script), run_name="__main__")


def start_train(
    cwd: Path, *arguments: object, script: str = "train.py", output: str = "output.txt", **environment: str
) -> BaseProcess:
    """A script with these arguments; what it prints is added to the file `output` in `cwd`."""
    process = FORKS.Process(target=run_here, args=(script, list(map(str, arguments)), cwd, cwd / output, environment))
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
