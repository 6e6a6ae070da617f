"""gru-scratch and python -m gru_scratch: one table of commands, help without PyTorch, a quiet end at any time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.paths import ROOT
from support.script_runs import SCRIPTS, RunScript

import gru_scratch
from gru_scratch.cli.commands import COMMANDS
from gru_scratch.cli.entry import main

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
SLOW = {"torch", "matplotlib", "numpy"}
TELLS_WHAT_IT_IMPORTED = """
import atexit, json, sys
from gru_scratch.cli.entry import main
atexit.register(lambda: open("imported", "w").write(json.dumps(list(sys.modules))))
main()
"""

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The installed command in this process, in an empty working folder: (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gru-scratch", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int)
        return (end.value.code, *capsys.readouterr())

    return run


def python(cwd: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["--version"], f"gru-scratch {gru_scratch.__version__}\n"),
        (["train", "--version"], f"gru-scratch {gru_scratch.__version__}\n"),
        (["--help"], "usage: gru-scratch COMMAND [OPTIONS]\n"),
        *(([name, "--help"], f"usage: gru-scratch {name} [-h] ") for name in COMMANDS),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_and_version_import_nothing_that_is_slow(tmp_path: Path, words: list[str], start: str) -> None:
    done = python(tmp_path, "-c", TELLS_WHAT_IT_IMPORTED, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert SLOW.isdisjoint(json.loads((tmp_path / "imported").read_text()))
    assert done.stdout.startswith(start)


def test_the_page_lists_every_command_with_a_line(command: Command) -> None:
    status, out, err = command("--help")
    assert (status, err) == (0, "")
    for name, known in COMMANDS.items():
        assert f"\n  {name:<18}{known.summary}\n" in out
    assert max(map(len, out.splitlines())) <= 80
    assert command("-h") == (status, out, err)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "error: expected a command, received none: gru-scratch --help lists them\n"),
        (("trian",), f"error: unknown command 'trian': expected {', '.join(COMMANDS)}\n"),
    ],
)
def test_no_such_command(command: Command, words: tuple[str, ...], said: str) -> None:
    assert command(*words) == (2, "", said)


def test_every_command_has_its_file_in_scripts() -> None:
    assert sorted(path.stem.replace("_", "-") for path in SCRIPTS.glob("*.py")) == sorted(COMMANDS)


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--batch-size", "0"),
        ("generate", "nowhere"),
        ("compare", "--cells", "gro"),
        ("explore", "nowhere"),
        ("memory", "--cells", "gro"),
        ("gradients", "--cells", "gro"),
        ("forecast", "--cells", "gro"),
        ("curves",),
        ("shakespeare", "--batch-size", "0"),
    ],
    ids=lambda words: words[0],
)
def test_a_script_is_its_command(command: Command, in_process: RunScript, words: tuple[str, ...]) -> None:
    status, out, err = command(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert in_process(*words) == (status, out, err)


@pytest.mark.usefixtures("signals_heard")
@pytest.mark.parametrize("arguments", [("-m", "gru_scratch", "train"), (str(SCRIPTS / "train.py"),)])
def test_ctrl_c_while_imports_run_ends_quietly(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Also where the import that is interrupted catches every exception, as some do."""
    (tmp_path / "torch.py").write_text(
        "import signal\ntry:\n    signal.raise_signal(signal.SIGINT)\nexcept BaseException:\n    pass\n"
    )
    done = python(tmp_path, *arguments, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
