"""scripts/memory.py, gradients.py and forecast.py as a user runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT
from support.script_runs import RunScript
from tqdm import tqdm

from gru_scratch.text.corpus import Text

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
MEMORY = ["--cells", "rnn", "gru", "--lengths", "3", "6", "--updates", "2", "--seeds", "2", "--num-hiddens", "4"]
GRADIENTS = ["--cells", "rnn", "lstm", "--span", "12", "--looks", "0", "2", "--seeds", "1", "--num-hiddens", "4"]
OF_CSV = ["--order", "4", "--horizon", "6", "--updates", "2", "--seeds", "2", "--num-hiddens", "4"]
FORECAST = ["--length", "120", *OF_CSV]


def written(folder: Path, *names: str) -> dict[str, object]:
    """Check what a study left behind; its numbers."""
    numbers, *pictures = names
    assert sorted(p.name for p in folder.iterdir()) == sorted(names)
    assert all((folder / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)
    content = json.loads((folder / numbers).read_text())
    assert isinstance(content, dict)
    return content


def test_memory(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "memory.py"), *MEMORY]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "| cell | 3 | 6 |" in done.stdout
    assert re.search(r"^\| GRU \| \d+ % .*0/2 \|", done.stdout, re.MULTILINE)
    numbers = written(tmp_path / "runs" / "memory-recall", "memory-recall.json", "memory-recall.png")
    runs = numbers["runs"]
    assert isinstance(runs, list)
    assert [(r["length"], r["cell"], r["seed"]) for r in runs] == [
        (length, cell, seed) for length in (3, 6) for cell in ("rnn", "gru") for seed in (0, 1)
    ]


@pytest.mark.parametrize("task", ["adding", "copying"])
def test_memory_of_other_tasks_and_a_second_run(in_process: RunScript, task: str) -> None:
    for folder in (f"memory-{task}", f"memory-{task}-2"):
        status, _, _ = in_process("memory", "--task", task, *MEMORY)
        assert status == 0
        written(Path("runs") / folder, f"memory-{task}.json", f"memory-{task}.png")


def test_gradients(in_process: RunScript, text: Text) -> None:
    status, out, err = in_process("gradients", *GRADIENTS, "--text", text.path, "--out", "g")
    assert (status, err) == (0, "")
    assert re.search(r"^rnn, as torch.nn, before training: \S+ at k = \d+", out, re.MULTILINE)
    assert re.search(r"^lstm, not clipped, seed 0: loss \d", out, re.MULTILINE)
    pictures = [f"gradients-{name}.png" for name in ("start", "training", "matrices")]
    numbers = written(Path("g"), "gradients.json", *pictures)
    assert isinstance(numbers["runs"], list)
    assert len(numbers["runs"]) == 4


def test_a_training_run_logs_how_far_gradients_reach_and_is_the_same_run(in_process: RunScript, text: Text) -> None:
    run = ["--text", text.path, "--max-tokens", "300", "--num-hiddens", "5", "--batch-size", "3", "--num-steps", "8"]
    run += ["--cell", "lstm", "--num-layers", "2", "--epochs", "2"]
    records = {}
    for watched in (True, False):
        status, out, err = in_process("train", *run, "--out", watched, *["--watch-gradients"] * watched)
        assert (status, err) == (0, "")
        assert len(re.findall(r"^gradient flow of layer [01]: .*\S+ at k = 8$", out, re.MULTILINE)) == 2 * watched
        records[watched] = [json.loads(line) for line in Path(f"{watched}/metrics.jsonl").read_text().splitlines()]
    assert [r["train_loss"] for r in records[True]] == [r["train_loss"] for r in records[False]]
    assert not any("gradient_flow" in record for record in records[False])
    for record in records[True]:
        assert [layer["layer"] for layer in record["gradient_flow"]] == [0, 1]
        for layer in record["gradient_flow"]:
            assert layer["flow"]["lags"] == list(range(1, 9))
            assert set(layer["singular_values"]) == {"i", "f", "g", "o"}
    assert records[True][0]["gradient_flow"] != records[True][1]["gradient_flow"]


def test_forecast_of_a_generated_series_and_of_the_same_as_csv(in_process: RunScript) -> None:
    status, out, err = in_process("forecast", *FORECAST, "--save-series", "s.csv", "--out", "a")
    assert (status, err) == (0, "")
    assert "| linear autoregression | 5 |" in out
    first = written(Path("a"), "forecast.json", "forecast.png")
    status, _, _ = in_process("forecast", *OF_CSV, "--csv", "s.csv", "--column", "value", "--out", "b")
    assert status == 0
    second = written(Path("b"), "forecast.json", "forecast.png")
    assert first["study"] == second["study"]
    status, _, err = in_process("forecast", *FORECAST, "--save-series", "s.csv", "--out", "c")
    assert status == 2
    assert "s.csv is there already" in err


def test_a_cell_of_ones_own(in_process: RunScript, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from gru_scratch.cells import MGUEquations\nclass Mine(MGUEquations): pass\n")
    status, out, err = in_process("memory", *MEMORY, "--cells", "mine.py:Mine")
    assert (status, err) == (0, "")
    assert "| Mine |" in out


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("memory", ["--lengths", "0"], r"lengths must be at least 1 for the task recall, received \[0\]"),
        ("memory", ["--lengths", "5", "-3"], r"received \[5, -3\]"),
        ("memory", ["--cells", "gro"], "unknown cell 'gro'"),
        ("memory", ["--cells", "none.py:A"], "none.py"),
        ("memory", ["--seeds", "0"], "at least one seed"),
        ("memory", ["--lr", "nan"], "lr must be"),
        ("memory", ["--out", "full"], "the folder full is not empty"),
        ("memory", ["--out", "file"], "cannot write to the folder file: File exists"),
        ("memory", ["--out", "file/below"], "file"),
        ("memory", ["--out", "/proc/nothing"], "/proc/nothing"),
        ("gradients", ["--span", "0"], "span must be at least 1, received 0"),
        ("gradients", ["--cells", "gro"], "unknown cell 'gro'"),
        ("gradients", ["--seeds", "0"], "seeds of at least 1, received 0"),
        ("gradients", ["--text", "none.txt"], "none.txt"),
        ("gradients", ["--text", "file"], "no letter from a to z"),
        ("gradients", ["--max-tokens", "50"], "the text is too short"),
        ("gradients", ["--span", "9999999"], "a span needs 9999999"),
        ("forecast", ["--cells", "gro"], "unknown cell 'gro'"),
        ("forecast", ["--seeds", "-1"], "one seed"),
        ("forecast", ["--length", "20"], "the series is too short: it has 20 values"),
        ("forecast", ["--length", "-1"], "length must be at least 1"),
        ("forecast", ["--csv", "none.csv", "--column", "x"], "no CSV file none.csv"),
        ("forecast", ["--csv", "gap.csv"], "--csv needs --column"),
        ("forecast", ["--column", "x"], "--column x needs --csv"),
        ("forecast", ["--delimiter", ";"], "--delimiter ';' needs --csv"),
        ("forecast", ["--csv", "gap.csv", "--column", "x", "--length", "9"], "--length is of a series to generate"),
        ("forecast", ["--csv", "gap.csv", "--column", "x", "--series", "noisy-sine"], "--series is of a series to gen"),
        ("forecast", ["--csv", "gap.csv", "--column", "y"], "no column 'y': its first row names 't', 'x'"),
        ("forecast", ["--csv", "gap.csv", "--column", "x"], "line 3 of gap.csv, column 'x', is empty"),
        ("forecast", ["--csv", "gap.csv", "--column", "t"], "line 4 of gap.csv, column 't', holds 'two'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    in_process: RunScript, text: Text, script: str, arguments: list[str], said: str
) -> None:
    if script == "gradients" and "--text" not in arguments:
        arguments = [*arguments, "--text", str(text.path)]
    Path("full").mkdir()
    Path("full/kept").write_text("kept")
    Path("file").write_text("1 2 3\n")
    Path("gap.csv").write_text("t,x\n0,1\n1,\ntwo,3\n")
    before = sorted(Path().rglob("*"))
    status, out, err = in_process(script, *arguments)
    assert (status, out) == (2, "")
    assert re.search(said, err), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("script", "arguments"), [("memory", MEMORY), ("gradients", GRADIENTS), ("forecast", FORECAST)]
)
def test_an_interrupted_study_keeps_whole_files_or_none(
    in_process: RunScript, monkeypatch, text: Text, script: str, arguments: list[str]
) -> None:
    if script == "gradients":
        arguments = [*arguments, "--text", str(text.path)]
    calls: list[int] = []

    def update(bar: object, n: float = 1) -> None:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(tqdm, "update", update)
    status, _, err = in_process(script, *arguments, "--out", "o")
    assert (status, err) == (130, "interrupted\n")
    kept = {
        "memory": ["memory-recall.json", "memory-recall.png"],
        "gradients": ["gradients-matrices.png", "gradients-start.png", "gradients-training.png", "gradients.json"],
        "forecast": ["forecast.json", "forecast.png"],
    }
    assert sorted(p.name for p in Path().rglob("*.*")) == kept[script]
