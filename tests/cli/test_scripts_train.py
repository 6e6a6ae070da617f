"""scripts/train.py and scripts/generate.py as a user runs them, by subprocess where the process itself matters."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.paths import ROOT
from support.script_runs import RunScript, start_train, train

from gru_scratch.text.corpus import Text

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
SMALL = ["--num-hiddens", "8", "--batch-size", "4", "--num-steps", "7", "--max-tokens", "300", "--val-fraction", "0.01"]


def start(script: str, *arguments: object, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT)


def run(script: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    with start(script, *arguments, cwd=cwd) as process:
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def in_a_process_of_its_own(script: str, *arguments: object) -> tuple[int, str, str]:
    """As the fixture `in_process`, which takes a tenth of the time."""
    done = run(script, *arguments, cwd=Path.cwd())
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("cell", "engine"), [("gru", "fused"), ("gru", "textbook"), ("lstm", "builtin")])
def test_a_run_and_its_continuation(in_process: RunScript, tmp_path: Path, text: Text, cell: str, engine: str) -> None:
    script = in_a_process_of_its_own if engine == "fused" else in_process
    status, out, err = script("train", "--text", text.path, "--epochs", 4, *SMALL, "--cell", cell, "--engine", engine)
    assert (status, err) == (0, "")  # no bar where stderr is no terminal
    for header in ("text ", "held out ", "vocabulary ", "parameters ", "device ", "run folder "):
        assert f"\n{header}" in f"\n{out}"
    assert "trained on the first 300" in out
    assert re.search(r"^training perplexity \d+\.\d+, \d+\.\d tokens/sec on cpu$", out, re.MULTILINE)
    assert "characters, the first 28 tokens of the first 0.01 of the text that is not trained on\n" in out
    assert re.search(r"^held-out perplexity \d+\.\d+ after epoch 4, lowest \d+\.\d+ after epoch \d$", out, re.MULTILINE)
    continuations = out.splitlines()[-2:]
    assert continuations[0].startswith("time traveller")
    assert continuations[1].startswith("traveller")
    assert len(continuations[0]) == len("time traveller") + 50

    folder = tmp_path / "runs" / f"{cell}-{engine}"
    assert (folder / "sample.txt").read_text().splitlines() == continuations
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    assert records[-1]["train_perplexity"] < records[0]["train_perplexity"]

    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "runs").rename(elsewhere)  # the folder alone is enough, wherever it is
    folder = elsewhere / f"{cell}-{engine}"
    after = script("generate", folder, "--prefix", "Time Traveller!", "--length", 50)
    assert after == (0, continuations[0] + "\n", "")


def test_the_same_seed_gives_the_same_run_and_another_seed_another(in_process: RunScript, text: Text) -> None:
    def losses(name: str, seed: int) -> list[float]:
        status, _, _ = in_process("train", "--text", text.path, "--epochs", 2, *SMALL, "--seed", seed, "--out", name)
        assert status == 0
        return [json.loads(line)["train_loss"] for line in (Path(name) / "metrics.jsonl").read_text().splitlines()]

    assert losses("a", 1) == losses("b", 1)
    assert losses("c", 2) != losses("a2", 1)


def test_a_run_whose_state_is_cleared_at_a_separator(in_process: RunScript) -> None:
    Path("lines.txt").write_text("so it was\nand here\nwe are\n" * 30)
    options = [*SMALL, "--reset-at", r"\n", "--out", "run"]
    assert in_process("train", "--text", "lines.txt", "--epochs", 2, *options)[0] == 0
    assert json.loads(Path("run/config.json").read_text())["options"]["reset_at"] == r"\n"
    assert in_process("train", "--resume", "run", "--epochs", 3)[0] == 0
    status, out, err = in_process("generate", "run", "--prefix", "so it was\nw", "--length", 5)
    assert (status, err) == (0, "")
    _, alone, _ = in_process("generate", "run", "--prefix", "\nw", "--length", 5)
    assert out == f"so it was{alone}"
    status, _, err = in_process("explore", "run", "--text", "so it was")
    assert (status, err.count("\n")) == (2, 1)
    assert "the model clears its state inside a text (reset_at)" in err


def test_help_names_every_option_with_its_default(in_process: RunScript) -> None:
    status, out, _ = in_process("train", "--help")
    assert status == 0
    options = (
        "cell engine text batch-size num-steps num-hiddens num-layers reset-after no-reset-after lr clip epochs "
        "max-tokens val-fraction seed device out"
    )
    for option in options.split():
        assert re.search(rf"--{option}\b", out), option
    for default in ("default: gru", "default: auto", "default: 32", "default: 500", "default: 10000"):
        assert default in " ".join(out.replace("│", " ").split())


BAD_OPTIONS = [
    (["--cell", "gruu"], "min-lstm, path/to/file.py:ClassName, received 'gruu'"),
    (["--engine", "cudnn"], "cudnn"),
    (["--no-such-option", "1"], "no-such-option"),
    (["--batch-size", "0"], "batch_size must be at least 1, received 0"),
    (["--num-steps", "-3"], "num_steps must be at least 1, received -3"),
    (["--num-hiddens", "0"], "num_hiddens must be at least 1, received 0"),
    (["--epochs", "0"], "epochs must be at least 1, received 0"),
    (["--max-tokens", "0"], "max_tokens must be at least 1, or -1 for the whole text, received 0"),
    (["--lr", "-1"], "lr must be a finite number above 0, received -1.0"),
    (["--lr", "nan"], "lr must be a finite number above 0, received nan"),
    (["--clip", "0"], "clip must be a number above 0, received 0.0"),
    (["--val-fraction", "2"], "val_fraction must be between 0 and 1, received 2.0"),
    (["--device", "tpu"], "received 'tpu'"),
    (["--device", "cuda:77"], "device 'cuda:77' is not here"),
    (["--text", "nowhere.txt"], "there is no text file nowhere.txt"),
    (["--text", "."], "the text file empty.txt is empty"),
    (["--text", "empty.txt"], "empty.txt is empty"),
    (["--text", "binary.bin"], "byte 3 is 0x00 (counted from 0); convert it, or train on its bytes with --tokens byte"),
    (["--text", "latin.txt"], "byte 4 is 0xe9"),
    (["--text", "utf16.txt"], "utf16.txt is in UTF-16 or UTF-32: expected UTF-8; convert it, or"),
    (["--text", "short.txt", "--min-freq", "9"], "min_freq leaves no token of short.txt: the most frequent one occurs"),
    (["--text", "digits.txt", "--cleaning", "book"], "no letter from a to z"),
    (
        ["--text", "short.txt"],
        "short.txt: the text is too short: it has 20 tokens, and one batch of 32 sequences of 35 steps needs 1156",
    ),
    (["--reset-at", "é"], "reset_at must be one token of the text's vocabulary, received 'é'"),
    (
        ["--text", "short.txt", "--max-tokens", "7", "--reset-at", "s"],
        "reset_at has no effect: 's' is not in the part of the text to train on",
    ),
    (["--reset-at", "a", "--engine", "builtin"], "engine builtin cannot clear a state inside a sequence"),
    (["--patience", "3", "--val-fraction", "0"], "patience 3 needs a held-out part, received val_fraction 0"),
    (["--keep=best", "--val-fraction=0"], "keep best needs a held-out part, received val_fraction 0"),
    (
        ["--keep", "best", "--max-tokens", "-1"],
        "keep best needs a held-out part, received none: all of the text is trained on; --val-fraction keeps a part",
    ),
    (["--val-tokens", "9", "--val-fraction", "0"], "val_tokens 9 needs a held-out part, received val_fraction 0"),
    (["--weight-decay", "0.1"], "weight_decay has no effect with optimizer sgd: expected adamw"),
    (["--beta2", "0.9"], "beta2 has no effect with optimizer sgd: expected adamw"),
    (["--min_lr", "0.1"], "min_lr has no effect with schedule constant: expected cosine"),
    (["--matmul-precision", "high", "--precision", "fp64"], "matmul_precision has no effect with precision fp64"),
    (["--locked-dropout"], "locked_dropout has no effect with dropout 0: expected a probability above 0"),
    (["--out", "taken"], "the run folder taken is not empty"),
    (["--out", "short.txt"], "cannot make the run folder short.txt: File exists"),
]


@pytest.mark.parametrize(
    ("options", "said"), BAD_OPTIONS, ids=lambda value: " ".join(value) if type(value) is list else ""
)
def test_bad_input_to_train(in_process: RunScript, text: Text, options: list[str], said: str) -> None:
    Path("empty.txt").touch()
    Path("binary.bin").write_bytes(b"abc\0def")
    Path("utf16.txt").write_text("words", "utf-16")
    Path("latin.txt").write_bytes(b"cafe\xe9 ")
    Path("digits.txt").write_text("1 2 3\n")
    Path("short.txt").write_text("far too short a text")
    Path("taken").mkdir()
    Path("taken/mine").write_text("precious")
    before = sorted(Path().rglob("*"))
    default = [] if "--text" in options else ["--text", str(text.path)]
    status, _, err = in_process("train", *default, *options)
    assert status == 2
    assert said in err
    parser_speaks = options[0] in ("--engine", "--no-such-option")
    assert len(err.splitlines()) <= (8 if parser_speaks else 2)
    assert "Traceback" not in err
    assert sorted(Path().rglob("*")) == before
    assert Path("taken/mine").read_text() == "precious"


def test_bad_input_by_subprocess(tmp_path: Path) -> None:
    done = run("train", "--text", "nowhere.txt", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no text file nowhere.txt\n"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a text without the letters q and z."""
    cwd = tmp_path_factory.mktemp("trained")
    (cwd / "text.txt").write_text("time traveller and traveller in time\n" * 20)
    cleaned = ["--text", "text.txt", "--cleaning", "book"]
    train(cwd, *cleaned, "--epochs", 1, *SMALL, "--out", "run")
    return cwd / "run"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--prefix", ""], "the prefix is empty"),
        (["--prefix", "1895"], "nothing is left of the prefix '1895'"),
        (["--prefix", "A quiz"], "vocabulary lacks: 'q' 'u' 'z'"),
        (["--length", "-1"], "length must be at least 0, received -1"),
        (["--device", "cuda:77"], "device 'cuda:77' is not here"),
    ],
)
def test_bad_input_to_generate(in_process: RunScript, trained: Path, options: list[str], said: str) -> None:
    status, out, err = in_process("generate", trained, *options)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_options_that_temperature_0_leaves_idle(in_process: RunScript, trained: Path) -> None:
    status, _, err = in_process("generate", trained, "--temperature", 0, "--top-k", 3, "--length", 3)
    assert (status, err) == (0, "note: --top-k has no effect: --temperature 0 always takes the likeliest\n")


def test_run_folders_that_are_none(in_process: RunScript, trained: Path) -> None:
    def said(folder: Path) -> str:
        status, out, err = in_process("generate", folder)
        assert (status, out, err.count("\n")) == (2, "", 1)
        return str(err)

    assert "there is no run folder nowhere" in said(Path("nowhere"))
    half = Path("half")
    half.mkdir()
    assert "it has no manifest.json" in said(half)
    for path in trained.iterdir():
        (half / path.name).write_bytes(path.read_bytes())
    weights = half / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "model.safetensors is damaged" in said(half)
    weights.write_bytes(b"not safetensors")
    assert "model.safetensors is damaged" in said(half)
    weights.unlink()
    assert "it has no model.safetensors" in said(half)


@pytest.mark.parametrize("options", [["--lr", "1e38"], ["--lr", "1e38", "--engine", "builtin"]])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(
    in_process: RunScript,
    text: Text,
    options: list[str],
) -> None:
    status, out, err = in_process("train", "--text", text.path, *SMALL, "--epochs", 50, "--out", "run", *options)
    assert status == 2
    assert len(err.splitlines()) == 2
    assert re.search(r"NaN or infinite .* in epoch 1: try a lower lr than 1e\+38, or a lower clip than 1", err)
    assert err.endswith("The last good checkpoint is in run\n")
    status, out, _ = in_process("generate", "run", "--length", 5)
    assert (status, len(out)) == (0, len("time traveller") + 5 + 1)


def wait_for_first_checkpoint(folder: Path, ended: Callable[[], bool]) -> None:
    for _ in range(600):
        if (folder / "curve.png").exists() and (folder / "sample.txt").exists():
            return
        assert not ended()
        time.sleep(0.1)
    pytest.fail("the run wrote nothing within a minute")


@pytest.mark.usefixtures("signals_heard")
def test_ctrl_c_ends_a_run_cleanly_and_keeps_what_was_learnt(in_process: RunScript, tmp_path: Path, text: Text) -> None:
    with start("train", "--text", text.path, *SMALL, "--epochs", 10**6, "--out", "run", cwd=tmp_path) as process:
        wait_for_first_checkpoint(tmp_path / "run", lambda: process.poll() is not None)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert re.search(r"^interrupted in epoch \d+ of 1000000; saved in run$", err, re.MULTILINE)
    assert re.search(r"^training perplexity \d", out, re.MULTILINE)
    made = len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert made > 1
    assert f"interrupted in epoch {made + 1} of" in err
    _, out, _ = in_process("generate", "run", "--length", 50)
    assert out == (tmp_path / "run" / "sample.txt").read_text().splitlines()[0] + "\n"


def test_a_killed_run_leaves_a_folder_that_works(in_process: RunScript, tmp_path: Path, text: Text) -> None:
    process = start_train(tmp_path, "--text", text.path, *SMALL, "--epochs", 10**6, "--out", "run")
    wait_for_first_checkpoint(tmp_path / "run", lambda: not process.is_alive())
    process.kill()
    process.join(60)
    status, _, err = in_process("generate", "run", "--length", 5)
    assert (status, err) == (0, "")


def test_output_that_is_no_longer_read_ends_a_command_quietly(tmp_path: Path, trained: Path) -> None:
    with start("generate", trained, "--length", 5, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (141, "")


def test_a_second_run_gets_a_folder_of_its_own(in_process: RunScript, text: Text) -> None:
    for _ in range(2):
        status, _, _ = in_process("train", "--text", text.path, *SMALL, "--epochs", 1, "--cell", "rnn")
        assert status == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["rnn", "rnn-2"]


def test_a_text_without_the_books_letters_is_continued_from_its_own_opening(in_process: RunScript) -> None:
    Path("text.txt").write_text("bad cab dad\n" * 100)
    status, out, _ = in_process("train", "--text", "text.txt", "--cleaning", "book", *SMALL, "--epochs", 1)
    assert status == 0
    assert out.splitlines()[-1].startswith("bad cab dadbad cab d")
