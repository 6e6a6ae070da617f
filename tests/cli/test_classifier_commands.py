"""train-classifier and classify: end to end at the smallest size, resumed, and with what they cannot use."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from support.script_runs import RunScript, train

from gru_scratch.training.checkpoint import read_snapshot

SMALL = ["--num-hiddens", "6", "--embedding", "4", "--batch-size", "8"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a classifier of the characters of two files."""
    folder = tmp_path_factory.mktemp("classifiers")
    (folder / "vowels.txt").write_text("".join(f"{'aeiou' * 3}{i}\n" for i in range(40)))
    (folder / "others.txt").write_text("".join(f"{'tnrsl' * 3}{i}\n" for i in range(30)))
    files = ["--class", "vowels=vowels.txt", "--class", "others=others.txt"]
    train(folder, *SMALL, *files, "--epochs", 30, "--out", "letters", script="train_classifier.py")
    return folder


def test_what_training_prints_and_writes(runs: Path) -> None:
    printed = (runs / "output-0.txt").read_text()
    for said in (
        "examples    vowels.txt and others.txt: 42 to train on, 6 held out, 12 to test on",
        "classes     others, vowels",
        "tokens      chars",
        "test: accuracy 100.00%, macro-F1 100.00% of 12 examples",
        "a linear layer on counts of chars: accuracy 100.00%",
    ):
        assert said in printed
    files = {path.name for path in (runs / "letters").iterdir()}
    assert files == {
        *("model.safetensors", "best.safetensors", "config.json", "vocab.json", "metrics.jsonl", "curve.png"),
        *("sample.txt", "test.json", "confusion.png", "state", "manifest.json"),
    }
    tested = json.loads((runs / "letters" / "test.json").read_text())
    assert tested["confusion"] == [[6, 0], [0, 6]]


def test_labels_with_their_probabilities_and_a_page(
    runs: Path, in_process: RunScript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("aeiou<a>\ntnrsl\n"))
    status, out, err = in_process("classify", runs / "letters", "--explain", "page.html")
    assert (status, err) == (0, "")
    assert re.fullmatch(r"vowels 0\.\d{4}  others 0\.\d{4}\nothers 0\.\d{4}  vowels 0\.\d{4}\n", out)
    for line in out.splitlines():
        first, second = (float(p) for p in re.findall(r"0\.\d+", line))
        assert first > second
        assert first + second == pytest.approx(1, abs=2e-4)
    page = (tmp_path / "page.html").read_text()
    assert page.count('<p class="text">') == 2
    assert "&lt;" in page
    assert page.count('title="+') > 5


def test_what_of_a_text_is_not_read_is_said(runs: Path, in_process: RunScript, tmp_path: Path) -> None:
    """The model reads 200 characters; the page shows these, and how many there are besides."""
    (tmp_path / "lines.txt").write_text("a" * 200 + "\n" + "b" * 1250 + "\n")
    status, _, err = in_process("classify", runs / "letters", "--file", "lines.txt", "--explain", "page.html")
    assert (status, err) == (0, "note: the model reads 200 chars of a text; 1 text is longer\n")
    first, second = (tmp_path / "page.html").read_text().split('<p class="text">')[1:]
    assert (first.count("<span"), "not read" in first) == (200, False)
    assert (second.count("<span"), "… 1,050 more, not read" in second) == (200, True)


def test_bytes_that_are_no_text_are_explained_too(runs: Path, in_process: RunScript, tmp_path: Path) -> None:
    status, _, err = in_process("classify", runs / "letters", "--text", "a\udcff", "--explain", "page.html")
    assert (status, err) == (0, "")
    assert (tmp_path / "page.html").read_text().count("<span style") == 4  # two in the legend


def test_the_story_is_the_default_and_goes_on(tmp_path: Path) -> None:
    options = [*SMALL, "--max-updates", 4, "--eval-every", 2, "--pooling", "attention"]
    whole = train(tmp_path, *SMALL, "--max-updates", 4, "--eval-every", 2, "--out", "a", script="train_classifier.py")
    assert "note: no examples are given: learning lines of the shipped story, as they are and shuffled" in whole
    assert "tokens      words" in whole
    train(tmp_path, *options, "--out", "b", script="train_classifier.py")
    train(tmp_path, "--resume", "b", "--max-updates", 8, script="train_classifier.py")
    assert read_snapshot(tmp_path / "b" / "state").record["update"] == 8


def test_a_table_of_words_and_a_cell_with_two_states(in_process: RunScript, tmp_path: Path) -> None:
    rows = [f"{'good' if i % 2 else 'poor'} film {i},{'yes' if i % 2 else 'no'}\n" for i in range(40)]
    (tmp_path / "films.csv").write_text("review,liked\n" + "".join(rows))
    options = ["--table", "films.csv", "--text-column", "review", "--label-column", "liked", "--tokens", "word"]
    status, out, _ = in_process(
        "train_classifier", *SMALL, *options, "--cell", "lstm", "--pooling", "last", "--epochs", 20, "--out", "run"
    )
    assert status == 0
    assert "accuracy 100.00%" in out
    status, out, _ = in_process("classify", "run", "--text", "good film")
    assert out.startswith("yes ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--table", "t.csv"], "t.csv has no column 'label': its columns are 'text', 'stars'"),
        (["--table", "t.csv", "--label-column", "stars"], "expected examples of two classes at least, received 'b'"),
        (["--class", "x=a.txt"], "expected examples of two classes at least, received 'x'"),
        (["--class", "x=a.txt", "--class", "y=one.txt"], "expected two examples of each class at least"),
        (["--class", "a.txt"], "a class must be given as NAME=FILE, received 'a.txt'"),
        (["--class", "x=a.txt", "--class", "x=one.txt"], "the class 'x' is given twice"),
        (["--class", "x=a.txt", "--table", "t.csv"], "a table or of files for each class, received both"),
        (["--text-column", "a"], "text_column has no effect without a table"),
        (["--class", "x=a.txt", "--class", "y=a.txt", "--label-column", "a"], "label_column has no effect without a"),
        (["--val-fraction", "0", "--keep", "best"], "keep best needs a held-out part, received val_fraction 0"),
        (["--val-fraction", "0", "--patience", "3"], "patience 3 needs a held-out part, received val_fraction 0"),
        (["--class", "x=absent.txt"], "there is no text file absent.txt"),
    ],
)
def test_what_training_cannot_use(in_process: RunScript, tmp_path: Path, options: list[str], message: str) -> None:
    (tmp_path / "t.csv").write_text("text,stars\na,b\nc,b\n")
    (tmp_path / "a.txt").write_text("a\nb\n")
    (tmp_path / "one.txt").write_text("c\n")
    status, out, err = in_process("train_classifier", *options)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv", "a.txt", "one.txt"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--text", ""], "expected a sentence, received the empty text ''"),
        (["--file", "empty.txt"], "the text file empty.txt is empty"),
    ],
)
def test_what_classifying_cannot_use(
    runs: Path, in_process: RunScript, tmp_path: Path, options: list[str], message: str
) -> None:
    (tmp_path / "empty.txt").write_text("")
    status, out, err = in_process("classify", runs / "letters", *options)
    assert (status, out, err) == (2, "", f"error: {message}\n")


def test_other_commands_say_which_opens_it(runs: Path, in_process: RunScript) -> None:
    for script in ("generate", "translate"):
        status, out, err = in_process(script, runs / "letters")
        assert (status, out) == (2, "")
        assert "holds a classifier, which gru-scratch classify and train-classifier --resume can open" in err


def test_it_runs_on_every_engine(tmp_path: Path, in_process: RunScript) -> None:
    losses = []
    for engine in ("auto", "fused", "textbook", "builtin"):
        options = [*SMALL, "--max-updates", 3, "--dropout", 0, "--engine", engine, "--out", engine]
        assert in_process("train_classifier", *options)[0] == 0
        lines = (tmp_path / engine / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["train_loss"] for line in lines])
    for others in losses[1:]:
        torch.testing.assert_close(others, losses[0])
