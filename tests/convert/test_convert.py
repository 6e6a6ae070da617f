"""Conversions, each direction, by what the converted parameters compute in an independent implementation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support import keras_and_onnx as other
from support.one_layer import assert_close
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch import GRU, LSTM, RNN, Recurrent, RNNModel, convert
from gru_scratch.cells import GRUEquations, LSTMEquations, PeepholeLSTMEquations, RNNEquations
from gru_scratch.scratch.gru import get_gru_params, get_gru_reset_after_params, gru, gru_reset_after
from gru_scratch.scratch.lstm import get_lstm_params, lstm
from gru_scratch.scratch.rnn import get_rnn_params, rnn

D, H, T, B = 3, 4, 6, 2
SIZES = {"dtype": torch.float64}

LAYERS = {
    "rnn": lambda **options: RNN(D, H, **options),
    "relu": lambda **options: RNN(D, H, nonlinearity="relu", **options),
    "gru": lambda **options: GRU(D, H, **options),
    "gru reset before": lambda **options: GRU(D, H, reset_after=False, **options),
    "lstm": lambda **options: LSTM(D, H, **options),
    "nn.GRU": lambda **options: nn.GRU(D, H, **options),
    "nn.LSTM": lambda **options: nn.LSTM(D, H, **options),
    "nn.RNN": lambda **options: nn.RNN(D, H, nonlinearity="relu", **options),
    "recurrent gru": lambda **options: Recurrent(GRUEquations(False), D, H, **options),
    "recurrent lstm": lambda **options: Recurrent(LSTMEquations, D, H, **options),
    "recurrent rnn": lambda **options: Recurrent(RNNEquations("relu"), D, H, **options),
}
KERAS = {
    "rnn": other.keras_simple_rnn,
    "relu": other.keras_relu_rnn,
    "gru": other.keras_gru_reset_after,
    "gru reset before": other.keras_gru_reset_before,
    "lstm": other.keras_lstm,
    "nn.GRU": other.keras_gru_reset_after,
    "nn.LSTM": other.keras_lstm,
    "nn.RNN": other.keras_relu_rnn,
    "recurrent gru": other.keras_gru_reset_before,
    "recurrent lstm": other.keras_lstm,
    "recurrent rnn": other.keras_relu_rnn,
}
EVERY_LAYER = pytest.mark.parametrize("kind", LAYERS)
SHAPES = pytest.mark.parametrize(
    "options",
    [{}, {"bias": False}, {"bidirectional": True}, {"num_layers": 2}, {"num_layers": 2, "bidirectional": True}],
    ids=["plain", "no bias", "two directions", "two layers", "both"],
)


def run(layer: Any) -> tuple[Tensor, Tensor, list[list[np.ndarray]]]:
    """The layer's outputs on random input from a random state, that input, and that state by layer and direction."""
    rows = layer.num_layers * (1 + layer.bidirectional)
    states = torch.randn(2 if "LSTM" in repr(layer) else 1, rows, B, H, **SIZES)
    X = torch.randn(T, B, D, **SIZES)
    with torch.no_grad():
        outputs, _ = layer(X, states[0] if len(states) == 1 else tuple(states))
    return outputs, X, [[s[k].numpy() for s in states] for k in range(rows)]


def fresh(kind: str, **options: Any) -> Any:
    """A layer with other numbers."""
    return LAYERS[kind](**options, **SIZES)


@EVERY_LAYER
@SHAPES
def test_keras_computes_the_same_from_our_parameters(kind, options):
    layer = fresh(kind, **options)
    outputs, X, states = run(layer)
    arrays = convert.to_keras(layer)
    found = other.keras_model(KERAS[kind], X.numpy(), arrays, states, 1 + layer.bidirectional)
    assert_close(torch.from_numpy(found), outputs)


@EVERY_LAYER
@SHAPES
def test_we_compute_the_same_from_keras_parameters(kind, options):
    layer = fresh(kind, **options)
    random = np.random.default_rng(0)
    arrays = [random.normal(size=array.shape) for array in convert.to_keras(layer)]
    told = {"reset_after": "before" not in kind and kind != "recurrent gru"} if "bias" in options else {}
    layer.load_state_dict(convert.from_keras(layer, arrays, **told))
    outputs, X, states = run(layer)
    found = other.keras_model(KERAS[kind], X.numpy(), arrays, states, 1 + layer.bidirectional)
    assert_close(torch.from_numpy(found), outputs)


@EVERY_LAYER
@SHAPES
def test_onnx_computes_the_same_from_our_parameters(kind, options):
    layer = fresh(kind, **options)
    outputs, X, states = run(layer)
    nodes = convert.to_onnx(layer)
    assert len(nodes) == layer.num_layers
    assert nodes[0].W.shape[:2] == (1 + layer.bidirectional, len(nodes[0].W[0]))
    found = other.onnx_model(nodes, X.numpy(), states)
    assert_close(torch.from_numpy(found), outputs)


@EVERY_LAYER
@SHAPES
def test_we_compute_the_same_from_onnx_parameters(kind, options):
    layer = fresh(kind, **options)
    random = np.random.default_rng(0)
    nodes = [
        replace(node, **{k: random.normal(size=getattr(node, k).shape) for k in "WRB" if getattr(node, k) is not None})
        for node in convert.to_onnx(layer)
    ]
    layer.load_state_dict(convert.from_onnx(layer, nodes))
    outputs, X, states = run(layer)
    found = other.onnx_model(nodes, X.numpy(), states)
    assert_close(torch.from_numpy(found), outputs)


@SHAPES
def test_peepholes_go_to_onnx_and_back(options):
    layer = Recurrent(PeepholeLSTMEquations, D, H, **options, **SIZES)
    for name, parameter in layer.named_parameters():
        if name.startswith("w_c"):
            nn.init.normal_(parameter)
    outputs, X, states = run(layer)
    nodes = convert.to_onnx(layer)
    assert nodes[0].P.shape == (1 + layer.bidirectional, 3 * H)
    assert_close(torch.from_numpy(other.onnx_model(nodes, X.numpy(), states)), outputs)
    twin = Recurrent(PeepholeLSTMEquations, D, H, **options, **SIZES)
    twin.load_state_dict(convert.from_onnx(twin, nodes))
    assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), layer.parameters(), strict=True))
    twin.load_state_dict(convert.from_onnx(twin, [replace(node, P=None) for node in nodes]))
    assert not twin.w_ci_l0.any()


SCRATCH = {
    "rnn": (get_rnn_params, rnn, 1),
    "gru": (get_gru_reset_after_params, gru_reset_after, 1),
    "gru reset before": (get_gru_params, gru, 1),
    "lstm": (get_lstm_params, lstm, 2),
    "nn.GRU": (get_gru_reset_after_params, gru_reset_after, 1),
    "recurrent gru": (get_gru_params, gru, 1),
    "recurrent lstm": (get_lstm_params, lstm, 2),
}


def run_both(model: RNNModel, kind: str, params: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Scores of a model, and of the functions of scratch/, on random tokens from a random state."""
    _, forward, states = SCRATCH[kind]
    X, state = torch.randint(D, (B, T)), torch.randn(states, 1, B, H, **SIZES)
    with torch.no_grad():
        scores, _ = model(X, tuple(state) if states == 2 else state[0])
        inputs = F.one_hot(X.T, D).double()
        return scores, forward(inputs, tuple(s[0] for s in state), params)[0]


@pytest.mark.parametrize("options", [{}, {"bias": False}], ids=["bias", "no bias"])
@pytest.mark.parametrize("kind", SCRATCH)
def test_scratch_computes_the_same_from_our_parameters(kind, options):
    model = RNNModel(fresh(kind, **options), D).double()
    params = convert.to_scratch(model)
    assert [p.shape for p in params] == [p.shape for p in SCRATCH[kind][0](D, H)]
    assert_close(*run_both(model, kind, params))


@pytest.mark.parametrize("kind", SCRATCH)
def test_we_compute_the_same_from_the_parameters_of_scratch(kind):
    model = RNNModel(fresh(kind), D).double()
    params = [torch.randn(p.shape, **SIZES) for p in SCRATCH[kind][0](D, H)]
    model.load_state_dict(convert.from_scratch(model, params))
    assert_close(*run_both(model, kind, params))
    again = convert.to_scratch(model)
    assert all(torch.equal(a, b) for a, b in zip(again, params, strict=True))


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind not in ("gru reset before", "recurrent gru")])
@pytest.mark.parametrize(
    "options",
    [{}, {"bias": False}, {"num_layers": 2, "bidirectional": True, "batch_first": True, "dropout": 0.3}],
    ids=["plain", "no bias", "all"],
)
def test_torch_computes_the_same_from_our_parameters_and_back(kind, options):
    layer = fresh(kind, **options)
    state = torch.get_rng_state()
    twin = convert.to_torch(layer.eval())
    assert torch.equal(torch.get_rng_state(), state)
    assert type(twin) in (nn.RNN, nn.GRU, nn.LSTM)
    assert not twin.training
    X = torch.randn(B, T, D, **SIZES)
    assert_close(twin(X)[0], layer(X)[0])
    other_layer = fresh(kind, **options).eval()
    other_layer.load_state_dict(convert.from_torch(other_layer, twin))
    assert_close(other_layer(X)[0], twin(X)[0])


def test_a_projected_lstm_goes_to_torch_and_nowhere_else():
    layer = LSTM(D, H, proj_size=2, **SIZES)
    X = torch.randn(T, B, D, **SIZES)
    assert_close(convert.to_torch(layer)(X)[0], layer(X)[0])
    for name, convert_it in (("Keras", convert.to_keras), ("ONNX", convert.to_onnx)):
        with pytest.raises(ValueError, match=f"^{name} has no projected state, received a layer with proj_size=2$"):
            convert_it(layer)
    with pytest.raises(ValueError, match="no projection, received LSTM"):
        convert.to_scratch(RNNModel(layer, D))


def test_a_reset_gate_elsewhere_is_refused_with_the_reason():
    """Every way from one GRU to the other; and they do differ."""
    before, after = GRU(D, H, reset_after=False, **SIZES), GRU(D, H, **SIZES)
    after.load_state_dict(before.state_dict())
    X = torch.randn(T, B, D, **SIZES)
    assert (before(X)[0] - after(X)[0]).abs().max() > 1e-3
    reason = "no choice of parameters makes the two equal$"
    ways = [
        (
            lambda: convert.to_torch(before),
            "the reset gate of nn.GRU acts after the candidate's recurrent product, that",
        ),
        (lambda: convert.from_torch(before, nn.GRU(D, H)), "the reset gate of GRU acts after"),
        (lambda: convert.from_torch(after, before), "the reset gate of GRU acts before"),
        (lambda: convert.from_keras(after, convert.to_keras(before)), "the reset gate of the Keras GRU acts before"),
        (lambda: convert.from_keras(before, convert.to_keras(after)), "the reset gate of the Keras GRU acts after"),
        (lambda: convert.from_onnx(after, convert.to_onnx(before)), "the reset gate of the operator GRU acts before"),
        (lambda: convert.from_onnx(before, convert.to_onnx(after)), "the reset gate of the operator GRU acts after"),
        (
            lambda: convert.from_scratch(RNNModel(nn.GRU(D, H), D), get_gru_params(D, H)),
            "the reset gate of these parameters acts before",
        ),
        (
            lambda: convert.from_scratch(RNNModel(before, D), get_gru_reset_after_params(D, H)),
            "the reset gate of these parameters acts after",
        ),
    ]
    for way, message in ways:
        with pytest.raises(ValueError, match=f"^{message}.*{reason}"):
            way()


@pytest.mark.parametrize("reset_after", [True, False])
def test_the_other_sign_of_the_update_gate(reset_after):
    """Against a NumPy loop of h' = (1 - z) h + z n, through a two-layer model's state dict; twice is once back."""
    layer = GRU(D, H, num_layers=2, bidirectional=True, reset_after=reset_after, **SIZES)
    model = nn.ModuleDict({"rnn": layer, "linear": nn.Linear(2 * H, D).double()})
    negated = convert.negate_update_gate(model.state_dict())
    assert {name for name, x in negated.items() if torch.equal(x, model.state_dict()[name])} == {
        "linear.weight",
        "linear.bias",
    }
    again = convert.negate_update_gate(negated)
    assert all(torch.equal(again[name], value) for name, value in model.state_dict().items())

    single = GRU(D, H, reset_after=reset_after, **SIZES)
    outputs, X, states = run(single)
    W_x, W_h, b_x, b_h = (w.numpy() for w in convert.negate_update_gate(single.state_dict()).values())

    def step(x: np.ndarray, state: list[np.ndarray]) -> list[np.ndarray]:
        (h,) = state
        x_r, x_z, x_n = np.split(x @ W_x.T + b_x, 3, -1)
        h_r, h_z, h_n = np.split(h @ W_h.T + b_h, 3, -1)
        r, z = other.sigmoid(x_r + h_r), other.sigmoid(x_z + h_z)
        n = np.tanh(x_n + (r * h_n if reset_after else (r * h) @ W_h[2 * H :].T + b_h[2 * H :]))
        return [(1 - z) * h + z * n]

    assert_close(torch.from_numpy(other.over_time(X.numpy(), states[0], step)), outputs)


def test_arrays_have_the_shapes_and_types_of_keras_and_onnx():
    keras = convert.to_keras(GRU(D, H))
    assert [a.shape for a in keras] == [(D, 3 * H), (H, 3 * H), (2, 3 * H)]
    assert [a.shape for a in convert.to_keras(GRU(D, H, reset_after=False))] == [(D, 3 * H), (H, 3 * H), (3 * H,)]
    assert all(type(a) is np.ndarray and a.dtype == np.float32 and a.flags.c_contiguous for a in keras)
    (node,) = convert.to_onnx(LSTM(D, H, bidirectional=True))
    assert (node.op_type, node.W.shape, node.R.shape, node.B.shape) == (
        "LSTM",
        (2, 4 * H, D),
        (2, 4 * H, H),
        (2, 8 * H),
    )
    assert node.attributes == {"hidden_size": H, "direction": "bidirectional"}
    (node,) = convert.to_onnx(GRU(D, H, reset_after=False))
    assert node.attributes == {"hidden_size": H, "direction": "forward", "linear_before_reset": 0}
    assert convert.to_keras(GRU(D, H, dtype=torch.bfloat16))[0].dtype == np.float32


def test_what_is_converted_is_a_copy():
    layer = RNN(D, H)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    results = [*convert.to_keras(layer), *(x for n in convert.to_onnx(layer) for x in (n.W, n.R, n.B))]
    results += [x.detach().numpy() for x in convert.to_torch(layer).parameters()]
    results += [x.numpy() for x in convert.to_scratch(RNNModel(layer, D))[:3]]
    for array in results:
        array[:] = 7
    for found in (convert.from_torch(layer, layer), convert.from_keras(layer, convert.to_keras(layer))):
        for value in found.values():
            value.fill_(7)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
