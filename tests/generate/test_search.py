"""Greedy and beam search, against the enumeration of all sequences of a toy model, and on a translator."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from gru_scratch.generate.search import Hypothesis, TranslatorDecoding, beam_search, greedy_search
from gru_scratch.layers import GRU, LSTM
from gru_scratch.models.translator import DECODERS, Encoder, Translator
from gru_scratch.text.pair_batches import BOS, EOS

TOKENS = 6
STEPS = 4


class Toy:
    """Log-probabilities from a table that knows the last two tokens: a state to carry, of several sources at once."""

    def __init__(self, tables: Tensor) -> None:
        self.tables = tables.log_softmax(-1)  # (B, V, V, V)
        self.before = torch.zeros(len(tables), 1, dtype=torch.long)

    def step(self, tokens: Tensor) -> Tensor:
        rows = torch.arange(len(tokens)).unsqueeze(1)
        scores = self.tables[rows, self.before, tokens]
        self.before = tokens
        return scores

    def reorder(self, sources: Tensor, hypotheses: Tensor) -> None:
        self.tables = self.tables[sources]
        self.before = self.before[sources].gather(1, hypotheses)


def toys(count: int = 5) -> Tensor:
    tables = 2 * torch.randn(count, TOKENS, TOKENS, TOKENS)
    tables[..., [1, BOS]] = -math.inf
    return tables


def start(count: int) -> Tensor:
    return torch.full((count,), BOS)


def every_sequence(table: Tensor, alpha: float) -> list[Hypothesis]:
    """All sequences of up to `STEPS` tokens that end, the best first."""
    table, found = table.log_softmax(-1), []
    words = [t for t in range(TOKENS) if t not in (1, BOS, EOS)]
    for length in range(STEPS):
        for said in itertools.product(words, repeat=length):
            tokens = [0, BOS, *said, EOS]
            p = sum(float(table[tokens[i], tokens[i + 1], tokens[i + 2]]) for i in range(len(tokens) - 2))
            found.append(Hypothesis(tokens[2:], p, p / ((5 + length + 1) / 6) ** alpha))
    return sorted(found, key=lambda each: -each.score)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_wide_beam_finds_the_best_of_all_sequences(alpha: float) -> None:
    tables = toys()
    found = beam_search(Toy(tables), start(5), beam=150, n_best=7, max_steps=STEPS, alpha=alpha)
    for table, hypotheses in zip(tables, found, strict=True):
        expected = every_sequence(table, alpha)[:7]
        assert [each.tokens for each in hypotheses] == [each.tokens for each in expected]
        for ours, theirs in zip(hypotheses, expected, strict=True):
            assert ours.score == pytest.approx(theirs.score, abs=1e-5)
            assert ours.log_probability == pytest.approx(theirs.log_probability, abs=1e-5)


def test_length_normalisation_prefers_longer_sequences() -> None:
    tables = toys(40)
    lengths = [
        sum(len(each[0].tokens) for each in beam_search(Toy(tables), start(40), beam=60, max_steps=STEPS, alpha=alpha))
        for alpha in (0.0, 1.0, 3.0)
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


def test_a_beam_of_one_is_greedy() -> None:
    tables = toys(30)
    greedy = greedy_search(Toy(tables), start(30), max_steps=STEPS)
    beam = [found[0] for found in beam_search(Toy(tables), start(30), beam=1, max_steps=STEPS)]
    for ours, theirs in zip(beam, greedy, strict=True):
        assert ours.tokens == theirs.tokens
        assert ours.log_probability == pytest.approx(theirs.log_probability, abs=1e-6)
    assert any(each.tokens[-1] != EOS for each in greedy)  # the end of the search, not of the sequence
    assert any(len(each.tokens) == 1 for each in greedy)


def test_what_has_not_ended_fills_up_the_number() -> None:
    table = torch.zeros(1, TOKENS, TOKENS, TOKENS)
    table[..., EOS] = -math.inf
    (found,) = beam_search(Toy(table), start(1), beam=3, n_best=3, max_steps=2)
    assert [len(each.tokens) for each in found] == [2, 2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "beam must be at least 1, received 0"),
        ({"beam": -2}, "beam must be at least 1, received -2"),
        ({"beam": 2, "n_best": 3}, "n_best must be at most the beam, 2, received 3"),
        ({"beam": 2, "n_best": 0}, "n_best must be at least 1, received 0"),
        ({"beam": 2, "alpha": -1.0}, "alpha must be a finite number of at least 0, received -1.0"),
    ],
)
def test_options_out_of_range(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        beam_search(Toy(toys(1)), start(1), max_steps=3, **options)  # type: ignore[arg-type]


def small_translator(decoder: str, layer: type = GRU) -> Translator:
    encoder = Encoder(layer(5, 7, num_layers=2, bidirectional=True), 9, 5)
    kind = DECODERS[decoder]
    return Translator(encoder, kind(layer(kind.input_size(encoder, 4), 7, num_layers=2), encoder, 8, 4)).eval()


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("layer", [GRU, LSTM])
def test_a_beam_carries_what_a_call_over_the_whole_target_computes(decoder: str, layer: type) -> None:
    """The log-probability of each hypothesis, from states that were reordered, is that of teacher forcing."""
    model = small_translator(decoder, layer)
    for parameter in model.parameters():
        parameter.data.mul_(3)
    source, lengths = torch.randint(4, 9, (6, 5)), torch.tensor([5, 2, 4, 1, 5, 3])
    found = beam_search(TranslatorDecoding(model, source, lengths), start(6), beam=4, n_best=4, max_steps=6)
    for row, hypotheses in enumerate(found):
        for each in hypotheses:
            target = torch.tensor([[BOS, *each.tokens[:-1]]])
            scores = model(source[row : row + 1], lengths[row : row + 1], target)
            scores[..., [1, BOS]] = -math.inf
            p = scores.detach().log_softmax(-1)[0].gather(1, torch.tensor(each.tokens).unsqueeze(1)).sum()
            assert each.log_probability == pytest.approx(float(p), abs=1e-4)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_beam_of_one_is_greedy_with_a_translator_too(decoder: str) -> None:
    model = small_translator(decoder)
    source, lengths = torch.randint(4, 9, (9, 5)), torch.tensor([5, 2, 4, 1, 5, 3, 2, 2, 5])
    greedy = greedy_search(TranslatorDecoding(model, source, lengths), start(9), max_steps=8)
    beam = beam_search(TranslatorDecoding(model, source, lengths), start(9), beam=1, max_steps=8)
    assert [each[0].tokens for each in beam] == [each.tokens for each in greedy]
