"""What both editions share about translation: bases of models, attention that keeps its weights, decoding, BLEU."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gru_scratch.scratch import attention
from gru_scratch.scratch.attention import masked_softmax

__all__ = [
    "AttentionDecoder",
    "Decoder",
    "DotProductAttention",
    "Encoder",
    "KeepsWeights",
    "bleu_score",
    "greedy",
    "masked_softmax",
]


class Encoder(nn.Module):
    """Base of encoders: a subclass defines `forward`."""

    def forward(self, X: Tensor, *args: Any) -> Any:
        """Token numbers X (B, T), and in `args` their valid lengths, if any → what the decoder's `init_state` takes."""
        raise NotImplementedError(f"{type(self).__name__} has to define forward(X, *args)")


class Decoder(nn.Module):
    """Base of decoders: a subclass defines `init_state` and `forward`."""

    def init_state(self, enc_all_outputs: Any, *args: Any) -> Any:
        """The state to start from, given what the encoder returned."""
        raise NotImplementedError(f"{type(self).__name__} has to define init_state(enc_all_outputs, *args)")

    def forward(self, X: Tensor, state: Any) -> Any:
        """The scores (B, T, V) of the tokens that follow X (B, T), and the state to go on from."""
        raise NotImplementedError(f"{type(self).__name__} has to define forward(X, state)")


class AttentionDecoder(Decoder):
    """Base of decoders that read the encoder's outputs: a subclass defines the property `attention_weights`, too."""

    @property
    def attention_weights(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has to define the property attention_weights")


class KeepsWeights(attention.Attention):
    """An attention of the library that keeps the weights of its last call."""

    attention_weights: Tensor

    def weights(self, queries: Tensor, projected: Tensor, valid_lens: Tensor | None = None) -> Tensor:
        self.attention_weights = super().weights(queries, projected, valid_lens)
        return self.attention_weights


class DotProductAttention(KeepsWeights, attention.ScaledDotAttention):
    """Scaled dot products; `attention_weights` are those of the last call."""


def greedy(decoder: Any, first: Tensor, state: Any) -> Iterator[Tensor]:
    """The likeliest token after `first` (B, 1), the one after that, ...: each (B, 1), without end."""
    tokens = first
    while True:
        with torch.no_grad():
            scores, state = decoder(tokens, state)  # (B, 1, V)
        tokens = scores.argmax(dim=2)
        yield tokens


def bleu_score(predicted: str, label: str, longest: int, joint: str) -> float:
    """The book's BLEU of a sentence against one other, from n-grams of up to `longest` words.

        exp(min(0, 1 - words of label / words of predicted)) * product over n of p_n ^ (1 / 2^n)

    p_n is the share of the predicted n-grams that the label has, each as often as the label has it; n-grams count as
    the same that are the same string once `joint` has joined their words.
    """
    words, its_words = predicted.split(" "), label.split(" ")
    score = math.exp(min(0, 1 - len(its_words) / len(words)))
    for n in range(1, min(longest, len(words)) + 1):
        grams, its_grams = (
            Counter(joint.join(text[i : i + n]) for i in range(len(text) - n + 1)) for text in (words, its_words)
        )
        score *= ((grams & its_grams).total() / grams.total()) ** 0.5**n
    return score
