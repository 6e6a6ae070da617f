"""The translator: values against a plain loop, padding, gradients, and its attention."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.cells import CELLS
from gru_scratch.layers import GRU, LSTM, Recurrent
from gru_scratch.models.translator import DECODERS, Encoder, Translator, masked_cross_entropy
from gru_scratch.text.pair_batches import BOS, EOS, PAD, NumberedPair, PairBatch, batch_of

V, E, H = 9, 5, 6
PAIRS = [
    NumberedPair([4, 5, 6, EOS], [7, 8, EOS]),
    NumberedPair([5, EOS], [4, 5, 6, 7, EOS]),
    NumberedPair([8, 7, 6, 5, 4, EOS], [EOS]),
]


def make(decoder: str, layer: type[nn.Module] = GRU, *, directions: int = 1, layers: int = 1) -> Translator:
    encoder = Encoder(layer(E, H, num_layers=layers, bidirectional=directions == 2), V, E)
    kind = DECODERS[decoder]
    model = Translator(encoder, kind(layer(kind.input_size(encoder, E), H, num_layers=layers), encoder, V, E))
    return model.double()


def scores(model: Translator, batch: PairBatch) -> Tensor:
    result: Tensor = model(batch.source, batch.source_lengths, batch.target_in)
    return result


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("layer", [GRU, LSTM])
def test_our_layers_and_those_of_torch_nn_give_the_same(decoder: str, directions: int, layer: type[nn.Module]) -> None:
    ours = make(decoder, layer, directions=directions, layers=2)
    theirs = make(decoder, {GRU: nn.GRU, LSTM: nn.LSTM}[layer], directions=directions, layers=2)
    theirs.load_state_dict(ours.state_dict())
    batch = batch_of(PAIRS)
    torch.testing.assert_close(scores(ours, batch), scores(theirs, batch))
    ours.loss(batch).backward()
    theirs.loss(batch).backward()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("directions", [1, 2])
def test_padding_changes_nothing(decoder: str, directions: int) -> None:
    """Each pair alone, without padding, and all in one batch with more of it than they need."""
    model = make(decoder, directions=directions)
    batch = batch_of(PAIRS)
    more = PairBatch(
        F.pad(batch.source, (0, 3), value=PAD),
        batch.source_lengths,
        F.pad(batch.target_in, (0, 2), value=PAD),
        F.pad(batch.target_out, (0, 2), value=PAD),
    )
    assert model.loss(more).item() == pytest.approx(model.loss(batch).item(), rel=1e-12)
    together = scores(model, more)
    losses, count = torch.zeros((), dtype=torch.float64), 0
    for row, pair in enumerate(PAIRS):
        alone = batch_of([pair])
        torch.testing.assert_close(together[row : row + 1, : len(pair.target)], scores(model, alone))
        losses, count = losses + model.loss(alone) * len(pair.target), count + len(pair.target)
    assert model.loss(batch).item() == pytest.approx(float(losses.detach()) / count, rel=1e-12)


def test_bahdanau_asks_before_the_step_and_luong_after_it() -> None:
    """Both decoders written as a plain loop over one pair, equation by equation."""
    source, target = torch.tensor([PAIRS[2].source]), torch.tensor([[BOS, 4, 5, 6]])
    lengths = torch.tensor([6])
    for name in ("bahdanau", "luong"):
        model = make(name)
        parts = model.decoder
        memory, (h,) = model.encode(source, lengths)
        loop, read = [], []
        for token in target[0]:
            y = parts.embedding(token)
            if name == "bahdanau":
                score = parts.attention.w_v(
                    torch.tanh(parts.attention.W_q(h[0, 0]) + parts.attention.W_k(memory.values[0]))
                )[:, 0]
                weight = score.softmax(0)
                x = torch.cat([y, weight @ memory.values[0]])
                _, h = parts.rnn(x[None, None], h)
                feature = h[0, 0]
            else:
                _, h = parts.rnn(y[None, None], h)
                weight = (parts.attention.W(memory.values[0]) @ h[0, 0]).softmax(0)
                feature = torch.tanh(parts.combine(torch.cat([weight @ memory.values[0], h[0, 0]])))
            read.append(weight)
            loop.append(parts.output(feature))
        torch.testing.assert_close(model(source, lengths, target)[0], torch.stack(loop))
        torch.testing.assert_close(model.attention_weights(source, lengths, target)[0], torch.stack(read))


@pytest.mark.parametrize("decoder", DECODERS)
def test_gradients_are_those_of_finite_differences(decoder: str) -> None:
    model, batch = make(decoder), batch_of(PAIRS)
    model.loss(batch).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        flat, place = parameter.data.view(-1), int(parameter.grad.abs().argmax())
        before, losses = float(flat[place]), []
        for step in (1e-6, -1e-6):
            flat[place] = before + step
            losses.append(model.loss(batch).item())
        flat[place] = before
        assert parameter.grad.view(-1)[place].item() == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-7), name


@pytest.mark.parametrize("decoder", ["bahdanau", "luong"])
def test_attention_reads_the_source_alone(decoder: str) -> None:
    model, batch = make(decoder, directions=2), batch_of(PAIRS)
    weights = model.attention_weights(batch.source, batch.source_lengths, batch.target_in)
    assert weights.shape == (3, 5, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 5).double())
    for row, length in enumerate(batch.source_lengths):
        assert float(weights[row, :, length:].detach().abs().sum()) == 0


def test_a_model_without_attention_says_so() -> None:
    model, batch = make("none"), batch_of(PAIRS)
    with pytest.raises(ValueError, match="this model has no attention"):
        model.attention_weights(batch.source, batch.source_lengths, batch.target_in)


@pytest.mark.parametrize("cell", CELLS)
def test_any_cell_translates(cell: str) -> None:
    encoder = Encoder(Recurrent(CELLS[cell], E, H, bidirectional=True), V, E)
    kind = DECODERS["luong"]
    model = Translator(encoder, kind(Recurrent(CELLS[cell], kind.input_size(encoder, E), H), encoder, V, E))
    model.loss(batch_of(PAIRS)).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_loss_is_a_mean_over_tokens_that_are_not_padding() -> None:
    scores, target = torch.randn(2, 3, V), torch.tensor([[4, 5, EOS], [EOS, PAD, PAD]])
    p = scores.log_softmax(-1)
    by_hand = -(p[0, 0, 4] + p[0, 1, 5] + p[0, 2, EOS] + p[1, 0, EOS]) / 4
    torch.testing.assert_close(masked_cross_entropy(scores, target), by_hand)
