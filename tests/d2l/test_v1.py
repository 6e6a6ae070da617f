"""Edition 1.0: readers' programs give what they give with the book's own package, or gave when it was recorded."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from support.book_package import V1_VARIABLE, import_book_v1
from support.readers_programs_v1 import PROGRAMS
from support.readers_translators_v1 import TRANSLATORS
from support.v1_figures import figures, prepare, recorded, run
from torch import Tensor

from gru_scratch.d2l import v1

ON_OUR_ENGINE = {"RNN", "GRU", "changed later", *TRANSLATORS, *(name for name in PROGRAMS if name.startswith("reader"))}
"""Programs that may differ by rounding; all others give the same bits."""


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return prepare(v1, monkeypatch)


@pytest.fixture
def book_v1(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package of edition 1.0."""
    package = import_book_v1()
    if package is None:
        pytest.skip(f"${V1_VARIABLE} names no folder with d2l 1.0.3: its recorded figures are compared instead")
    return prepare(package, monkeypatch)


def compare(ours: Any, theirs: Any, place: str, tolerance: float) -> None:
    """Fail, with the place, where two results differ: in a number by more than `tolerance`, or in anything else."""
    assert type(ours) is type(theirs), place
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), place
        for name, value in ours.items():
            compare(value, theirs[name], f"{place}, {name}", tolerance)
    elif isinstance(ours, (list, tuple)):
        assert len(ours) == len(theirs), place
        for i, (mine, its) in enumerate(zip(ours, theirs, strict=True)):
            compare(mine, its, f"{place}[{i}]", tolerance)
    elif isinstance(ours, Tensor):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), place
        if ours.numel():
            assert float((ours.double() - theirs.double()).detach().abs().max()) <= tolerance, place
    elif isinstance(ours, float):
        assert abs(ours - theirs) <= tolerance, f"{place}: {ours} is not {theirs}"
    else:
        assert ours == theirs, place


@pytest.mark.parametrize("program", [*PROGRAMS, *TRANSLATORS])
def test_a_readers_program_gives_what_it_gives_with_the_package(
    program: str, ours: ModuleType, book_v1: ModuleType
) -> None:
    tolerance = 1e-4 if program in ON_OUR_ENGINE else 0
    compare(run(program, ours), run(program, book_v1), program, tolerance)


@pytest.mark.parametrize("program", [*PROGRAMS, *TRANSLATORS])
def test_a_readers_program_gives_the_recorded_figures(program: str, ours: ModuleType) -> None:
    """Sums and norms of parameters, points of the board, texts; another processor adds in another order."""
    compare(figures(run(program, ours)), recorded()[program], program, tolerance=5e-3)


def test_attention_is_the_packages(book_v1: ModuleType) -> None:
    queries, keys, values = torch.randn(2, 3, 5), torch.randn(2, 4, 6), torch.randn(2, 4, 7)
    lengths = torch.tensor([2, 4])
    results = []
    for package in (v1, book_v1):
        torch.manual_seed(3)
        additive, dot = package.AdditiveAttention(8, 0.1), package.DotProductAttention(0.5)
        contexts = [additive(queries, keys, values, lengths), dot(queries, keys[..., :5], values, lengths)]
        weights = [additive.attention_weights, dot.attention_weights]
        results.append([contexts, weights, list(additive.parameters()), package.masked_softmax(keys, None)])
    compare(*results, "attention", tolerance=0)


@pytest.mark.parametrize(("predicted", "label"), [("va !", "va !"), ("ab c d e", "a bc d e"), ("a", "a b"), ("", "a")])
def test_bleu_is_the_packages(book_v1: ModuleType, predicted: str, label: str) -> None:
    for k in (1, 2, 5):
        assert v1.bleu(predicted, label, k) == book_v1.bleu(predicted, label, k)
