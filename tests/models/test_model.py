"""Both model classes: the book's results and states, for every layer of torch.nn and for layers of another make."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.models.language import RNNModel, RNNModelScratch
from gru_scratch.scratch.gru import get_gru_params, gru, init_gru_state
from gru_scratch.scratch.lstm import get_lstm_params, init_lstm_state, lstm
from gru_scratch.scratch.rnn import get_rnn_params, init_rnn_state, rnn

V, H, B, T = 9, 6, 4, 5

SCRATCH = [
    (get_rnn_params, init_rnn_state, rnn),
    (get_gru_params, init_gru_state, gru),
    (get_lstm_params, init_lstm_state, lstm),
]
LAYERS = (nn.RNN, nn.GRU, nn.LSTM)


def tensors(state: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("functions", SCRATCH, ids=lambda functions: functions[2].__name__)
def test_scratch_model_is_the_books(book: ModuleType, functions: Any) -> None:
    X = torch.randint(0, V, (B, T))
    results = []
    for model_class in (RNNModelScratch, book.RNNModelScratch):
        torch.manual_seed(2)
        model = model_class(V, H, "cpu", *functions)
        state = model.begin_state(B, "cpu")
        scores, state = model(X, state)
        scores.logsumexp(1).sum().backward()
        results.append([*model.params, scores, *state, *(p.grad for p in model.params)])
        assert (model.vocab_size, model.num_hiddens) == (V, H)
        assert scores.shape == (T * B, V)
    assert all(torch.equal(mine, its) for mine, its in zip(*results, strict=True))


@pytest.mark.parametrize("functions", SCRATCH, ids=lambda functions: functions[2].__name__)
def test_scratch_model_computes_in_the_type_of_its_parameters(functions: Any) -> None:
    model = RNNModelScratch(V, H, None, *functions)
    model.params = [p.detach().double() for p in model.params]
    state = tuple(s.double() for s in model.begin_state(B, None))
    scores, _ = model(torch.randint(0, V, (B, T)), state)
    assert scores.dtype == torch.float64


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_model_of_a_layer_is_the_books(
    book: ModuleType, layer: type[nn.RNNBase], num_layers: int, bidirectional: bool
) -> None:
    X = torch.randint(0, V, (B, T))
    results = []
    for model_class in (RNNModel, book.RNNModel):
        torch.manual_seed(2)
        model = model_class(layer(V, H, num_layers, bidirectional=bidirectional), V)
        state = model.begin_state(device="cpu", batch_size=B)
        assert isinstance(state, tuple) == (layer is nn.LSTM)
        assert all(s.shape == ((2 if bidirectional else 1) * num_layers, B, H) for s in tensors(state))
        scores, new_state = model(X, state)
        scores.logsumexp(1).sum().backward()
        results.append([*tensors(state), scores, *tensors(new_state), *(p.grad for p in model.parameters())])
        assert model.num_directions == (2 if bidirectional else 1)
        assert model.num_hiddens == H
        assert list(model.state_dict())[-2:] == ["linear.weight", "linear.bias"]
    assert all(torch.equal(mine, its) for mine, its in zip(*results, strict=True))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_the_first_state_is_what_the_layer_takes_for_none(layer: type[nn.RNNBase]) -> None:
    model = RNNModel(layer(V, H), V)
    X = torch.randint(0, V, (B, T))
    scores, _ = model(X, None)
    again, _ = model(X, model.begin_state("cpu", B))
    assert torch.equal(scores, again)
    assert tensors(model.begin_state("cpu"))[0].shape == (1, 1, H)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_a_layer_that_has_its_batch_first_scores_the_same(layer: type[nn.RNNBase]) -> None:
    models = [RNNModel(layer(V, H, batch_first=batch_first), V) for batch_first in (False, True)]
    models[1].load_state_dict(models[0].state_dict())
    X = torch.randint(0, V, (B, T))
    (scores, state), (again, state_again) = (model(X, model.begin_state("cpu", B)) for model in models)
    assert torch.equal(scores, again)
    torch.testing.assert_close(state, state_again)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_a_projected_state_is_narrower_than_the_memory() -> None:
    model = RNNModel(nn.LSTM(V, H, proj_size=2, bidirectional=True), V)
    hidden, memory = model.begin_state("cpu", B)
    assert (hidden.shape, memory.shape) == ((2, B, 2), (2, B, H))
    scores, _ = model(torch.randint(0, V, (B, T)), (hidden, memory))
    assert scores.shape == (T * B, V)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_type_of_the_parameters_is_the_type_of_inputs_and_state(dtype: torch.dtype) -> None:
    model = RNNModel(nn.GRU(V, H), V).to(dtype)
    state = model.begin_state("cpu", B)
    assert state.dtype == dtype
    scores, state = model(torch.randint(0, V, (B, T)), state)
    assert scores.dtype == state.dtype == dtype


def test_small_whole_numbers_are_tokens_too() -> None:
    model = RNNModel(nn.GRU(V, H), V)
    X = torch.randint(0, V, (B, T))
    assert torch.equal(model(X, None)[0], model(X.to(torch.uint8), None)[0])


class OfOurOwnMake(nn.Module):
    """A layer without the base class of torch.nn's: token numbers in, two states of its own, its own zeros."""

    hidden_size, num_layers, bidirectional, batch_first, accepts_tokens = H, 1, False, False, True

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.LSTM(V, H)
        self.seen: list[Tensor] = []

    def initial_state(self, batch_size: int, *, device: object, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        return torch.ones(1, batch_size, H, dtype=dtype), torch.ones(1, batch_size, H, dtype=dtype)

    def forward(self, X: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        self.seen.append(X)
        return self.inner(F.one_hot(X, V).float(), state)


def test_a_layer_of_another_make_gets_tokens_and_makes_its_state() -> None:
    layer = OfOurOwnMake()
    model = RNNModel(layer, V)
    X = torch.randint(0, V, (B, T))
    state = model.begin_state("cpu", B)
    assert all(bool((s == 1).all()) for s in state)
    scores, _ = model(X, state)
    assert torch.equal(layer.seen[0], X.T)
    plain = RNNModel(layer.inner, V)
    plain.linear = model.linear
    assert torch.equal(scores, plain(X, state)[0])
