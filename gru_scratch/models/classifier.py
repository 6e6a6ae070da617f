"""One label for a whole sequence: a recurrent layer reads it, and one vector, pooled from its outputs, is scored.

    last        the last layer's final state of each direction
    mean        the mean of the outputs
    attention   their sum, weighted by softmax(w_v . tanh(W_k h_t)): additive attention whose query is learnt

Only the steps within a sequence's length count.

Legend: ``B`` sequences, ``T`` steps, padding included, ``E`` embedding size, ``D`` size of the layer's outputs, ``C``
classes.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.layers.dropout import dropout
from gru_scratch.models.any_layer import final_outputs, run_ragged
from gru_scratch.scratch.attention import AdditiveAttention, valid_mask

POOLINGS = ("last", "mean", "attention")


class Classifier(nn.Module):
    """Scores of the classes from token numbers.

    Args:
        layer: any recurrent layer of input size `embedding_size`, in one or two directions, time first.
        vocab_size: the number of tokens.
        embedding_size: E, the size of the learnt vector of each token.
        num_classes: C, the number of classes.
        pooling: one of `POOLINGS`.
        dropout: the probability of zeroing a number of an embedding or of the pooled vector, in training.
    """

    def __init__(
        self,
        layer: nn.Module,
        vocab_size: int,
        embedding_size: int,
        num_classes: int,
        *,
        pooling: str = "last",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, received {pooling!r}")
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.rnn = cast(Any, layer)
        self.pooling, self.dropout = pooling, dropout
        size = self.rnn.hidden_size * (2 if self.rnn.bidirectional else 1)
        self.attention = AdditiveAttention(size, 1, size) if pooling == "attention" else None
        self.output = nn.Linear(size, num_classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (B, T) with lengths (B,), at least 1 → scores of the classes (B, C)."""
        return self.score(self.embedding(tokens.T), lengths)

    def score(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings (T, B, E) → scores of the classes (B, C)."""
        embedded = dropout(embedded, self.dropout, self.training, "quick")
        outputs, states = run_ragged(self.rnn, embedded, lengths)
        pooled = self.pool(outputs.transpose(0, 1), states, lengths)
        scores: Tensor = self.output(dropout(pooled, self.dropout, self.training, "quick"))
        return scores

    def pool(self, outputs: Tensor, states: tuple[Tensor, ...], lengths: Tensor) -> Tensor:
        """Outputs (B, T, D) and final states → one vector for each sequence, (B, D)."""
        if self.pooling == "last":
            return final_outputs(self.rnn, states)
        if self.attention is None:
            valid = valid_mask(lengths, outputs.shape[1]).unsqueeze(-1)  # (B, T, 1)
            return (outputs * valid).sum(1) / lengths.unsqueeze(1)
        query = outputs.new_ones(len(outputs), 1, 1)
        pooled: Tensor = self.attention(query, outputs, outputs, lengths)
        return pooled.squeeze(1)

    def loss(self, tokens: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of the labels (B,), in nats."""
        return F.cross_entropy(self(tokens, lengths), labels)

    def influence(self, tokens: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        """How much each token speaks for the label (B,) of its sequence: (B, T), in nats, zero past a sequence's end.

        To first order, it is how much log p(label) would fall if the token's embedding e became the mean embedding m of
        the vocabulary: the dot product of its gradient with respect to e and of e - m.
        """
        embedded = self.embedding(tokens.T).detach().requires_grad_()
        chosen = self.score(embedded, lengths).log_softmax(-1).gather(1, labels.unsqueeze(1)).sum()
        (gradient,) = torch.autograd.grad(chosen, embedded)
        difference = embedded.detach() - self.embedding.weight.detach().mean(0)
        influence: Tensor = (gradient * difference).sum(-1)
        return influence.T
