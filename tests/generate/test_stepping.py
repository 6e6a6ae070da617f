"""A step in buffers made once is the layer's own step."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from support.sample_cells import Average
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from gru_scratch import GRU, LSTM, RNN, Recurrent, RNNModel
from gru_scratch.cells import CELLS, Cell, GRUEquations, LSTMEquations, RNNEquations
from gru_scratch.engines.fused.in_place import loop_of
from gru_scratch.generate import stepping
from gru_scratch.generate.stepping import Stepper, can_step

V, H = 11, 9


class RememberState(NamedTuple):
    h: Tensor
    last: Tensor


class Remember(Cell):
    """Its new states are views of what it was given: pre-activations and the state before."""

    gates = ("a",)
    states = RememberState

    def step(self, x: Any, W: Any, state: Any, **params: Tensor) -> Any:
        return RememberState(W.a(state.h), state.h), {}


class NoiseState(NamedTuple):
    h: Tensor


class Noise(Cell):
    """Its mask is drawn anew at every step, in evaluation too."""

    gates = ("a",)
    states = NoiseState
    masks = ("noise",)

    def draw_masks(self, shape: tuple[int, int, int], training: bool, like: Tensor) -> dict[str, Tensor]:
        return {"noise": torch.randn(shape, dtype=like.dtype)}

    def step(self, x: Any, W: Any, state: Any, *, noise: Tensor, **params: Tensor) -> Any:
        return self.states(torch.tanh(x.a + W.a(state.h) + noise)), {}


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    **{name: (cell, {}) for name, cell in CELLS.items()},
    "gru-reset-before": (GRUEquations(reset_after=False), {}),
    "rnn-relu": (RNNEquations("relu"), {}),
    "no-bias": (GRUEquations(reset_after=False), {"bias": False}),
    "projection": (LSTMEquations, {"proj_size": 4}),
    "projected-peephole": (CELLS["peephole-lstm"], {"proj_size": 4}),
    "zoneout": (LSTMEquations, {"zoneout": (0.05, 0.5)}),
    "zoneout-second-product": (CELLS["mgu"], {"zoneout": 0.3}),
    "views": (Remember, {}),
    "noise": (Noise, {}),
}


def check(model: RNNModel, batch: int, tolerance: float = 1e-12) -> None:
    """Scores and state of a Stepper against calls of the model, for some steps of random tokens."""
    assert can_step(model)
    model.eval()
    stepper, state = Stepper(model, batch), model.begin_state(batch_size=batch)
    worst = 0.0
    for t in range(8):
        tokens = torch.randint(model.vocab_size, (batch,))
        torch.manual_seed(t)
        with torch.no_grad():
            expected, state = model(tokens.unsqueeze(1), state)
        torch.manual_seed(t)
        scores = stepper.score(tokens)
        worst = max(worst, (scores - expected).abs().max().item())
    states = (stepper.state,) if isinstance(state, Tensor) else stepper.state
    for mine, theirs in zip(states, (state,) if isinstance(state, Tensor) else state, strict=True):
        assert mine.shape == theirs.shape
        worst = max(worst, (mine - theirs).abs().max().item())
    assert worst <= tolerance


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_layers_step(case: str, layers: int, batch: int) -> None:
    cell, options = CASES[case]
    layer = Recurrent(cell, V, H, layers, dtype=torch.float64, **options)
    with torch.no_grad():
        for param in layer.parameters():
            param.normal_(0, 0.7)
    check(RNNModel(layer, V).double(), batch)


@pytest.mark.parametrize(
    "layer",
    [
        RNN(V, H, 2),
        RNN(V, H, nonlinearity="relu"),
        GRU(V, H, 2),
        GRU(V, H, reset_after=False),
        LSTM(V, H, 2, proj_size=4),
    ],
    ids=repr,
)
@pytest.mark.parametrize("batch", [1, 3])
def test_the_drop_ins(layer: Any, batch: int) -> None:
    check(RNNModel(layer, V).double(), batch)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
@pytest.mark.parametrize("batch", [1, 3])
def test_types_of_numbers(dtype: torch.dtype, tolerance: float, batch: int) -> None:
    check(RNNModel(LSTM(V, H), V).to(dtype), batch, tolerance)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("table_size", [0, stepping.TABLE_SIZE])
@pytest.mark.parametrize("embedding", [0, 9])
def test_tokens_by_table_or_not_one_hot_or_embedded(
    monkeypatch: pytest.MonkeyPatch, batch: int, table_size: int, embedding: int
) -> None:
    monkeypatch.setattr(stepping, "TABLE_SIZE", table_size)
    layer = GRU(embedding or V, H, 2, reset_after=False, dropout=0.5)
    check(RNNModel(layer, V, embedding_size=embedding, dropout=0.5, tie_weights=embedding > 0).double(), batch)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("cell", [LSTMEquations(), RNNEquations(), Average(), Remember()], ids=repr)
@pytest.mark.parametrize("engine", ["auto", "fused"])
def test_a_token_that_clears_the_state(cell: Cell, engine: str, batch: int) -> None:
    check(RNNModel(Recurrent(cell, 3, H, 2, engine=engine), 3, reset_at=1).double(), batch)


def test_what_has_a_part_in_a_models_calls_is_not_passed_over() -> None:
    assert can_step(RNNModel(GRU(V, H), V))
    assert can_step(RNNModel(GRU(V, H, batch_first=True), V))
    assert not can_step(RNNModel(nn.GRU(V, H), V))
    assert not can_step(RNNModel(GRU(V, H, engine="textbook"), V))
    assert not can_step(RNNModel(GRU(V, H, bidirectional=True), V))
    assert not can_step(GRU(V, H))

    class Scaled(RNNModel):
        def forward(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
            scores, state = super().forward(inputs, state)
            return scores / 2, state

    class Doubled(GRU):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return super().forward(*args, **kwargs)

    assert not can_step(Scaled(GRU(V, H), V))
    assert not can_step(RNNModel(Doubled(V, H), V))
    watched = RNNModel(GRU(V, H), V)
    watched.rnn.register_forward_hook(lambda *args: None)
    assert not can_step(watched)
    other_head = RNNModel(GRU(V, H), V)
    other_head.linear = nn.Sequential(nn.Linear(H, V), nn.Tanh())  # type: ignore[assignment]
    assert not can_step(other_head)
    other_embedding = RNNModel(GRU(H, H), V, embedding_size=H)
    assert can_step(other_embedding)
    other_embedding.embedding = nn.Sequential(nn.Embedding(V, H), nn.Tanh())  # type: ignore[assignment]
    assert not can_step(other_embedding)
    with torch.autocast("cpu"):
        assert not can_step(RNNModel(GRU(V, H), V))


def test_parameters_that_are_computed() -> None:
    model = RNNModel(GRU(V, H, reset_after=False), V).double()
    parametrizations.weight_norm(model.rnn, "weight_hh_l0")
    with torch.no_grad():
        model.rnn.parametrizations.weight_hh_l0.original0 *= 2
    check(model, 1)


def test_a_new_stepper_has_new_parameters() -> None:
    model = RNNModel(GRU(V, H), V).double()
    check(model, 1)
    with torch.no_grad():
        for param in model.parameters():
            param.mul_(2)
    check(model, 1)


def test_training_goes_on_after_it() -> None:
    """No gradient flows through it, and it leaves none and no inference tensor behind."""
    model = RNNModel(LSTM(V, H), V)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scores = Stepper(model).score(torch.tensor([3]))
    assert not scores.requires_grad
    assert all(param.grad is None and not param.is_inference() for param in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    y, _ = model(torch.tensor([[1, 2]]), None)
    y.sum().backward()


def test_equations_of_a_subclass_are_its_own() -> None:
    class Tame(GRUEquations):
        def step(self, x: Any, W: Any, state: Any, **params: Tensor) -> Any:
            new, gates = super().step(x, W, state, **params)
            return new._replace(h=new.h / 2), gates

    assert loop_of(Tame()) is None
    check(RNNModel(Recurrent(Tame, V, H), V).double(), 1)
