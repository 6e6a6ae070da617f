"""Decoders that a reader of edition 0.17 may write, each a function of the package `d2l` that it is written for."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

EMBEDDING, HIDDENS, LAYERS = 8, 12, 2


def plain_decoder(d2l: ModuleType, vocab_size: int, dropout: float = 0.0) -> nn.Module:
    """Section 9.7: the encoder's last state is the context of every step."""

    class PlainDecoder(d2l.Decoder):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(vocab_size, EMBEDDING)
            self.rnn = nn.GRU(EMBEDDING + HIDDENS, HIDDENS, LAYERS, dropout=dropout)
            self.scores = nn.Linear(HIDDENS, vocab_size)

        def init_state(self, enc_outputs: tuple[Tensor, Tensor], *args: Any) -> Tensor:
            return enc_outputs[1]

        def forward(self, X: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            words = self.embedding(X.T)  # (T, B, E)
            context = state[-1].expand(len(words), -1, -1)  # (T, B, H)
            hiddens, state = self.rnn(torch.cat([words, context], dim=-1), state)
            return self.scores(hiddens).transpose(0, 1), state

    return PlainDecoder()


def attending_decoder(d2l: ModuleType, vocab_size: int, dropout: float = 0.0) -> nn.Module:
    """Section 10.4: the context of a step is what attention reads of the encoder's outputs."""

    class AttendingDecoder(d2l.AttentionDecoder):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.attention = d2l.AdditiveAttention(HIDDENS, HIDDENS, HIDDENS, dropout)
            self.embedding = nn.Embedding(vocab_size, EMBEDDING)
            self.rnn = nn.GRU(EMBEDDING + HIDDENS, HIDDENS, LAYERS, dropout=dropout)
            self.scores = nn.Linear(HIDDENS, vocab_size)
            self.seen: list[Tensor] = []

        @property
        def attention_weights(self) -> list[Tensor]:
            return self.seen

        def init_state(self, enc_outputs: tuple[Tensor, Tensor], valid_lens: Tensor, *args: Any) -> Any:
            outputs, hidden = enc_outputs
            return outputs.transpose(0, 1), hidden, valid_lens

        def forward(self, X: Tensor, state: Any) -> tuple[Tensor, Any]:
            outputs, hidden, valid_lens = state
            self.seen = []
            hiddens = []
            for words in self.embedding(X.T):  # (B, E)
                context = self.attention(hidden[-1][:, None], outputs, outputs, valid_lens)  # (B, 1, H)
                step, hidden = self.rnn(torch.cat([context, words[:, None]], dim=-1).transpose(0, 1), hidden)
                hiddens.append(step)
                self.seen.append(self.attention.attention_weights)
            return self.scores(torch.cat(hiddens)).transpose(0, 1), (outputs, hidden, valid_lens)

    return AttendingDecoder()


DECODERS = {"plain": plain_decoder, "attending": attending_decoder}
