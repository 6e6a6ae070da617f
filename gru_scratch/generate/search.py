"""The likeliest sequence from a model that predicts one token after another: greedy and beam search, batched.

A hypothesis is a sequence that ends with `<eos>`; its score is its log-probability, normalised by its length,

    score(y) = log p(y) / ((5 + |y|) / 6) ** alpha                      (Wu et al., 2016, arXiv:1609.08144)

since every further token lowers log p(y), so that without it the shortest translation would win.

Legend: ``B`` sources, ``K`` hypotheses of each that are followed, ``V`` vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gru_scratch.generate.sampling import check_whole
from gru_scratch.models.translator import Translator
from gru_scratch.text.pair_batches import BOS, EOS, PAD

ALPHA = 0.6


@dataclass(frozen=True)
class Hypothesis:
    """A sequence and how likely it is."""

    tokens: list[int]
    """The token indices, without `<bos>`; the last is `<eos>`, unless the search ended before it."""
    log_probability: float
    """The log-probability of all tokens together, in nats."""
    score: float
    """The log-probability, normalised for the length: higher is better."""


class Decoding(Protocol):
    """A model during a search, with the states of all hypotheses that are followed."""

    def step(self, tokens: Tensor) -> Tensor:
        """Read the last token of each hypothesis, (B, K) → log-probabilities of the next, (B, K, V)."""

    def reorder(self, sources: Tensor, hypotheses: Tensor) -> None:
        """Keep only the sources with these indices, (B',), and of each the hypotheses with these, (B', K')."""


class TranslatorDecoding:
    """A translator and its sources: they are encoded once; their states are then reordered, not computed again."""

    @torch.inference_mode()
    def __init__(self, model: Translator, source: Tensor, lengths: Tensor) -> None:
        self.decoder, self.beam = model.decoder, 1
        self.memory, self.states = model.encode(source, lengths)

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        self.beam = tokens.shape[1]
        scores, self.states = self.decoder(tokens.reshape(-1, 1), self.states, self.memory)
        scores[..., [PAD, BOS]] = -math.inf
        log_probabilities: Tensor = scores.log_softmax(-1).view(*tokens.shape, -1)
        return log_probabilities

    @torch.inference_mode()
    def reorder(self, sources: Tensor, hypotheses: Tensor) -> None:
        if len(sources) < len(self.memory.lengths):
            self.memory = self.memory.select(sources)
        rows = (sources.unsqueeze(1) * self.beam + hypotheses).flatten()
        self.states = tuple(state.index_select(1, rows) for state in self.states)


def greedy_search(decoding: Decoding, first: Tensor, *, max_steps: int, alpha: float = ALPHA) -> list[Hypothesis]:
    """The hypothesis of each source that takes the likeliest token at every step.

    Args:
        decoding: the model and its sources.
        first: the tokens to begin with, (B,): `<bos>`.
        max_steps: the most tokens of a hypothesis.
        alpha: the exponent of the length normalisation.
    """
    _check(1, 1, max_steps, alpha)
    going = torch.arange(len(first), device=first.device)  # sources whose hypothesis has not ended
    total = torch.zeros(len(first), device=first.device)
    said: list[list[int]] = [[] for _ in range(len(first))]
    tokens = first
    for _ in range(max_steps):
        best, tokens = decoding.step(tokens.unsqueeze(1))[:, 0].max(-1)
        total[going] += best
        for place, token in zip(going.tolist(), tokens.tolist(), strict=True):
            said[place].append(token)
        goes_on = (tokens != EOS).nonzero().flatten()
        if not len(goes_on):
            break
        if len(goes_on) < len(going):
            decoding.reorder(goes_on, torch.zeros_like(goes_on).unsqueeze(1))
        going, tokens = going[goes_on], tokens[goes_on]
    return [_hypothesis(tokens, float(p), alpha) for tokens, p in zip(said, total, strict=True)]


def beam_search(
    decoding: Decoding, first: Tensor, *, beam: int, n_best: int = 1, max_steps: int, alpha: float = ALPHA
) -> list[list[Hypothesis]]:
    """The `n_best` hypotheses of each source, best first, from following its `beam` likeliest beginnings.

    A source is done when no beginning can come to score higher than the worst of its `n_best`. Where fewer have ended
    after `max_steps`, beginnings fill up the number. The other arguments are those of `greedy_search`.

    Raises:
        ValueError, TypeError: `beam`, `n_best`, `max_steps` or `alpha` is out of its range, or no number.
    """
    _check(beam, n_best, max_steps, alpha)
    ended: list[list[Hypothesis]] = [[] for _ in range(len(first))]
    going = torch.arange(len(first), device=first.device)
    total = torch.zeros(len(first), 1, device=first.device)  # (B, K), log-probabilities; -inf: no beginning
    tokens = first.unsqueeze(1)  # (B, K)
    said = tokens.new_empty(len(first), 1, 0)  # (B, K, steps)
    for _ in range(max_steps):
        scores = decoding.step(tokens) + total.unsqueeze(-1)  # (B, K, V)
        candidates, place = scores.flatten(1).topk(min(2 * beam, scores[0].numel()))
        origin, token = place // scores.shape[-1], place % scores.shape[-1]
        ends = token == EOS
        for row, column in (ends & candidates.isfinite())[:, :beam].nonzero().tolist():
            tokens_before = said[row, origin[row, column]].tolist()
            ended[going[row]].append(_hypothesis([*tokens_before, EOS], float(candidates[row, column]), alpha))
        total, order = candidates.masked_fill(ends, -math.inf).topk(min(beam, candidates.shape[1]))
        origin, tokens = origin.gather(1, order), token.gather(1, order)
        attainable = total[:, 0] / _penalty(max_steps, alpha)
        worst = torch.tensor([_worst(ended[source], n_best) for source in going.tolist()], device=first.device)
        goes_on = (attainable > worst).nonzero().flatten()
        said = torch.cat(
            [said.gather(1, origin.unsqueeze(-1).expand(-1, -1, said.shape[-1])), tokens.unsqueeze(-1)], -1
        )
        going, total, tokens, said = going[goes_on], total[goes_on], tokens[goes_on], said[goes_on]
        if not len(going):
            break
        decoding.reorder(goes_on, origin[goes_on])
    for row, source in enumerate(going.tolist()):
        followed = [_hypothesis(y, p, alpha) for y, p in zip(said[row].tolist(), total[row].tolist(), strict=True)]
        ended[source] += [each for each in followed if math.isfinite(each.score)][: max(0, n_best - len(ended[source]))]
    return [sorted(found, key=lambda each: -each.score)[:n_best] for found in ended]


def _hypothesis(tokens: list[int], log_probability: float, alpha: float) -> Hypothesis:
    return Hypothesis(tokens, log_probability, log_probability / _penalty(len(tokens), alpha))


def _penalty(length: int, alpha: float) -> float:
    return ((5 + length) / 6) ** alpha  # type: ignore[no-any-return]  # of a positive number


def _worst(ended: list[Hypothesis], n_best: int) -> float:
    """The score that a further hypothesis has to exceed to be among the best."""
    return sorted((each.score for each in ended), reverse=True)[n_best - 1] if len(ended) >= n_best else -math.inf


def _check(beam: int, n_best: int, max_steps: int, alpha: float) -> None:
    check_whole("beam", beam, least=1)
    check_whole("n_best", n_best, least=1)
    check_whole("max_steps", max_steps, least=1)
    if n_best > beam:
        raise ValueError(f"n_best must be at most the beam, {beam}, received {n_best}")
    if not (math.isfinite(alpha) and alpha >= 0):
        raise ValueError(f"alpha must be a finite number of at least 0, received {alpha}")
