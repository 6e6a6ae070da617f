"""scripts/compare.py as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import matplotlib.image
import pytest
from support.paths import ROOT
from support.script_runs import RunScript

from gru_scratch.benchmark import plans
from gru_scratch.studies import results

SIZES = {"--batch-size": 1, "--num-steps": 1, "--num-hiddens": 1, "--vocab-size": 2}
SMALLEST = [str(word) for option in {**SIZES, "--seconds": 0, "--threads": 1}.items() for word in option]
SCHEMA = json.loads((ROOT / "docs" / "compare.schema.json").read_text())


@pytest.fixture
def compare(in_process: RunScript) -> RunScript:
    return partial(in_process, "compare")


def read(path: Path) -> dict[str, Any]:
    """The JSON, held to its schema."""
    found: dict[str, Any] = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(found, SCHEMA, jsonschema.Draft202012Validator)
    return found


def without_notes(err: str) -> str:
    """Stderr without the line about other programs, which depends on the machine."""
    return "".join(line for line in err.splitlines(True) if not line.startswith("note: other programs"))


def test_with_the_smallest_sizes(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "compare.py"), *SMALLEST]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, without_notes(done.stderr)) == (0, "")
    for word in ("machine ", "1 threads", "versions ", "torch 2", "date ", "tokens/s", "times as fast", "peak MiB"):
        assert word in done.stdout
    found = read(tmp_path / "runs" / "compare" / "comparison.json")
    rows = {(c["title"], row["engine"]): row for c in found["comparisons"] for row in c["rows"]}
    every = ["builtin", "builtin-compiled", "textbook", "fused", "native"]
    assert list(rows) == [
        *(("RNN", engine) for engine in every),
        *(("GRU, reset after", engine) for engine in every),
        *(("GRU, reset before", engine) for engine in every if not engine.startswith("builtin")),
        *(("LSTM", engine) for engine in every),
    ]
    for (title, engine), row in rows.items():
        assert f"| {title} " in done.stdout
        assert f"| {engine} " in done.stdout
        assert len(row["seconds"]) == 7
        base = engine == "builtin" or (title, engine) == ("GRU, reset before", "textbook")
        assert (row["ratio"] is None) == base
        assert row["peak_memory_bytes"] > 0
        assert {"loss", "rnn.weight_hh_l0", "linear.bias"} <= set(row["differences"])
    assert found["machine"]["threads"] == 1
    assert found["options"]["batch_size"] == 1
    assert sorted(path.name for path in (tmp_path / "runs" / "compare").iterdir()) == [
        "comparison.json",
        "comparison.png",
    ]
    picture = matplotlib.image.imread(tmp_path / "runs" / "compare" / "comparison.png")
    assert picture.shape[1] == 1104
    assert picture.std() > 0.05  # something is drawn


@pytest.mark.parametrize(
    ("options", "picture", "said"),
    [
        (["--sweep", "batch", "--sizes", 2, 1], "sweep-batch.png", "LSTM, batch 1"),
        (["--sweep", "steps", "--sizes", 1, 3], "sweep-steps.png", "products alone"),
        (["--sweep", "hidden", "--sizes", 2, 4], "sweep-hidden.png", "LSTM, hidden 4"),
        (["--generate"], "generation.png", "scores differ"),
        (["--ladder"], "ladder.png", "gain on the step before"),
        (["--input", "dense"], "comparison.png", "gradients differ"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_the_other_questions(compare: RunScript, options: list[object], picture: str, said: str) -> None:
    status, out, err = compare(*SMALLEST, "--cells", "lstm", *options, "--out", "here")
    assert (status, without_notes(err)) == (0, "")
    assert said in out
    assert sorted(path.name for path in Path("here").iterdir()) == sorted(["comparison.json", picture])
    assert matplotlib.image.imread(f"here/{picture}").std() > 0.05
    sizes = [c["details"]["num_hiddens"] for c in read(Path("here/comparison.json"))["comparisons"]]
    assert sizes == ([2, 4] if "hidden" in options else [1] * len(sizes))


def test_a_cell_of_ones_own_and_chosen_engines(compare: RunScript) -> None:
    Path("mine.py").write_text("from gru_scratch.cells import MGUEquations\nclass Mine(MGUEquations):\n    pass\n")
    options = ["--cells", "mine.py:Mine", "--engines", "textbook", "fused", "builtin"]
    status, out, _ = compare(*SMALLEST, *options)
    assert status == 0
    (comparison,) = read(Path("runs/compare/comparison.json"))["comparisons"]
    assert (comparison["title"], comparison["base"]) == ("Mine", "textbook")
    assert [row["engine"] for row in comparison["rows"]] == ["textbook", "fused"]
    assert "1 (base)" in out


def test_a_cell_that_fails_gets_a_row_and_a_status(compare: RunScript) -> None:
    Path("mine.py").write_text(
        "import torch\nfrom gru_scratch.cells import RNNEquations\n"
        "class Mine(RNNEquations):\n    def step(self, x, W, state):\n"
        "        if torch.is_grad_enabled():\n            raise TypeError('no such gate')\n"
        "        return super().step(x, W, state)\n"
    )
    status, out, err = compare(*SMALLEST, "--cells", "mine.py:Mine")
    assert (status, without_notes(err)) == (1, "")
    assert out.count("fails: TypeError: no such gate") == 3
    read(Path("runs/compare/comparison.json"))


BAD_OPTIONS = [
    (["--cells", "gruu"], "unknown cell 'gruu': expected rnn, gru, lstm"),
    (["--cells", "nowhere.py:Cell"], "there is no file nowhere.py"),
    (["--cells", "mine.py"], "name a class of mine.py"),
    (["--cells"], "expected at least one cell, received none"),
    (["--engines", "cudnn"], "unknown engine 'cudnn': expected builtin, builtin-compiled"),
    (["--batch-size", "0"], "batch_size must be at least 1, received 0"),
    (["--num-steps", "-1"], "num_steps must be at least 1, received -1"),
    (["--num-hiddens", "0"], "num_hiddens must be at least 1, received 0"),
    (["--vocab-size", "0"], "vocab_size must be at least 1, received 0"),
    (["--threads", "0"], "threads must be at least 1 and at most 4096, received 0"),
    (["--seconds", "-1"], "seconds must be a finite number of at least 0, received -1.0"),
    (["--seconds", "nan"], "seconds must be a finite number of at least 0, received nan"),
    (["--seed", "-1"], "seed must be at least 0 and below 2**63, received -1"),
    (["--sweep", "batch", "--sizes", "4", "0"], "sizes must be at least 1, received 0"),
    (["--sizes", "4"], "--sizes has no effect without --sweep"),
    (["--only", "book"], "--only has no effect without --six-settings"),
    (["--six-settings", "--only", "books"], "unknown setting 'books': expected book, book-1.0"),
    (["--six-settings"], "--batch-size has no effect with --six-settings"),
    (["--ladder", "--engines", "native"], "--engines has no effect with --ladder"),
    (["--generate", "--ladder"], "expected one question at a time, received --generate and --ladder"),
    (["--generate", "--input", "dense"], "expected --input tokens, received dense"),
    (["--device", "tpu"], "device must be cpu, cuda or cuda:N, received 'tpu'"),
    (["--device", "cuda:77"], "device 'cuda:77' is not here"),
    (["--num-hiddens", "1000000", "--out", "new"], "batch 1, steps 1, hidden 1000000, vocabulary 2 needs at least"),
    (["--out", "taken"], "the folder taken is not empty: expected a new one"),
    (["--out", "mine.py"], "cannot write to the folder mine.py: File exists"),
    (["--out", "mine.py/new"], "cannot write to the folder mine.py/new: Not a directory"),
]


@pytest.mark.parametrize(
    ("options", "said"), BAD_OPTIONS, ids=lambda value: " ".join(value) if type(value) is list else ""
)
def test_bad_input(compare: RunScript, options: list[str], said: str) -> None:
    Path("taken").mkdir()
    Path("taken/precious").write_text("mine")
    Path("mine.py").write_text("x = 1\n")
    before = sorted(Path().rglob("*"))
    status, out, err = compare(*SMALLEST, *options)
    assert status == 2
    assert said in err
    assert without_notes(err).count("\n") == 1
    assert "|" not in out
    assert sorted(path for path in Path().rglob("*") if path != Path("runs")) == before


def test_bad_input_that_the_parser_refuses(compare: RunScript) -> None:
    for options in (["--sweep", "depth"], ["--input", "words"], ["--batch-size", "many"], ["--no-such-option"]):
        status, out, err = compare(*options)
        assert (status, out) == (2, "")
        assert options[0].lstrip("-") in err
        assert "Traceback" not in err


def test_a_folder_without_write_permission(compare: RunScript, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(results.tempfile, "TemporaryFile", refuse)
    status, out, err = compare(*SMALLEST, "--out", "locked")
    assert (status, out, err) == (2, "", "error: cannot write to the folder locked: Permission denied\n")


def test_a_second_run_gets_a_folder_of_its_own(compare: RunScript) -> None:
    for _ in range(2):
        assert compare(*SMALLEST, "--cells", "rnn", "--engines", "fused")[0] == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["compare", "compare-2"]


def test_ctrl_c_keeps_what_was_measured(compare: RunScript, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = plans.compare_training, []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(plans, "compare_training", interrupted)
    status, out, err = compare(*SMALLEST, "--cells", "rnn", "lstm", "--engines", "fused")
    assert (status, without_notes(err)) == (130, "interrupted after 1 of 2 comparisons\n")
    assert "| RNN " in out
    assert [c["title"] for c in read(Path("runs/compare/comparison.json"))["comparisons"]] == ["RNN"]


def test_ctrl_c_before_anything_was_measured(compare: RunScript, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(plans, "compare_training", interrupted)
    assert compare(*SMALLEST)[0] == 130
    assert list(Path("runs").iterdir()) == []


def test_the_schema_refuses_what_is_none() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"format": 1, "machine": {}, "options": {}, "comparisons": []}, SCHEMA)
