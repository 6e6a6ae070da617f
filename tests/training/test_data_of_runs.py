"""How a run divides its text: how much an evaluation reads, and what samples of the model begin with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gru_scratch.text.batches import Corpus
from gru_scratch.text.corpus import load_text
from gru_scratch.text.token_file import MappedTokens
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.data import read_run_text
from gru_scratch.training.schedule import MOST_VAL_TOKENS, Bound, Evaluations, evaluation_tokens


@pytest.mark.parametrize(
    ("eval_every", "planned"),
    [
        (None, Bound("epochs", 500)),
        (None, Bound("epochs", 3)),
        (None, Bound("epochs", 77)),
        (None, Bound("max_updates", 1234)),
        (7, Bound("max_updates", 100)),
        (30, Bound("epochs", 20)),
    ],
)
def test_all_evaluations_together_read_a_tenth_of_what_training_reads(eval_every: Any, planned: Bound) -> None:
    batch, text = 35 * 32, 10_000
    updates = planned.value * (text // batch if planned.kind == "epochs" else 1)
    each = evaluation_tokens(eval_every, planned, batch, text)
    read = each * Evaluations(eval_every, planned).count(updates)
    assert 0.09 * updates * batch < read <= 0.1 * updates * batch


def test_no_evaluation_reads_more_than_a_million_or_less_than_a_pair() -> None:
    assert evaluation_tokens(None, Bound("minutes", 1.0), 100, 10**9) == MOST_VAL_TOKENS
    assert evaluation_tokens(None, Bound("epochs", 10**6), 100, 10**9) == MOST_VAL_TOKENS
    assert evaluation_tokens(None, Bound("max_updates", 1), 5, 10) == 2


def test_a_run_that_grows_is_tested_on_what_it_was_before(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("some words of a text\n" * 1000)
    config = TrainConfig(text=path, max_tokens=3000, max_updates=2)
    text = read_run_text(config)
    assert len(text.held_out) == 2 * 32 * 35 // 20
    longer = dataclasses.replace(config, max_updates=9)
    assert len(read_run_text(longer, planned=Bound.of(config)).held_out) == len(text.held_out)
    assert len(read_run_text(dataclasses.replace(config, val_tokens=-1)).held_out) == 1800


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"\xef\xbb\xbfabc " * 1 + b"abc " * 400)
    assert read_run_text(TrainConfig(text=path)).vocab.idx_to_token[1:] == ["a", "b", "c", " "]
    assert load_text(path).raw.startswith("abc")
    assert read_run_text(TrainConfig(text=path, tokens="byte")).num_tokens == 3 + 4 * 401


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "my time traveller ca"),
        ({"cleaning": "book"}, "my time traveller ca"),
        ({"tokens": "byte"}, "my time traveller ca"),
        ({"tokens": "word"}, "my time traveller came"),
    ],
)
def test_samples_begin_as_the_text_does(tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    """Also where the text knows the book's prefixes."""
    path = tmp_path / "t.txt"
    path.write_text("my time traveller came\n" * 60)
    (prefix,) = read_run_text(TrainConfig(text=path, **options)).prefixes
    assert prefix.startswith(expected)


def write_folder(folder: Path) -> bytes:
    """A folder of texts, and something else; what is to be read of it."""
    folder.mkdir()
    (folder / "b.txt").write_bytes(b"second caf\xc3\xa9\r\n" * 30)
    (folder / "a.abc").write_bytes(b"first\n" * 300)
    (folder / "c.txt").write_bytes(b"third")
    (folder / "notes.md").write_bytes(b"\xff\x00")
    return b"\n".join((folder / name).read_bytes() for name in ("a.abc", "b.txt", "c.txt"))


@pytest.mark.parametrize("with_token_file", [False, True])
@pytest.mark.parametrize("tokens", ["char", "word", "byte"])
def test_a_folder_is_its_files_by_their_names_and_several_files_are_one_text_with_a_line_end_between(
    tmp_path: Path, tokens: Any, with_token_file: bool
) -> None:
    content = write_folder(tmp_path / "texts")
    (tmp_path / "joined.txt").write_bytes(content)
    config = TrainConfig(tokens=tokens, max_tokens=-1, token_dir=tmp_path / "tokens" if with_token_file else None)
    one = read_run_text(dataclasses.replace(config, text=tmp_path / "joined.txt"))
    for _ in range(2):  # with a token file that is made, and with one that is there
        of_folder = read_run_text(dataclasses.replace(config, text=tmp_path / "texts"))
        assert of_folder.sha256 == one.sha256 == hashlib.sha256(content).hexdigest()
        assert of_folder.source.name == "texts"
        assert of_folder.vocab.idx_to_token == one.vocab.idx_to_token
        assert of_folder.source.notice is None
        assert numbers(of_folder.train) == numbers(one.train)
    given = tuple(tmp_path / "texts" / name for name in ("a.abc", "b.txt", "c.txt"))
    of_files = read_run_text(dataclasses.replace(config, text=given))
    assert of_files.sha256 == one.sha256
    assert of_files.source.name == "a.abc and 2 more"
    assert numbers(of_files.train) == numbers(one.train)
    assert read_run_text(dataclasses.replace(config, text=given[::-1])).sha256 != one.sha256
    (tmp_path / "texts" / "c.txt").write_bytes(b"third and more")
    assert read_run_text(dataclasses.replace(config, text=tmp_path / "texts")).sha256 != one.sha256


def numbers(tokens: Corpus) -> list[int]:
    if isinstance(tokens, MappedTokens):
        return tokens.windows(np.zeros(1, np.int64), len(tokens))[0].tolist()
    return tokens.tolist()


def test_each_file_of_a_folder_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbfabc\n" + b"abc\n" * 200)
    assert read_run_text(TrainConfig(text=tmp_path)).vocab.idx_to_token[1:] == ["\n", "a", "b", "c"]


def test_a_folder_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected files that end in \.txt or \.abc, and the folder .* has none"):
        read_run_text(TrainConfig(text=tmp_path))
    (tmp_path / "a.txt").write_bytes(b"a\n")
    (tmp_path / "b.txt").write_bytes(b"abc\xff")
    with pytest.raises(ValueError, match=r"b\.txt is not UTF-8 text: byte 3 is 0xff"):
        read_run_text(TrainConfig(text=tmp_path))
    (tmp_path / "b.txt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"the text file .*b\.txt is empty"):
        read_run_text(TrainConfig(text=tmp_path))


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\n")
    with pytest.raises(FileNotFoundError, match=r"there is no text file .*b\.txt"):
        read_run_text(TrainConfig(text=(tmp_path / "a.txt", tmp_path / "b.txt")))
    with pytest.raises(ValueError, match="text must name at least one file or folder, received none"):
        TrainConfig(text=())


def test_several_files_are_loaded_and_stand_in_the_options(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("b.txt", "a/c.txt", "a/a.txt"):
        (tmp_path / name).write_text(f"{name}\n")
    places = (tmp_path / "b.txt", tmp_path / "a")
    text = load_text(places)
    assert (text.name, text.raw) == ("b.txt and 1 more", "b.txt\n\na/a.txt\n\na/c.txt\n")
    config = TrainConfig(text=places)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
