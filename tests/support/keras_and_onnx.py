"""The recurrent layers of Keras and the operators of ONNX in NumPy, a step at a time, from their definitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Step = Callable[..., list[Array]]


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def over_time(X: Array, state: list[Array], step: Callable[[Array, list[Array]], list[Array]]) -> Array:
    """The first state of every step, (T, B, H)."""
    outputs = []
    for x in X:
        state = step(x, state)
        outputs.append(state[0])
    return np.stack(outputs)


# Keras: SimpleRNNCell, GRUCell and LSTMCell of keras/src/layers/rnn.


def keras_simple_rnn(
    x: Array, state: list[Array], kernel: Array, recurrent_kernel: Array, bias: Any = 0
) -> list[Array]:
    (h,) = state
    return [np.tanh(x @ kernel + bias + h @ recurrent_kernel)]


def keras_relu_rnn(x: Array, state: list[Array], kernel: Array, recurrent_kernel: Array, bias: Any = 0) -> list[Array]:
    (h,) = state
    return [np.maximum(x @ kernel + bias + h @ recurrent_kernel, 0)]


def keras_lstm(x: Array, state: list[Array], kernel: Array, recurrent_kernel: Array, bias: Any = 0) -> list[Array]:
    h, c = state
    z0, z1, z2, z3 = np.split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=1)
    c = sigmoid(z1) * c + sigmoid(z0) * np.tanh(z2)
    return [sigmoid(z3) * np.tanh(c), c]


def keras_gru_reset_before(
    x: Array, state: list[Array], kernel: Array, recurrent_kernel: Array, bias: Any = 0
) -> list[Array]:
    """``reset_after=False``: the bias is (3 * units,)."""
    (h,) = state
    units = h.shape[1]
    x_z, x_r, x_h = np.split(x @ kernel + bias, 3, axis=1)
    inner = h @ recurrent_kernel[:, : 2 * units]
    z = sigmoid(x_z + inner[:, :units])
    r = sigmoid(x_r + inner[:, units:])
    hh = np.tanh(x_h + (r * h) @ recurrent_kernel[:, 2 * units :])
    return [z * h + (1 - z) * hh]


def keras_gru_reset_after(
    x: Array, state: list[Array], kernel: Array, recurrent_kernel: Array, bias: Any = (0, 0)
) -> list[Array]:
    """``reset_after=True``: the bias is (2, 3 * units), the input's and the recurrent one."""
    (h,) = state
    input_bias, recurrent_bias = bias
    x_z, x_r, x_h = np.split(x @ kernel + input_bias, 3, axis=1)
    inner_z, inner_r, inner_h = np.split(h @ recurrent_kernel + recurrent_bias, 3, axis=1)
    z = sigmoid(x_z + inner_z)
    r = sigmoid(x_r + inner_r)
    hh = np.tanh(x_h + r * inner_h)
    return [z * h + (1 - z) * hh]


def keras_model(step: Step, X: Array, arrays: Sequence[Array], states: list[list[Array]], directions: int) -> Array:
    """A ``Sequential`` of layers, in ``Bidirectional`` or not, whose ``get_weights()`` are ``arrays``.

    ``states`` has the initial states of each layer and direction.
    """
    each = len(arrays) // len(states)
    for k in range(0, len(states), directions):
        outputs = []
        for d in range(directions):
            weights = arrays[(k + d) * each : (k + d + 1) * each]
            run = over_time(X[::-1] if d else X, states[k + d], lambda x, s, w=weights: step(x, s, *w))
            outputs.append(run[::-1] if d else run)
        X = np.concatenate(outputs, axis=-1)
    return X


# ONNX: the operators RNN, GRU and LSTM, in the words of their specification. Wb and Rb are the halves of B.


def onnx_rnn(x: Array, state: list[Array], W: Array, R: Array, B: Array, f: Callable[[Array], Array]) -> list[Array]:
    (H,) = state
    Wb, Rb = np.split(B, 2)
    return [f(x @ W.T + H @ R.T + Wb + Rb)]


def onnx_gru(x: Array, state: list[Array], W: Array, R: Array, B: Array, linear_before_reset: int) -> list[Array]:
    (H,) = state
    Wz, Wr, Wh = np.split(W, 3)
    Rz, Rr, Rh = np.split(R, 3)
    Wbz, Wbr, Wbh, Rbz, Rbr, Rbh = np.split(B, 6)
    zt = sigmoid(x @ Wz.T + H @ Rz.T + Wbz + Rbz)
    rt = sigmoid(x @ Wr.T + H @ Rr.T + Wbr + Rbr)
    if linear_before_reset:
        ht = np.tanh(x @ Wh.T + (rt * (H @ Rh.T + Rbh)) + Wbh)
    else:
        ht = np.tanh(x @ Wh.T + (rt * H) @ Rh.T + Rbh + Wbh)
    return [(1 - zt) * ht + zt * H]


def onnx_lstm(x: Array, state: list[Array], W: Array, R: Array, B: Array, P: Any = (0, 0, 0)) -> list[Array]:
    H, C = state
    Pi, Po, Pf = P
    Wi, Wo, Wf, Wc = np.split(W, 4)
    Ri, Ro, Rf, Rc = np.split(R, 4)
    Wbi, Wbo, Wbf, Wbc, Rbi, Rbo, Rbf, Rbc = np.split(B, 8)
    it = sigmoid(x @ Wi.T + H @ Ri.T + Pi * C + Wbi + Rbi)
    ft = sigmoid(x @ Wf.T + H @ Rf.T + Pf * C + Wbf + Rbf)
    ct = np.tanh(x @ Wc.T + H @ Rc.T + Wbc + Rbc)
    Ct = ft * C + it * ct
    ot = sigmoid(x @ Wo.T + H @ Ro.T + Po * Ct + Wbo + Rbo)
    return [ot * np.tanh(Ct), Ct]


def onnx_model(nodes: Sequence[Any], X: Array, states: list[list[Array]]) -> Array:
    """The operators one after the other, each on the outputs of the one before, its directions side by side."""
    states = list(states)
    for node in nodes:
        given = node.attributes
        count = {"forward": 1, "bidirectional": 2}[given.get("direction", "forward")]
        outputs = []
        for d in range(count):
            B = np.zeros(2 * len(node.W[d])) if node.B is None else node.B[d]
            options: tuple[Any, ...] = ()
            if node.op_type == "RNN":
                name = given.get("activations", ["Tanh"] * count)[d]
                options = ({"Tanh": np.tanh, "Relu": lambda a: np.maximum(a, 0)}[name],)
            if node.op_type == "GRU":
                options = (given.get("linear_before_reset", 0),)
            if node.P is not None:
                options = (np.split(node.P[d], 3),)
            step: Step = {"RNN": onnx_rnn, "GRU": onnx_gru, "LSTM": onnx_lstm}[node.op_type]
            arguments = (node.W[d], node.R[d], B, *options)
            run = over_time(X[::-1] if d else X, states.pop(0), lambda x, s, a=arguments, f=step: f(x, s, *a))
            outputs.append(run[::-1] if d else run)
        X = np.concatenate(outputs, axis=-1)
    return X
