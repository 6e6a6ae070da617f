"""How a run divides its text: how much an evaluation reads, and what samples of the model begin with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gru_scratch.text.corpus import load_text
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
