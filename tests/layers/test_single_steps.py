"""``RNNCell``, ``GRUCell``, ``LSTMCell`` where nothing is differentiated: compiled code's step is ``torch.nn``'s."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.layer_pairs import CELLS
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

from gru_scratch import GRUCell
from gru_scratch.engines.choice import native_refusal
from gru_scratch.layers import one_step as module

D, H = 5, 11


def pair(name: str, dtype: torch.dtype = torch.float64, **options: Any) -> tuple[Any, Any]:
    """The cell of ``torch.nn`` and ours, with the same weights."""
    theirs, ours = (kind(D, H, dtype=dtype, **options) for kind in CELLS[name])
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def states_of(found: Any) -> tuple[Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each step that compiled code takes."""
    refusal = native_refusal(GRUCell(D, H).cell, torch.float64, "cpu", projected=False)
    if refusal is not None:
        pytest.skip(refusal)
    taken: list[int] = []
    run = module.one_step

    def note(cell: Any, x: Tensor, *rest: Any) -> list[Tensor]:
        taken.append(len(x))
        return run(cell, x, *rest)

    monkeypatch.setattr(module, "one_step", note)
    return taken


@pytest.mark.parametrize("options", [{}, {"bias": False}], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", CELLS)
def test_steps_are_those_of_torch_nn(name: str, dtype: torch.dtype, options: Any, steps: list[int]) -> None:
    theirs, ours = pair(name, dtype, **options)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    for batch in (None, 1, 4, 7, 40):
        sizes = () if batch is None else (batch,)
        expected = found = None
        with torch.no_grad():
            for _ in range(3):
                x = torch.randn(*sizes, D, dtype=dtype)
                expected, found = theirs(x, expected), ours(x, found)
        for a, b in zip(states_of(found), states_of(expected), strict=True):
            assert a.shape == b.shape
            assert (a - b).abs().max() <= tolerance
    assert steps == [1] * 6 + [4] * 3 + [7] * 3 + [40] * 3


@pytest.mark.parametrize("name", CELLS)
def test_weights_changed_in_place_are_seen(name: str, steps: list[int]) -> None:
    theirs, ours = pair(name)
    x = torch.randn(2, D, dtype=torch.float64)
    with torch.no_grad():
        ours(x)
        for param in (*theirs.parameters(), *ours.parameters()):
            param.mul_(2)
        for a, b in zip(states_of(ours(x)), states_of(theirs(x)), strict=True):
            assert (a - b).abs().max() < 1e-12
    assert steps == [2, 2]


def test_states_and_inputs_that_do_not_lie_row_by_row(steps: list[int]) -> None:
    theirs, ours = pair("LSTMCell")
    x, h, c = (torch.randn(width, 3, dtype=torch.float64).t() for width in (D, H, H))
    kept = h.clone(), c.clone()
    with torch.no_grad():
        for a, b in zip(ours(x, (h, c)), theirs(x, (h, c)), strict=True):
            assert (a - b).abs().max() < 1e-12
    assert torch.equal(h, kept[0])
    assert torch.equal(c, kept[1])
    assert steps == [3]


def test_what_asks_for_the_operations_gets_them(steps: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Autograd, transforms, modes and another engine by default: PyTorch's operations, as ever."""
    _, ours = pair("GRUCell")
    x = torch.randn(2, D, dtype=torch.float64)
    assert ours(x).requires_grad
    with torch.no_grad():
        torch.func.vmap(ours)(x.unsqueeze(1))
        with forward_ad.dual_level():
            ours(x)
        with FlopCounterMode(display=False):
            ours(x)
        monkeypatch.setenv("GRU_SCRATCH_ENGINE", "textbook")
        ours(x)
    assert not steps


def test_under_inference_mode(steps: list[int]) -> None:
    _, ours = pair("RNNCell")
    x = torch.randn(2, D, dtype=torch.float64)
    with torch.inference_mode():
        first = ours(x)
        assert first.is_inference()
        assert torch.equal(first, ours(x, torch.zeros_like(first)))
    assert steps == [2, 2]
