"""Gates, states and influence: against torch.nn, autograd through the whole text and NumPy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.sample_cells import CELLS, ZONED
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch import cells
from gru_scratch.layers import GRU, LSTM, RNN, Recurrent
from gru_scratch.models.language import RNNModel, RNNModelScratch
from gru_scratch.scratch import gru, lstm, rnn
from gru_scratch.studies.gates import exploration as exploring
from gru_scratch.studies.gates import influence as influencing
from gru_scratch.studies.gates.collect import Collected, collect, layered
from gru_scratch.studies.gates.exploration import count_steps, explore
from gru_scratch.studies.gates.influence import influence
from gru_scratch.text.vocab import Vocab

V, H, T = 6, 5, 23
TOKENS = torch.arange(T) * 7 % 11 % V
SCRATCH = {
    "rnn": (rnn.get_rnn_params, rnn.init_rnn_state, rnn.rnn),
    "gru": (gru.get_gru_params, gru.init_gru_state, gru.gru),
    "gru_reset_after": (gru.get_gru_reset_after_params, gru.init_gru_state, gru.gru_reset_after),
    "lstm": (lstm.get_lstm_params, lstm.init_lstm_state, lstm.lstm),
}


def model_of(layer: nn.Module) -> RNNModel:
    """In float64, with weights large enough for the gates to move."""
    model = RNNModel(layer, V).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def scratch_model(name: str) -> RNNModelScratch:
    model = RNNModelScratch(V, H, "cpu", *SCRATCH[name])
    model.params = [(param.detach().double() * 0 + torch.randn_like(param).double()) for param in model.params]
    return model


def values(collected: Collected, depth: int = 0) -> dict[str, Tensor]:
    return {quantity.name: quantity.values for quantity in collected.layers[depth]}


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_the_gates_of_nn_gru_are_those_of_its_weights() -> None:
    model = model_of(nn.GRU(V, H))
    found = values(collect(model, TOKENS))
    assert list(found) == ["r", "z", "n", "h"]
    h = torch.zeros(H, dtype=torch.float64)
    for t, x in enumerate(F.one_hot(TOKENS, V).double()):
        x_r, x_z, x_n = (model.rnn.weight_ih_l0 @ x + model.rnn.bias_ih_l0).chunk(3)
        h_r, h_z, h_n = (model.rnn.weight_hh_l0 @ h + model.rnn.bias_hh_l0).chunk(3)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        h = z * h + (1 - z) * n
        for name, value in {"r": r, "z": z, "n": n, "h": h}.items():
            close(found[name][t], value.detach())


@pytest.mark.parametrize("name", SCRATCH)
def test_the_functions_of_scratch_load_as_layers(name: str) -> None:
    model = scratch_model(name)
    found = collect(model, TOKENS)
    logits, state = model(TOKENS.unsqueeze(0), [s.double() for s in model.begin_state(1, "cpu")])
    close(found.logits, logits)
    for kept, last in zip(found.states[0], state, strict=True):
        close(kept[-1:], last)


LAYERS: dict[str, Any] = {
    "nn.RNN relu": lambda: nn.RNN(V, H, 2, nonlinearity="relu"),
    "nn.LSTM with a projection": lambda: nn.LSTM(V, H, 2, proj_size=3),
    "nn.GRU without biases, batch first": lambda: nn.GRU(V, H, 3, bias=False, batch_first=True),
    "RNN": lambda: RNN(V, H),
    "GRU, reset before": lambda: GRU(V, H, 2, reset_after=False, batch_first=True),
    "LSTM, dropout": lambda: LSTM(V, H, 2, dropout=0.5, engine="textbook"),
    **{repr(cell): lambda cell=cell: Recurrent(cell, V, H, 2) for cell in CELLS + ZONED},
}


@pytest.mark.parametrize("name", LAYERS)
def test_states_and_predictions_are_the_models_own(name: str) -> None:
    model, tokens = model_of(LAYERS[name]()), TOKENS[:9]
    found = collect(model, tokens)
    logits, state = model(tokens.unsqueeze(0), model.begin_state(batch_size=1))
    close(found.logits, logits.detach())
    assert len(found.layers) == model.rnn.num_layers
    finals = [state] if isinstance(state, Tensor) else state
    for depth, layer in enumerate(found.layers):
        states = [quantity.values for quantity in layer if quantity.is_state]
        for value, kept, final in zip(states, found.states[depth], finals, strict=True):
            close(value[-1], final[depth, 0].detach())
            close(kept[1:], value)


def test_collecting_leaves_the_model_as_it_was_and_reports_every_step() -> None:
    model, steps = model_of(nn.LSTM(V, H, 2, batch_first=True)).train(), []
    collect(model, TOKENS, steps.append)
    assert sum(steps) == 2 * T
    assert model.training
    assert isinstance(model.rnn, nn.LSTM)
    assert model.rnn.batch_first
    assert all(p.requires_grad for p in model.parameters())
    assert layered(model).rnn is not model.rnn


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (lambda: nn.Linear(2, 2), TypeError, "expected an RNNModel or an RNNModelScratch, received Linear"),
        (lambda: RNNModel(nn.GRU(V, H, bidirectional=True), V), ValueError, "in both directions"),
        (
            lambda: RNNModelScratch(V, H, "cpu", *SCRATCH["rnn"][:2], lambda inputs, state, params: (inputs, state)),
            ValueError,
            "functions of scratch",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(model: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        collect(model(), TOKENS)


def test_an_empty_text_and_spoilt_parameters_are_refused() -> None:
    model = model_of(nn.GRU(V, H))
    with pytest.raises(ValueError, match="the text is empty"):
        collect(model, TOKENS[:0])
    with torch.no_grad():
        model.rnn.weight_ih_l0[0, 0] = float("nan")
    with pytest.raises(ValueError, match="r of layer 1 is not finite"):
        collect(model, TOKENS)


def whole_text_influence(model: RNNModel, targets: Tensor, span: int) -> Tensor:
    """By autograd through the whole text, prediction by prediction, and with torch.nn's or the textbook loop."""
    x = F.one_hot(TOKENS, V).double().requires_grad_()
    state = model.begin_state(batch_size=1)
    outputs, _ = model.rnn(x.unsqueeze(0 if model.rnn.batch_first else 1), state)
    p = model.linear(outputs.reshape(T, -1)).log_softmax(-1)
    expected = torch.zeros(T, span, dtype=torch.float64)
    for t in range(T):
        (gradient,) = torch.autograd.grad(p[t, targets[t]], x, retain_graph=True)
        for k in range(min(span, t + 1)):
            expected[t, k] = gradient[t - k].norm()
    return expected


@pytest.mark.parametrize("span", [1, 9, 100])
@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.GRU(V, H, 2),
        lambda: nn.LSTM(V, H, batch_first=True),
        lambda: GRU(V, H, reset_after=False),
        lambda: Recurrent(cells.LayerNormLSTMEquations, V, H, 2, engine="textbook"),
        lambda: Recurrent(cells.MGUEquations, V, H),
    ],
)
def test_influence_is_the_gradient_through_the_whole_text(
    layer: Any, span: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(influencing, "NUMBERS_AT_A_TIME", 7 * 10 * min(span, T))  # several batches, the last not full
    model, steps = model_of(layer()), []
    targets = TOKENS.roll(-1)
    found = influence(model, TOKENS, targets, collect(model, TOKENS), span, steps.append)
    close(found, whole_text_influence(model, targets, min(span, T)))
    assert sum(steps) == T
    assert len(steps) > 1
    assert found[0, 1:].eq(0).all()


def test_influence_is_on_the_vectors_of_an_embedding() -> None:
    layer = nn.GRU(H, H, 2)
    model = RNNModel(layer, V, embedding_size=H, dropout=0.5, tie_weights=True).double().eval()
    targets = TOKENS.roll(-1)
    collected = collect(model.train(), TOKENS)
    found = influence(model, TOKENS, targets, collected)
    model.eval()
    assert model.embedding is not None
    x = model.embedding(TOKENS).detach().requires_grad_()
    logits = model.linear(layer(x.unsqueeze(1))[0].squeeze(1))
    close(collected.logits, logits.detach())
    (gradient,) = torch.autograd.grad(logits[-1].log_softmax(-1)[targets[-1]], x)
    close(found[-1], gradient.norm(dim=1).flip(0))


def test_influence_is_the_slope_of_the_log_probability() -> None:
    """Without autograd: a small change of one input vector, in the direction of the gradient's largest entry."""
    model = model_of(nn.GRU(V, H))
    targets = TOKENS.roll(-1)
    found = influence(model, TOKENS, targets, collect(model, TOKENS))
    at, back, eps = 15, 3, 1e-6

    def log_p(change: Tensor) -> Tensor:
        x = F.one_hot(TOKENS[: at + 1], V).double()
        x[at - back] += change
        outputs, _ = model.rnn(x.unsqueeze(1))
        return model.linear(outputs[-1, 0]).log_softmax(-1)[targets[at]].detach()

    slopes = [(log_p(eps * e) - log_p(-eps * e)) / (2 * eps) for e in torch.eye(V, dtype=torch.float64)]
    torch.testing.assert_close(found[at, back], torch.stack(slopes).norm(), rtol=1e-6, atol=1e-9)


VOCAB = Vocab(list("time traveller"))


def test_an_exploration_holds_together() -> None:
    model, steps = RNNModel(nn.LSTM(len(VOCAB), H, 2), len(VOCAB)), []
    found = explore(model, VOCAB, "time traveller", report=steps.append)
    assert sum(steps) == count_steps(model, 14) == 3 * 14
    assert VOCAB.to_tokens(found.tokens.tolist()) == list("time traveller")
    assert VOCAB.to_tokens(found.targets[:-1].tolist()) == list("ime traveller")
    assert found.targets[-1] == found.probabilities[-1].argmax()
    torch.testing.assert_close(found.probabilities, found.collected.logits.softmax(-1))
    assert found.influence.shape == (14, 14)
    assert [[follows.shape for follows in layer] for layer in found.follows] == [[(6, H)] * 6] * 2


def test_one_character_is_a_text() -> None:
    found = explore(RNNModel(nn.GRU(len(VOCAB), H), len(VOCAB)), VOCAB, "t")
    assert found.influence.shape == (1, 1)
    assert float(found.influence) > 0


def test_texts_that_a_page_cannot_show(monkeypatch: pytest.MonkeyPatch) -> None:
    model = RNNModel(nn.GRU(len(VOCAB), H, 2), len(VOCAB))
    with pytest.raises(ValueError, match="the text is empty"):
        explore(model, VOCAB, "")
    with pytest.raises(ValueError, match=r"characters that the model's vocabulary lacks: 'x' 'Ω'$"):
        explore(model, VOCAB, "time Ωxx")
    with pytest.raises(ValueError, match="a page holds at most 10,000 of this model"):
        explore(model, VOCAB, "t" * 10_001)
    monkeypatch.setattr(exploring, "MOST_VALUES", 12 * 2 * H * 4)  # r, z, n and h of two layers
    with pytest.raises(ValueError, match=r"has 13 tokens.* at most 12 of this model \(2 x 5 units\)"):
        explore(model, VOCAB, "time travelle")
    explore(model, VOCAB, "time travell")
