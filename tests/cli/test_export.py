"""gru-scratch export as a user runs it: a C program compiled and run, parameters and a graph loaded without us."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.script_runs import RunScript
from support.small_runs import small_run

from gru_scratch.training.folder import save_run

SENTENCE = "Time Traveller, you came a while ago; now we are öt home. " * 12
PREFIX = "time traveller"

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler cc")


def make_run(folder: Path, **options: Any) -> Path:
    """A run that has learnt for a moment."""
    text = folder.parent / f"{folder.name}.txt"
    text.write_text(options.pop("sentence", SENTENCE), "utf-8")
    folder.mkdir()
    trainer = small_run(text, **{"num_hiddens": 24, "epochs": 8, **options})
    trainer.run()
    save_run(folder, trainer, None)
    return folder


def compiled(source: Path) -> Path:
    program = source.with_suffix(".out")
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["cc", *strict, source, "-O2", "-lm", "-o", program], check=True)
    return program


def ran(program: Path, *arguments: object) -> str:
    return subprocess.run([program, *map(str, arguments)], check=True, capture_output=True).stdout.decode(
        errors="replace"
    )


@pytest.fixture
def export(in_process: RunScript) -> RunScript:
    return partial(in_process, "export")


RUNS: dict[str, dict[str, Any]] = {
    "the book's gru": {"cell": "gru", "cleaning": "book"},
    "deep lstm of bytes": {"cell": "lstm", "num_layers": 2, "tokens": "byte", "cleaning": "raw"},
    "mgu, tied embedding, words": {
        "cell": "mgu",
        "tokens": "word",
        "embedding": 24,
        "tie_weights": True,
        "num_layers": 2,
    },
    "rnn in double": {"cell": "rnn", "precision": "fp64"},
    "cifg, embedding": {"cell": "cifg", "embedding": 5},
    "peephole lstm": {"cell": "peephole-lstm"},
    "builtin gru": {"cell": "gru", "engine": "builtin", "num_layers": 2},
    "textbook lstm": {"cell": "lstm", "engine": "textbook"},
    "cleared at a letter": {"cell": "lstm", "num_layers": 2, "reset_at": "a"},
}


@needs_cc
@pytest.mark.parametrize("options", RUNS.values(), ids=RUNS)
def test_the_c_program_prints_what_generate_prints(
    options: dict[str, Any], export: RunScript, in_process: RunScript, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", **options)
    prefix = "Time Traveller, you came" if options.get("tokens") == "word" else "Time Traveller"
    status, out, err = export(run)
    assert (status, err) == (0, "")
    assert "cc " in out
    program = compiled(run / "model.c")
    _, expected, _ = in_process("generate", run, "--prefix", prefix, "--length", 200, "--device", "cpu")
    assert ran(program, prefix, 200) == expected
    drawn = [ran(program, prefix, 60, 5, seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert ran(program, prefix, 0) == expected[: len(ran(program, prefix, 0)) - 1] + "\n"


@needs_cc
def test_the_c_program_refuses_what_it_cannot_read(export: RunScript, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", epochs=1)
    assert export(run, "--out", "m.c")[0] == 0
    program = compiled(Path("m.c")).resolve()
    for arguments, expected in {
        ("Time §",): "tokens of the model's vocabulary, received '§'",
        ("",): "the prefix must have a token",
        ("Time", "x"): "LENGTH must be a number",
        (): "usage",
    }.items():
        done = subprocess.run([program, *arguments], capture_output=True)
        assert done.returncode == 2
        assert expected in done.stderr.decode()


def test_what_has_no_c_file_or_namesake_is_refused_by_name(export: RunScript, tmp_path: Path) -> None:
    norm = make_run(tmp_path / "norm", cell="layer-norm-gru", epochs=1)
    status, _, err = export(norm)
    assert (status, err.count("\n")) == (2, 1)
    assert "LayerNormGRUEquations mixes the units of a row" in err
    book = make_run(tmp_path / "book", cell="gru", epochs=1)
    status, _, err = export(book, "--to", "torch")
    assert (status, err.count("\n")) == (2, 1)
    assert "rnn has no namesake in torch.nn" in err


def test_the_four_lines_load_the_parameters_without_us(export: RunScript, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", cell="lstm", num_layers=2, embedding=7, epochs=1)
    status, lines, _ = export(run, "--to", "torch")
    assert (status, lines.count("\n")) == (0, 4)
    check = "import sys; assert not any(name.startswith('gru_scratch') for name in sys.modules); print(list(model))"
    done = subprocess.run([sys.executable, "-c", lines + check], check=True, capture_output=True, text=True)
    assert done.stdout == "['embedding', 'rnn', 'linear']\n"


def test_who_runs_other_files_is_told_where_the_state_is_cleared(export: RunScript, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", cell="lstm", epochs=1, reset_at="a", num_layers=2)
    status, lines, _ = export(run, "--to", "torch")
    assert status == 0
    assert lines.count("\n") == 5
    assert lines.endswith("'a': neither file nor layer does it\n")


@pytest.mark.filterwarnings("ignore")  # the exporter warns of itself
def test_the_graph_scores_as_the_model_does(export: RunScript, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    from gru_scratch.training.folder import load_run

    run = make_run(tmp_path / "run", cell="gru", embedding=5, num_layers=2, epochs=1)
    status, _, err = export(run, "--to", "onnx")
    assert (status, err) == (0, "")
    session = runtime.InferenceSession(run / "model.onnx")
    loaded = load_run(run, torch.device("cpu"))
    vocabulary = json.loads(session.get_modelmeta().custom_metadata_map["vocabulary"])
    assert vocabulary == loaded.vocab.idx_to_token
    assert "reset_at" not in session.get_modelmeta().custom_metadata_map
    tokens = torch.randint(len(vocabulary), (3, 7))
    state = torch.randn(2, 3, 24)
    found = session.run(None, {"tokens": tokens.numpy(), "h": state.numpy()})
    with torch.no_grad():
        for array, expected in zip(found, loaded.model(tokens, state), strict=True):
            torch.testing.assert_close(torch.from_numpy(array), expected, atol=1e-5, rtol=1e-5)
