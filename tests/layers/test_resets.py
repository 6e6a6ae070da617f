"""Sequences that start anew inside a batch: the same as running their segments apart."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.one_layer import assert_close
from support.sample_cells import Average, ManyProducts
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from gru_scratch import GRU, LSTM, RNN, Recurrent
from gru_scratch.cells import LayerNormGRUEquations, MGUEquations

D, H = 3, 4
MAKERS: dict[str, Any] = {
    "rnn": lambda **o: RNN(D, H, **o),
    "gru": lambda **o: GRU(D, H, **o),
    "gru before": lambda **o: GRU(D, H, reset_after=False, **o),
    "lstm": lambda **o: LSTM(D, H, **o),
    "projected lstm": lambda **o: LSTM(D, H, proj_size=2, **o),
    "mgu": lambda **o: Recurrent(MGUEquations, D, H, **o),
    "many products": lambda **o: Recurrent(ManyProducts, D, H, **o),
    "layer norm": lambda **o: Recurrent(LayerNormGRUEquations, D, H, **o),
    "starts from one": lambda **o: Recurrent(Average, D, H, **o),
}


def states_of(hx: Any) -> tuple[Tensor, ...]:
    return hx if isinstance(hx, tuple) else (hx,)


def as_given(states: list[Tensor]) -> Any:
    return states[0] if len(states) == 1 else tuple(states)


def apart(
    layer: Any, x: Tensor, hx: Any, resets: Tensor, lengths: list[int], to_hx: bool
) -> tuple[Tensor, list[Tensor]]:
    """Every segment by itself, a sequence of its own."""
    steps, batch = resets.shape
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    backwards = (torch.arange(rows) % 2 == 1).view(-1, 1, 1) & layer.bidirectional
    outputs, finals = [], []
    for b in range(batch):
        cuts = [t for t in range(lengths[b]) if t == 0 or resets[t, b]] + [lengths[b]]
        given = [s[:, b : b + 1] for s in states_of(hx)]
        fresh = given if to_hx else list(states_of(layer.initial_state(1, dtype=x.dtype)))
        found, final = [], given
        for start, stop in pairwise(cuts):
            goes_on = torch.where(backwards, stop == lengths[b], start == 0 and not bool(resets[0, b]))
            begin = [torch.where(goes_on, one, other) for one, other in zip(given, fresh, strict=True)]
            y, last = layer(x[start:stop, b : b + 1], as_given(begin))
            found.append(y)
            ends = torch.where(backwards, start == 0, stop == lengths[b])
            final = [torch.where(ends, new, old) for new, old in zip(states_of(last), final, strict=True)]
        width = (layer.proj_size or H) * (2 if layer.bidirectional else 1)
        outputs.append(torch.cat([*found, x.new_zeros(steps - lengths[b], 1, width)]))
        finals.append(final)
    return torch.cat(outputs, 1), [torch.cat(each, 1) for each in zip(*finals, strict=True)]


def compare(layer: Any, resets: Tensor, lengths: list[int] | None, reset_to: str) -> None:
    """Values, and the gradients of the input, the initial states and the parameters."""
    steps, batch = resets.shape
    x = torch.randn(steps, batch, D, dtype=torch.float64, requires_grad=True)
    start = states_of(layer.initial_state(batch, dtype=torch.float64))
    hx = [(torch.rand_like(s) + 0.5).requires_grad_() for s in start]
    leaves = [x, *hx, *layer.parameters()]

    def results(outputs: Tensor, final: Any) -> list[Tensor]:
        shares = [(y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum() for y in (outputs, *final)]
        grads = torch.autograd.grad(sum(shares), leaves, allow_unused=True, materialize_grads=True)
        return [outputs, *final, *grads]

    outputs, final = layer(x, as_given(hx), lengths=lengths, resets=resets, reset_to=reset_to)
    found = results(outputs, states_of(final))
    expected = results(*apart(layer, x, as_given(hx), resets, lengths or [steps] * batch, reset_to == "hx"))
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, 1e-10)


@pytest.mark.parametrize("reset_to", ["zero", "hx"])
@pytest.mark.parametrize("shape", [{}, {"num_layers": 2, "bidirectional": True}], ids=["one", "deep, both ways"])
@pytest.mark.parametrize("engine", ["auto", "fused", "textbook"])
@pytest.mark.parametrize("name", MAKERS)
def test_resets_equal_running_the_segments_apart(name, engine, shape, reset_to):
    layer = MAKERS[name](engine=engine, dtype=torch.float64, **shape)
    resets = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 1], [1, 1, 0, 0]], dtype=torch.bool)
    compare(layer, resets, [5, 4, 0, 2], reset_to)
    compare(layer, resets, None, reset_to)


@given(st.data())
def test_resets_anywhere(data):
    steps, batch = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    bits = data.draw(st.lists(st.booleans(), min_size=steps * batch, max_size=steps * batch))
    lengths = data.draw(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch).filter(any))
    layer = LSTM(D, H, bidirectional=data.draw(st.booleans()), dtype=torch.float64)
    compare(layer, torch.tensor(bits).view(steps, batch), lengths, data.draw(st.sampled_from(["zero", "hx"])))


def test_layouts_and_tokens():
    layer, first = GRU(D, H), GRU(D, H, batch_first=True)
    first.load_state_dict(layer.state_dict())
    tokens, resets = torch.randint(D, (5, 2)), torch.rand(5, 2) > 0.5
    expected, final = layer(nn.functional.one_hot(tokens, D).float(), resets=resets)
    torch.testing.assert_close(layer(tokens, resets=resets), (expected, final))
    outputs, last = first(tokens.T, resets=resets.T)
    torch.testing.assert_close((outputs.transpose(0, 1), last), (expected, final))
    torch.testing.assert_close(layer(tokens[:, 0], resets=resets[:, 0]), (expected[:, 0], final[:, 0]))


def test_no_reset_is_no_change():
    layer, x = LSTM(D, H, bidirectional=True), torch.randn(5, 2, D)
    hx = (torch.randn(2, 2, H), torch.randn(2, 2, H))
    found = layer(x, hx, resets=torch.zeros(5, 2, dtype=torch.bool))
    torch.testing.assert_close(found, layer(x, hx))


def test_sequences_of_no_steps_keep_their_state():
    layer, hx = GRU(D, H), torch.randn(1, 2, H)
    outputs, final = layer(torch.randn(4, 2, D), hx, lengths=[0, 0], resets=torch.ones(4, 2, dtype=torch.bool))
    assert not outputs.any()
    assert torch.equal(final, hx)


NONE = torch.zeros(5, 2, dtype=torch.bool)


@pytest.mark.parametrize(
    ("resets", "options", "error", "message"),
    [
        (NONE.float(), {}, TypeError, r"resets must be a tensor of torch.bool, .* received torch.float32"),
        ([[True]], {}, TypeError, r"resets must be a tensor of torch.bool, .* received list"),
        (NONE.T, {}, ValueError, r"resets must have shape \(5, 2\), one for each step, received \(2, 5\)"),
        (NONE, {"reset_to": "one"}, ValueError, "reset_to must be 'zero' or 'hx', received 'one'"),
    ],
)
def test_what_is_no_mask_is_refused(resets, options, error, message):
    with pytest.raises(error, match=message):
        GRU(D, H)(torch.randn(5, 2, D), resets=resets, **options)


def test_a_mask_beside_a_packed_sequence_is_refused():
    with pytest.raises(ValueError, match="resets cannot be given beside a PackedSequence"):
        GRU(D, H)(pack_sequence([torch.randn(3, D)]), resets=torch.zeros(3, 1, dtype=torch.bool))
