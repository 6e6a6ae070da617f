"""A layer on the embeddings of tokens: the same as on what is looked up, whichever way is taken."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gru_scratch import GRU, LSTM, Recurrent
from gru_scratch.cells import CELLS
from gru_scratch.layers.layer import RecurrentLayer

V, D, H = 5, 4, 6
LENGTHS = torch.tensor([7, 3, 0])
MAKE = {
    "gru": lambda **options: GRU(D, H, **options),
    "lstm": lambda **options: LSTM(D, H, **options),
    "min-gru": lambda **options: Recurrent(CELLS["min-gru"], D, H, **options),
}


def gradients(layer: RecurrentLayer, embedding: Tensor, outputs: Tensor) -> list[Tensor]:
    sources = [embedding, *layer.parameters()]  # type: ignore[attr-defined]
    return list(torch.autograd.grad((outputs * outputs.detach().cos()).sum(), sources))


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("size", [V, 40])
def test_it_is_the_layer_on_looked_up_rows(
    name: str, options: dict[str, bool], lengths: Tensor | None, size: int
) -> None:
    """Of few tokens, which occur often, and of many."""
    layer = MAKE[name](**options, dtype=torch.float64)
    embedding = torch.randn(size, D, dtype=torch.float64, requires_grad=True)
    tokens = torch.randint(0, size, (3, 7) if options else (7, 3))
    outputs, state = layer.read_tokens(tokens, embedding, lengths=lengths)
    expected, expected_state = layer(F.embedding(tokens, embedding), lengths=lengths)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, expected_state)
    ours, theirs = (gradients(layer, embedding, each) for each in (outputs, expected))
    torch.testing.assert_close(ours, theirs)


def test_a_token_that_is_none_is_refused() -> None:
    for size in (V, 40):
        with pytest.raises((ValueError, IndexError)):
            GRU(D, H).read_tokens(torch.full((7, 3), size), torch.randn(size, D))
