"""Sentences through a trained translator: their translations, with scores, and the weights of attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gru_scratch.generate.search import ALPHA, Hypothesis, TranslatorDecoding, beam_search, greedy_search
from gru_scratch.models.translator import Translator
from gru_scratch.text.pair_batches import BOS, EOS, Language, pad

SENTENCES_AT_A_TIME = 128
RESERVE = 20
"""A translation may have twice as many tokens as its source, and this many more."""


@dataclass(frozen=True)
class Translation:
    """A translation and how likely it is."""

    text: str
    tokens: list[int]
    """The tokens of the target language; the last is `<eos>`, unless the search ended before it."""
    log_probability: float
    score: float
    """The log-probability, normalised for the length."""


def decode_greedily(model: Translator, source: Tensor, lengths: Tensor) -> list[list[int]]:
    """The token indices of a translation of each source (B, S), by greedy search."""
    found = greedy_search(TranslatorDecoding(model, source, lengths), _first(source), max_steps=_most_steps(source))
    return [each.tokens for each in found]


def translate(
    model: Translator,
    source: Language,
    target: Language,
    sentences: Sequence[str],
    *,
    beam: int = 1,
    n_best: int = 1,
    alpha: float = ALPHA,
) -> list[list[Translation]]:
    """The `n_best` translations of each sentence, the best first; a beam of one is greedy search.

        translate(run.model, run.source, run.target, ["twenty-one"], beam=5, n_best=3)

    The model must be in evaluation mode. Words that the source vocabulary lacks are read as `<unk>`.

    Raises:
        ValueError: a sentence has no token; or as `beam_search`.
    """
    for sentence in sentences:
        if not source.tokens(sentence):
            raise ValueError(f"expected a sentence with at least one word, received {sentence!r}")
    device = next(model.parameters()).device
    numbered = [source.encode(sentence) for sentence in sentences]
    order = sorted(range(len(numbered)), key=lambda i: len(numbered[i]))
    found: list[list[Translation]] = [[] for _ in numbered]
    for start in range(0, len(order), SENTENCES_AT_A_TIME):
        places = order[start : start + SENTENCES_AT_A_TIME]
        rows, lengths = (each.to(device) for each in pad([numbered[i] for i in places]))
        decoding, steps = TranslatorDecoding(model, rows, lengths), _most_steps(rows)
        hypotheses = beam_search(decoding, _first(rows), beam=beam, n_best=n_best, max_steps=steps, alpha=alpha)
        for place, each in zip(places, hypotheses, strict=True):
            found[place] = [_translation(target, hypothesis) for hypothesis in each]
    return found


def attention(
    model: Translator, source: Language, target: Language, sentence: str, translation: Translation
) -> tuple[list[str], list[str], Tensor]:
    """The tokens of a sentence, those of its translation, both with `<eos>`, and the attention weights (T, S).

    Raises:
        ValueError: the model has no attention.
    """
    device = next(model.parameters()).device
    rows, lengths = (each.to(device) for each in pad([source.encode(sentence)]))
    said = torch.tensor([[BOS, *translation.tokens[:-1]]], device=device)
    with torch.inference_mode():
        weights = model.attention_weights(rows, lengths, said)[0].cpu()
    return [*source.tokens(sentence), source.vocab.to_tokens(EOS)], target.vocab.to_tokens(translation.tokens), weights


def _translation(target: Language, found: Hypothesis) -> Translation:
    return Translation(target.decode(found.tokens), found.tokens, found.log_probability, found.score)


def _first(source: Tensor) -> Tensor:
    return torch.full((len(source),), BOS, device=source.device)


def _most_steps(source: Tensor) -> int:
    return 2 * source.shape[1] + RESERVE
