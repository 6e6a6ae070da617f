"""The classifier: pooling by hand, padding, gradients, what moved a decision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.layers import GRU, LSTM
from gru_scratch.models.classifier import POOLINGS, Classifier

V, E, H, C = 9, 5, 6, 3
TOKENS = torch.tensor([[4, 5, 6, 7], [8, 1, 1, 1], [7, 6, 1, 1]])
LENGTHS = torch.tensor([4, 1, 2])
LABELS = torch.tensor([0, 2, 1])


def make(pooling: str, layer: type[nn.Module] = GRU, directions: int = 2) -> Classifier:
    return Classifier(layer(E, H, bidirectional=directions == 2), V, E, C, pooling=pooling).double().eval()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("layer", [GRU, LSTM])
@pytest.mark.parametrize("directions", [1, 2])
def test_our_layers_and_those_of_torch_nn_give_the_same(pooling: str, layer: type[nn.Module], directions: int) -> None:
    ours, theirs = make(pooling, layer, directions), make(pooling, {GRU: nn.GRU, LSTM: nn.LSTM}[layer], directions)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(TOKENS, LENGTHS), theirs(TOKENS, LENGTHS))


def by_hand(model: Classifier, tokens: Tensor) -> Tensor:
    """The scores of one sequence (T,) without padding."""
    outputs, state = model.rnn(model.embedding(tokens).unsqueeze(1))
    outputs = outputs[:, 0]
    if model.pooling == "last":
        return model.output(torch.cat(list(state[:, 0])))  # type: ignore[no-any-return]
    weights = torch.full((len(tokens),), 1 / len(tokens), dtype=outputs.dtype)
    if model.attention is not None:
        features = torch.tanh(model.attention.W_q.weight[:, 0] + outputs @ model.attention.W_k.weight.T)
        weights = (features @ model.attention.w_v.weight[0]).softmax(0)
    return model.output(weights @ outputs)  # type: ignore[no-any-return]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_nothing(pooling: str) -> None:
    model = make(pooling)
    padded = F.pad(TOKENS, (0, 3), value=1)
    scores = model(padded, LENGTHS)
    torch.testing.assert_close(scores, model(TOKENS, LENGTHS))
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(scores[row], by_hand(model, TOKENS[row, :length]))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_are_those_of_finite_differences(pooling: str) -> None:
    model = make(pooling)
    model.loss(TOKENS, LENGTHS, LABELS).backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        flat, place = parameter.data.view(-1), int(parameter.grad.abs().argmax())
        before, losses = float(flat[place]), []
        for step in (1e-6, -1e-6):
            flat[place] = before + step
            losses.append(model.loss(TOKENS, LENGTHS, LABELS).item())
        flat[place] = before
        assert parameter.grad.view(-1)[place].item() == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-7), name


@pytest.mark.parametrize("pooling", POOLINGS)
def test_influence_is_what_a_small_change_towards_the_average_token_does(pooling: str) -> None:
    model = make(pooling)
    found = model.influence(TOKENS, LENGTHS, LABELS)
    assert found.shape == TOKENS.shape
    embedded, mean, step = model.embedding(TOKENS.T).detach(), model.embedding.weight.detach().mean(0), 1e-6
    before = model.score(embedded, LENGTHS).log_softmax(-1)
    for row in range(3):
        for t in range(4):
            changed = embedded.clone()
            changed[t, row] += step * (mean - embedded[t, row])
            after = model.score(changed, LENGTHS).log_softmax(-1)
            fall = (before - after)[row, LABELS[row]].item() / step
            assert found[row, t].item() == pytest.approx(fall, abs=1e-5)
    assert found[1, 1:].tolist() == [0, 0, 0]


def test_an_unknown_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="pooling must be one of last, mean, attention, received 'max'"):
        make("max")
