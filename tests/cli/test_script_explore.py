"""scripts/explore.py as a user runs it: in this process, and once as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.own_cell import OWN_CELL
from support.page_reading import read_page, unpack
from support.paths import ROOT
from support.script_runs import RunScript

from gru_scratch.training.build import build_model, find_cell_file
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.data import read_run_text
from gru_scratch.training.folder import save_run
from gru_scratch.training.text_task import TextTask
from gru_scratch.training.trainer import Trainer

SENTENCE = "Time Traveller, you came a while ago. " * 9
CPU = torch.device("cpu")


def make_run(folder: Path, sentence: str = SENTENCE, cleaning: Any = "book", **options: Any) -> Path:
    """A run folder of a model that has learnt nothing yet, whose text has no z."""
    (folder.parent / "text.txt").write_text(sentence)
    path = folder.parent / "text.txt"
    config = TrainConfig(text=path, cleaning=cleaning, batch_size=2, num_steps=5, num_hiddens=6, **options)
    text = read_run_text(config)
    cell_file = find_cell_file(config)
    folder.mkdir()
    save_run(
        folder,
        Trainer(TextTask(config, build_model(config, len(text.vocab), CPU, cell_file), text, CPU, cell_file)),
        "",
    )
    return folder


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "gru")


@pytest.fixture
def explore(in_process: RunScript) -> RunScript:
    return partial(in_process, "explore")


def test_a_page_from_a_run(run_folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        ROOT / "scripts" / "explore.py",
        run_folder,
        "--text",
        "Time, traveller!",
        "--out",
        "p.html",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")  # no bar where stderr is no terminal
    assert done.stdout == "14 characters, gru, 1 layer of 6 units: 0.1 MB in p.html\n"
    data = read_page((tmp_path / "p.html").read_text("utf-8"))
    assert [quantity["name"] for quantity in data["layers"][0]] == ["r", "z", "n", "h"]
    assert (data["title"], data["source"]) == ("gru, 1 layer of 6 units", "a text")


def test_a_file_its_start_and_the_usual_place(explore: RunScript, run_folder: Path) -> None:
    Path("mine.txt").write_text("a while\nago " * 50)
    status, out, _ = explore(run_folder, "--file", "mine.txt", "--characters", 30)
    assert (status, out.partition(":")[0]) == (0, "30 characters, gru, 1 layer of 6 units")
    assert read_page((run_folder / "gates.html").read_text("utf-8"))["source"] == "mine.txt"
    status, out, _ = explore(run_folder, "--text", "Ago? No: a.", "--characters", 1)
    assert (status, out.partition(":")[0]) == (0, "1 character, gru, 1 layer of 6 units")
    assert explore(run_folder, "--text", "ago")[0] == 0  # an older page is replaced
    status, _, err = explore(run_folder, "--text", "ago", "--out", "mine.txt")
    assert (status, err) == (2, "error: mine.txt is there and is no page of this command: it is not written over\n")
    assert Path("mine.txt").read_text().startswith("a while")


def test_without_a_text_it_reads_the_start_of_the_runs_own(explore: RunScript, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "long", sentence=SENTENCE * 4)
    status, out, err = explore(folder, "--out", "page.html")
    assert (status, err) == (0, "")
    assert out.startswith("1,000 characters, ")
    assert read_page(Path("page.html").read_text("utf-8"))["source"] == "text.txt"
    assert explore(folder, "--out", "page.html", "--characters", 1200)[1].startswith("1,200 characters, ")


def test_another_text_than_the_runs_own_is_refused(explore: RunScript, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "own")
    (tmp_path / "text.txt").write_text(SENTENCE + "a")
    status, _, err = explore(folder, "--out", "page.html")
    assert (status, err.count("\n")) == (2, 1)
    assert "the run was trained on another text than" in err
    assert "--file names the text to read" in err
    assert explore(folder, "--out", "page.html", "--file", tmp_path / "text.txt")[0] == 0


@pytest.mark.parametrize(
    ("tokens", "text", "shown"),
    [
        ("char", "you\r\nago.", ["y", "o", "u", "\n", "a", "g", "o", "."]),
        ("word", "Time came\tago.", ["Time", "came", "ago."]),
        ("byte", "é, you", ["\\xc3", "\\xa9", ",", " ", "y", "o", "u"]),
    ],
)
def test_texts_as_they_are_of_every_kind_of_token(
    explore: RunScript, tmp_path: Path, tokens: Any, text: str, shown: Any
) -> None:
    folder = make_run(tmp_path / "raw", SENTENCE + "é \n", cleaning="raw", tokens=tokens)
    Path("mine.txt").write_bytes(text.encode())
    noun = {"char": "character", "word": "word", "byte": "byte"}[tokens]
    for arguments in (["--file", "mine.txt"], ["--text", text]):
        status, out, err = explore(folder, *arguments, "--out", "page.html")
        assert (status, err) == (0, "")
        assert out.startswith(f"{len(shown)} {noun}s, gru, 1 layer")
        data = read_page(Path("page.html").read_text("utf-8"))
        assert [data["vocabulary"][k] for k in unpack(data["tokens"], "<u4", len(shown))] == shown
        assert data["noun"] == noun
        assert bool(data["features"]) == (tokens != "word")


def test_rare_words_are_read_as_the_unknown_one_where_the_run_was_trained_so(
    explore: RunScript, tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "rare", SENTENCE + " once", cleaning="raw", tokens="word", min_freq=2)
    status, _, err = explore(folder, "--text", "Time once ago.", "--out", "page.html")
    assert (status, err) == (0, "")
    data = read_page(Path("page.html").read_text("utf-8"))
    assert [data["vocabulary"][k] for k in unpack(data["tokens"], "<u4", 3)] == ["Time", "<unk>", "ago."]
    folder = make_run(tmp_path / "all", cleaning="raw", tokens="word")
    status, _, err = explore(folder, "--text", "Time once ago.", "--out", "page.html")
    assert (status, err) == (2, "error: the text has words that the model's vocabulary lacks: 'once'\n")
    status, _, err = explore(folder, "--text", " \n ", "--out", "page.html")
    assert (status, err) == (2, "error: the text: nothing but space is in it\n")


def test_a_cell_of_ones_own_in_two_layers(explore: RunScript, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN_CELL)
    folder = make_run(tmp_path / "own", cell=f"{tmp_path / 'mine.py'}:MGUCell", num_layers=2)
    status, out, err = explore(folder, "--text", "a while ago", "--out", "page.html")
    assert (status, err) == (0, "")
    assert "MGUCell, 2 layers of 6 units" in out
    data = read_page(Path("page.html").read_text("utf-8"))
    assert [[quantity["name"] for quantity in layer] for layer in data["layers"]] == [["f", "n", "h"]] * 2

    (tmp_path / "mine.py").rename(tmp_path / "moved.py")
    status, _, err = explore(folder, "--text", "a while ago", "--out", "page.html")
    assert (status, err.count("\n")) == (2, 1)
    assert "mine.py" in err
    status, _, _ = explore(folder, "--text", "ago", "--out", "page.html", "--cell", f"{tmp_path / 'moved.py'}:MGUCell")
    assert status == 0


BAD = {
    "two texts": (["--text", "a", "--file", "b"], "give the text to read with either --text or --file, not both"),
    "an empty text": (["--text", ""], "the text is empty"),
    "a text without a letter": (["--text", "123 Ω"], "the text: nothing is left of it after cleaning"),
    "characters that the run's text lacks": (["--text", "a zebra"], "the model's vocabulary lacks: 'b' 'z'"),
    "a text that is too long": (["--text", "a" * 10_001], "10,001 tokens, and a page holds at most 10,000"),
    "no such file": (["--file", "none.txt"], "there is no text file none.txt"),
    "a folder without a text": (
        ["--file", "."],
        "expected files that end in .txt or .abc, and the folder . has none",
    ),
    "characters below 1": (["--text", "a", "--characters", 0], "characters must be at least 1, received 0"),
    "no folder to write to": (["--text", "a", "--out", "no/p.html"], "there is no folder no to write p.html to"),
    "a folder to write over": (["--text", "a", "--out", "."], "expected a file to write the page to"),
    "a device that is not there": (["--text", "a", "--device", "tpu"], "device must be auto, cpu"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(explore: RunScript, run_folder: Path, name: str) -> None:
    arguments, message = BAD[name]
    status, out, err = explore(run_folder, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert message in err
    assert list(Path().iterdir()) == []


def test_what_is_no_run_folder(explore: RunScript, run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for path, message in [("none", "no run folder none"), ("file", "received the file file"), ("empty", "empty")]:
        status, _, err = explore(path, "--text", "a", "--out", "page.html")
        assert (status, err.count("\n")) == (2, 1)
        assert message in err
    assert not Path("page.html").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to stand for a full disk")
def test_a_full_disk_leaves_the_older_page(explore: RunScript, run_folder: Path, tmp_path: Path) -> None:
    assert explore(run_folder, "--text", "ago", "--out", "page.html")[0] == 0
    before = Path("page.html").read_bytes()
    Path("page.html.tmp").symlink_to("/dev/full")  # where the new page is written before it is renamed
    status, _, err = explore(run_folder, "--text", "a while ago", "--out", "page.html")
    assert (status, err.count("\n")) == (2, 1)
    assert Path("page.html").read_bytes() == before
