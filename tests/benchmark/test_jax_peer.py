"""The comparison with JAX: its options, what it says without JAX, and, where JAX is, that both compute the same."""

from __future__ import annotations

import importlib.util

import pytest

from gru_scratch.benchmark import jax_peer
from gru_scratch.benchmark.setting import SIX_SETTINGS, Setting
from gru_scratch.training.hardware import threads_at_hand


def test_options() -> None:
    options = jax_peer.arguments(["--only", "book", "long", "--cells", "mgu", "--threads", "1"])
    assert (options.only, options.cells, options.threads) == (["book", "long"], ["mgu"], 1)
    assert jax_peer.arguments([]).only == list(SIX_SETTINGS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--threads", "0"], f"threads must be from 1 to {threads_at_hand()}, the cores that are there, received 0"),
        (["--only", "none"], "invalid choice: 'none'"),
        (["--cells", "rnn"], "invalid choice: 'rnn'"),
    ],
)
def test_options_that_cannot_be(given: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        jax_peer.arguments(given)
    assert message in capsys.readouterr().err


def test_without_jax(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert jax_peer.main(["--only", "book"]) == 1
    printed = capsys.readouterr()
    assert printed.err == "this comparison needs the package jax: pip install 'gru_scratch[jax]'\n"
    assert not printed.out


@pytest.mark.parametrize("cell", ["lstm", "gru", "mgu"])
def test_both_compute_the_same(cell: str) -> None:
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    line = jax_peer.compare_cell(jax, "small", cell, Setting(3, 4, 5, 6), seconds=0.01)
    assert line[:2] == ("small", cell)
