"""Commands on a real machine: signals that end them, and streams that are closed. Each is a process of its own.

Where its first moments matter it is started anew, elsewhere forked from one that has all imported.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.paths import ROOT
from support.script_runs import start_train

from gru_scratch.cells import GRUEquations
from gru_scratch.studies.gates.words import equation
from gru_scratch.text.corpus import Text

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals, and another shell")

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
SMALL = ["--num-hiddens", "8", "--batch-size", "4", "--num-steps", "7", "--max-tokens", "300", "--val-fraction", "0.01"]


def interrupted(number: int, made: Path, cwd: Path, *words: object) -> tuple[int, str, str]:
    """A command that gets a signal once the file `made` is there: its status, stdout and stderr."""
    command, *arguments = words
    process = start_train(cwd, *arguments, script=f"{command}.py", output="out", errors="err")
    for _ in range(1200):
        if made.exists() or process.exitcode is not None:
            break
        time.sleep(0.05)
    time.sleep(0.2)  # past the making of it
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(60)
    if process.exitcode is None:
        process.kill()
        pytest.fail("it goes on in spite of the signal")
    return process.exitcode, (cwd / "out").read_text(), (cwd / "err").read_text()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_saves_and_ends_a_run_as_ctrl_c_does(tmp_path: Path, text: Text, name: str) -> None:
    endless = ["train", "--text", text.path, *SMALL, "--epochs", 10**6, "--eval-every", 1, "--out", "run"]
    number = getattr(signal, name)
    status, out, err = interrupted(number, tmp_path / "run" / "curve.png", tmp_path, *endless)
    assert (status, "Traceback" in err) == (128 + number, False)
    assert err.endswith("saved in run\n")
    assert "\ntraining perplexity " in out
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") >= 1


STUDIES: dict[str, tuple[object, ...]] = {
    "memory": ("memory-recall", "--cells", "rnn", "--lengths", 2, 2000, "--updates", 10**6, "--seeds", 1),
    "gradients": ("gradients", "--cells", "rnn", "--looks", 0, 100, "--span", 20, "--seeds", 20),
    "forecast": ("forecast", "--cells", "rnn", "--updates", 40, "--seeds", 1000),
}


@pytest.mark.parametrize("command", STUDIES)
def test_a_study_keeps_what_it_has(tmp_path: Path, text: Text, command: str) -> None:
    made, *words = STUDIES[command]
    if command == "gradients":
        words += ["--text", text.path]
    kept = tmp_path / "study" / f"{made}.json"
    status, out, err = interrupted(signal.SIGTERM, kept, tmp_path, command, *words, "--out", "study")
    assert (status, err) == (143, "interrupted\n")
    assert f"wrote study/{made}.json, study/" in out
    assert json.loads(kept.read_text())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        pytest.param("gradients", ("--looks", 10**6), marks=pytest.mark.exhaustive),
        ("forecast", ("--updates", 10**6)),
    ],
    ids=["gradients", "forecast"],
)
def test_a_study_without_a_run_leaves_no_folder(
    tmp_path: Path, text: Text, command: str, words: tuple[object, ...]
) -> None:
    words = (*words, "--cells", "rnn", "--out", "study", *(("--text", text.path) if command == "gradients" else ()))
    status, out, err = interrupted(signal.SIGTERM, tmp_path / "study", tmp_path, command, *words)
    assert (status, out, err) == (143, "", "interrupted\n")
    assert not (tmp_path / "study").exists()


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As SIGHUP is under nohup."""
    code = (
        "import os, signal; from gru_scratch.training.interrupts import raised\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with raised(): os.kill(os.getpid(), signal.SIGHUP)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=False).returncode == 0


@pytest.mark.parametrize(
    "closed", [*(pytest.param(one, marks=pytest.mark.exhaustive) for one in (">&-", "2>&-")), "<&- >&- 2>&-"]
)
def test_a_run_with_closed_streams_comes_to_its_end(tmp_path: Path, text: Text, closed: str) -> None:
    words = f"train --text '{text.path}' {' '.join(SMALL)} --epochs 2 --out run"
    command = f"'{sys.executable}' -m gru_scratch {words} {closed}"
    done = subprocess.run(command, shell=True, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == 2


def test_equations_are_there_where_python_keeps_no_docstrings() -> None:
    code = (
        "from gru_scratch.cells import GRUEquations\n"
        "from gru_scratch.studies.gates.words import equation\n"
        "print(equation(GRUEquations(), 'z'))\n"
    )
    command = [sys.executable, "-OO", "-c", code]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{equation(GRUEquations(), 'z')}\n" != "\n"
