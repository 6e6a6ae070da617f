"""Attention: a query reads the values whose keys match it ("Dive into Deep Learning" 0.17, sections 10.2 to 10.4).

    score(q, k) = w_v . tanh(W_q q + W_k k)                 additive        (Bahdanau et al., 2015, arXiv:1409.0473)
    score(q, k) = q . k                                     dot             (Luong et al., 2015, arXiv:1508.04025)
    score(q, k) = q . W k                                   general         (Luong et al., 2015)
    score(q, k) = q . k / sqrt(D)                           scaled dot      (Vaswani et al., 2017, arXiv:1706.03762)

    weight(q, k_i) = exp(score(q, k_i)) / sum_j exp(score(q, k_j))      over the valid keys k_j
    context(q) = sum_i weight(q, k_i) v_i

Shapes, for B sequences, each with Q queries and K pairs of a key and a value:

    queries (B, Q, D_q)     keys (B, K, D_k)        values (B, K, D_v)      valid_lens (B,) or (B, Q)
    scores (B, Q, K)        weights (B, Q, K)       context (B, Q, D_v)
    W_q (H, D_q)            W_k (H, D_k)            w_v (1, H)              W (D_q, D_k)

In translation a query is the decoder's hidden state, keys and values are the encoder's outputs, and `valid_lens` says
how many of them are words rather than padding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def valid_mask(valid_lens: Tensor, num_steps: int) -> Tensor:
    """A mask with a new last axis of size `num_steps`: true at the first `valid_lens` places."""
    return torch.arange(num_steps, device=valid_lens.device) < valid_lens[..., None]


def masked_softmax(X: Tensor, valid_lens: Tensor | None = None) -> Tensor:
    """The softmax of the scores X (B, Q, K) over the valid keys; the other keys weigh 0.

    Args:
        X: the score of each query with each key; it is not changed.
        valid_lens: how many keys, from the first on, are valid: (B,), one number for all queries of a sequence, or
            (B, Q), one for each query; None: all. A query without a valid key gives all K keys the same weight.

    Returns:
        The weights (B, Q, K); each row sums to 1.

    Raises:
        ValueError: the shape of `valid_lens` does not fit `X`.
    """
    if valid_lens is None:
        return torch.softmax(X, dim=-1)
    if valid_lens.shape not in (X.shape[:1], X.shape[:2]):
        raise ValueError(
            f"scores of shape {tuple(X.shape)} need valid lengths of shape {tuple(X.shape[:1])} or "
            f"{tuple(X.shape[:2])}, received {tuple(valid_lens.shape)}"
        )
    valid = valid_mask(valid_lens, X.shape[-1])  # (B, K) or (B, Q, K)
    if valid.dim() == 2:
        valid = valid[:, None]  # (B, 1, K)
    return torch.softmax(X.masked_fill(~valid, torch.finfo(X.dtype).min), dim=-1)


class Attention(nn.Module):
    """The base of attention modules: a subclass defines `scores`, and `project` if keys are projected first.

        attention = AdditiveAttention(key_size=32, query_size=24, num_hiddens=16)
        context = attention(queries, keys, values, valid_lens)      # (B, Q, D_v)
        weights = attention.weights(queries, attention.project(keys), valid_lens)       # (B, Q, K)

    Args:
        dropout: the probability of zeroing a weight before it weighs its value, in training.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def project(self, keys: Tensor) -> Tensor:
        """The keys in the form that `scores` compares queries with; a decoder computes it once for all steps."""
        return keys

    def scores(self, queries: Tensor, projected: Tensor) -> Tensor:
        """How well each query matches each projected key: (B, Q, K)."""
        raise NotImplementedError(f"{type(self).__name__} has to say how well a key matches a query: define `scores`")

    def weights(self, queries: Tensor, projected: Tensor, valid_lens: Tensor | None = None) -> Tensor:
        """How much of each value each query reads: (B, Q, K), each row a distribution over the valid keys."""
        return masked_softmax(self.scores(queries, projected), valid_lens)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, valid_lens: Tensor | None = None) -> Tensor:
        weights = self.weights(queries, self.project(keys), valid_lens)
        context: Tensor = self.dropout(weights) @ values  # (B, Q, D_v)
        return context


class AdditiveAttention(Attention):
    """score(q, k) = w_v . tanh(W_q q + W_k k): queries and keys may have different sizes."""

    def __init__(self, key_size: int, query_size: int, num_hiddens: int, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.W_k = nn.Linear(key_size, num_hiddens, bias=False)
        self.W_q = nn.Linear(query_size, num_hiddens, bias=False)
        self.w_v = nn.Linear(num_hiddens, 1, bias=False)

    def project(self, keys: Tensor) -> Tensor:
        projected: Tensor = self.W_k(keys)  # (B, K, H)
        return projected

    def scores(self, queries: Tensor, projected: Tensor) -> Tensor:
        features = torch.tanh(self.W_q(queries)[:, :, None] + projected[:, None])  # (B, Q, K, H)
        scores: Tensor = self.w_v(features).squeeze(-1)  # (B, Q, K)
        return scores


class DotAttention(Attention):
    """score(q, k) = q . k: queries and keys have one size, and nothing is learnt."""

    def scores(self, queries: Tensor, projected: Tensor) -> Tensor:
        return queries @ projected.transpose(1, 2)


class ScaledDotAttention(DotAttention):
    """score(q, k) = q . k / sqrt(D): the variance of the scores does not grow with D, the size of queries and keys."""

    def scores(self, queries: Tensor, projected: Tensor) -> Tensor:
        return super().scores(queries, projected) / math.sqrt(queries.shape[-1])


class GeneralAttention(DotAttention):
    """score(q, k) = q . W k: `DotAttention` with keys that are projected to the size of the queries."""

    def __init__(self, key_size: int, query_size: int, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.W = nn.Linear(key_size, query_size, bias=False)

    def project(self, keys: Tensor) -> Tensor:
        projected: Tensor = self.W(keys)  # (B, K, D_q)
        return projected
