"""Conversions that cannot be right are refused with the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gru_scratch import GRU, LSTM, RNN, Recurrent, RNNModel, convert
from gru_scratch.cells import GRUEquations, MGUEquations, PeepholeLSTMEquations
from gru_scratch.scratch.lstm import get_lstm_params
from gru_scratch.scratch.rnn import get_rnn_params

D, H = 3, 4


def _without_bias(arrays: list[Any]) -> list[Any]:
    return [a for k, a in enumerate(arrays) if k % 3 < 2]


def _node(layer: Any, **attributes: Any) -> list[Any]:
    return [replace(node, attributes={**node.attributes, **attributes}) for node in convert.to_onnx(layer)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convert.to_keras(Recurrent(MGUEquations, D, H)), r"only an RNN, .* received a layer of MGUEquations"),
        (lambda: convert.to_torch(Recurrent(GRUEquations, D, H, zoneout=0.1)), r"only an RNN, .* of Zoneout\("),
        (lambda: convert.from_keras(LSTM(D, H), convert.to_keras(LSTM(D, H))[:2] * 2), "expected 3 arrays, or 2 with"),
        (lambda: convert.from_keras(LSTM(D, H), convert.to_keras(GRU(D, H))), r"shape \(3, 16\), received \(3, 12\)"),
        (lambda: convert.from_keras(LSTM(D, H), convert.to_keras(LSTM(D, 5))), r"shape \(3, 16\), received \(3, 20\)"),
        (
            lambda: convert.from_keras(LSTM(D, H), [*convert.to_keras(LSTM(D, H))[:2], np.zeros((2, 16))]),
            r"the bias for l0 must have the shape \(16,\), received \(2, 16\)",
        ),
        (
            lambda: convert.from_keras(GRU(D, H), _without_bias(convert.to_keras(GRU(D, H)))),
            "a Keras GRU without biases does not show which one it is: give its reset_after",
        ),
        (
            lambda: convert.from_keras(GRU(D, H), convert.to_keras(GRU(D, H)), reset_after=False),
            r"reset_after=False was given, but the bias has the shape \(2, 12\)",
        ),
        (
            lambda: convert.from_keras(LSTM(D, H, bias=False), convert.to_keras(LSTM(D, H))),
            "these parameters have biases, the layer has none: make it with bias=True",
        ),
        (
            lambda: convert.from_onnx(LSTM(D, H), convert.to_onnx(GRU(D, H))),
            "the operator GRU: expected the kind LSTM as the layer, received GRU",
        ),
        (
            lambda: convert.from_onnx(LSTM(D, H, num_layers=2), convert.to_onnx(LSTM(D, H))),
            "each of 2 layers, received 1",
        ),
        (
            lambda: convert.from_onnx(LSTM(D, H), convert.to_onnx(LSTM(5, H))),
            r"W of layer 0 .* \(1, 16, 3\), .* \(1, 16, 5\)",
        ),
        (
            lambda: convert.from_onnx(LSTM(D, H), convert.to_onnx(LSTM(D, H, bidirectional=True))),
            "direction is forward, received bidirectional",
        ),
        (lambda: convert.from_onnx(LSTM(D, H), _node(LSTM(D, H), direction="reverse")), "is forward, received reverse"),
        (lambda: convert.from_onnx(LSTM(D, H), _node(LSTM(D, H), clip=3.0)), r"the operator's attribute clip=3\.0"),
        (lambda: convert.from_onnx(LSTM(D, H), _node(LSTM(D, H), input_forget=1)), "attribute input_forget=1"),
        (
            lambda: convert.from_onnx(LSTM(D, H), _node(LSTM(D, H), activations=["HardSigmoid", "Tanh", "Tanh"])),
            "activations are sigmoid, tanh, tanh, the operator's hardsigmoid, tanh, tanh",
        ),
        (
            lambda: convert.from_onnx(RNN(D, H), convert.to_onnx(RNN(D, H, nonlinearity="relu"))),
            "the layer's activations are tanh, the operator's relu",
        ),
        (
            lambda: convert.from_onnx(LSTM(D, H), [replace(convert.to_onnx(LSTM(D, H))[0], P=np.ones((1, 12)))]),
            "the operator LSTM has peepholes",
        ),
        (
            lambda: convert.from_onnx(
                Recurrent(PeepholeLSTMEquations, D, H), [replace(convert.to_onnx(LSTM(D, H))[0], P=np.ones((1, 8)))]
            ),
            r"P of layer 0 must have the shape \(1, 12\), received \(1, 8\)",
        ),
        (
            lambda: convert.to_keras(Recurrent(PeepholeLSTMEquations, D, H)),
            r"only an RNN, .* received a layer of PeepholeLSTMEquations",
        ),
        (
            lambda: convert.from_torch(LSTM(D, H), nn.GRU(D, H)),
            "GRU: expected the kind LSTM as the layer, received GRU",
        ),
        (lambda: convert.from_torch(LSTM(D, H), nn.LSTM(D, 5)), r"weight_ih_l0: .* \(16, 3\), received \(20, 3\)"),
        (lambda: convert.from_torch(LSTM(D, H), nn.LSTM(D, H, 2)), "weight_ih_l1: expected the shape none, received"),
        (
            lambda: convert.from_torch(RNN(D, H), nn.RNN(D, H, nonlinearity="relu")),
            "activation is tanh, that of RNN is relu",
        ),
        (lambda: convert.to_scratch(RNNModel(LSTM(D, H, 2), D)), "one layer in one direction .* received LSTM"),
        (lambda: convert.to_scratch(RNNModel(RNN(D, H, nonlinearity="relu"), D)), "an RNN of tanh only, received RNN"),
        (
            lambda: convert.from_scratch(RNNModel(LSTM(D, H), D), get_rnn_params(D, H)),
            "these parameters: expected the kind LSTM as the layer, received RNN",
        ),
        (
            lambda: convert.from_scratch(RNNModel(LSTM(D, H), D), get_lstm_params(D, H)[:7]),
            "14 parameters .* received 7",
        ),
        (
            lambda: convert.from_scratch(RNNModel(LSTM(D, H), D), get_lstm_params(D, 5)),
            r"rnn\.weight_ih_l0: expected the shape \(16, 3\), received \(20, 3\)",
        ),
        (lambda: convert.negate_update_gate(nn.LSTM(D, H).state_dict()), r"weight_ih_l0 is not a GRU's: .* \(16, 4\)"),
        (lambda: convert.negate_update_gate(nn.Linear(D, H).state_dict()), "expected the parameters of a GRU"),
        (lambda: convert.negate_update_gate({"weight_ih_l0": torch.ones(3, 1)}), "its weight_hh is not there"),
    ],
)
def test_what_cannot_be_converted_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("convert_it", [convert.to_keras, convert.to_onnx, convert.to_torch])
def test_what_is_no_layer_is_refused(convert_it):
    with pytest.raises(TypeError, match=r"^expected a recurrent layer, received Linear$"):
        convert_it(nn.Linear(D, H))
