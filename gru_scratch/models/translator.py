"""Translation: an encoder reads the source, and a decoder writes the target, one token after another.

    none        x_t = [y_(t-1), c], h_t = RNN(x_t, h_(t-1)); c is the encoder's final state
                (Cho et al., 2014, arXiv:1406.1078; Sutskever et al., 2014, arXiv:1409.3215)
    bahdanau    x_t = [y_(t-1), c_t]; c_t is read by h_(t-1): attention before the step, hence a step at a time
                (Bahdanau et al., 2015, arXiv:1409.0473)
    luong       h_t = RNN(y_(t-1), h_(t-1)), then tanh(W [c_t, h_t]); c_t is read by h_t: attention after the layer, so
                that in training the whole target runs through it at once (Luong et al., 2015, arXiv:1508.04025)

In all three the decoder's initial state is the encoder's final state.

Legend: ``B`` sources, ``K`` targets of each (one, or the hypotheses of a beam), ``S`` steps of the source, ``T`` of the
target, ``E`` embedding size, ``H`` hidden size, ``D`` size of the encoder's outputs, ``V`` vocabulary, ``L`` layers.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.layers.dropout import dropout
from gru_scratch.models.any_layer import as_state, as_tuple, count_states, read_tokens
from gru_scratch.scratch.attention import AdditiveAttention, Attention, GeneralAttention
from gru_scratch.text.pair_batches import PAD, PairBatch

States = tuple[Tensor, ...]
"""The states of a decoder's cell, each (L, B * K, H)."""


class Memory(NamedTuple):
    """What a decoder keeps of the sources: computed once, read at every step."""

    values: Tensor  # (B, S, D), the encoder's outputs
    keys: Tensor  # (B, S, ·), what queries are compared with
    lengths: Tensor  # (B,)
    summary: Tensor  # (B, H), the last layer's final state

    def select(self, rows: Tensor) -> Memory:
        """The memory of the sources with these numbers alone."""
        return Memory(*(part.index_select(0, rows) for part in self))


class Encoder(nn.Module):
    """Reads sources with any recurrent layer, in one or two directions, time first.

    Args:
        layer: a layer of input size `embedding_size`, of this package or of `torch.nn`.
        vocab_size: V, the number of tokens.
        embedding_size: E, the size of the learnt vector of each token.
        dropout: the probability of zeroing a number of an embedding, in training.
    """

    def __init__(self, layer: nn.Module, vocab_size: int, embedding_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.rnn = cast(Any, layer)
        self.dropout = dropout
        self.directions = 2 if self.rnn.bidirectional else 1
        self.output_size: int = self.directions * self.rnn.hidden_size

    def forward(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, States]:
        """Tokens (B, S) → outputs (B, S, D), zero past a source's end, and final states (L * directions, B, H)."""
        drop = self.dropout if self.training else 0.0
        outputs, states = read_tokens(self.rnn, source.T, self.embedding, drop, lengths=lengths)  # (S, B, D)
        return outputs.transpose(0, 1), states


class Decoder(nn.Module):
    """The base of the three decoders: embedding, initial state, and the scores of the next token.

    A subclass defines `run`, which computes the features to be scored from the states and the memory.

    Args:
        layer: a layer in one direction, of the input size that `input_size` returns.
        encoder: the encoder whose memory is read; of the same cell, hidden size and number of layers.
        vocab_size: V, the number of tokens.
        embedding_size: E, the size of the learnt vector of each token.
        dropout: the probability of zeroing a number of an embedding or of the features, in training.
    """

    def __init__(
        self,
        layer: nn.Module,
        encoder: Encoder,
        vocab_size: int,
        embedding_size: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.rnn = cast(Any, layer)
        self.dropout = dropout
        hidden: int = self.rnn.hidden_size
        bridged = count_states(layer) if encoder.directions == 2 else 0
        self.bridges = nn.ModuleList(nn.Linear(2 * hidden, hidden) for _ in range(bridged))
        self.add_parts(encoder.output_size, hidden)
        self.output = nn.Linear(hidden, vocab_size)

    def add_parts(self, output_size: int, hidden: int) -> None:
        """Make the parameters of a subclass, for an encoder whose outputs have the size `output_size`."""

    @staticmethod
    def input_size(encoder: Encoder, embedding_size: int) -> int:
        """The size of what the layer reads at a step."""
        return embedding_size

    def begin(self, outputs: Tensor, states: States, lengths: Tensor) -> tuple[Memory, States]:
        """The memory and the decoder's initial state, from what the encoder returns."""
        if self.bridges:
            both = (torch.cat([state[0::2], state[1::2]], dim=-1) for state in states)  # (L, B, 2 H)
            states = tuple(bridge(pair) for bridge, pair in zip(self.bridges, both, strict=True))
        return Memory(outputs, self.keys(outputs), lengths, states[0][-1]), states

    def keys(self, outputs: Tensor) -> Tensor:
        """The keys (B, S, ·) that queries are compared with; unused without attention."""
        return outputs

    def forward(self, tokens: Tensor, states: States, memory: Memory) -> tuple[Tensor, States]:
        """Tokens (B * K, T), those of one source adjacent → scores of the next, (B * K, T, V), and the state."""
        features, states, _ = self.run(tokens, states, memory)
        features = dropout(features, self.dropout, self.training, "quick")
        return self.output(features), states

    def weights(self, tokens: Tensor, states: States, memory: Memory) -> Tensor:
        """How much of each source step each target step reads, (B * K, T, S); ValueError without attention."""
        _, _, weights = self.run(tokens, states, memory)
        if weights is None:
            raise ValueError("this model has no attention: its decoder reads the encoder's final state alone")
        return weights

    def run(self, tokens: Tensor, states: States, memory: Memory) -> tuple[Tensor, States, Tensor | None]:
        """Tokens (B * K, T) → features (B * K, T, H), the state, and attention weights (None without attention)."""
        raise NotImplementedError(f"{type(self).__name__} has to say how it decodes: define `run`")

    def embed(self, tokens: Tensor) -> Tensor:
        """Tokens (B * K, T) → embeddings (T, B * K, E)."""
        return dropout(self.embedding(tokens.T), self.dropout, self.training, "quick")

    def layer(self, inputs: Tensor, states: States) -> tuple[Tensor, States]:
        """Run the recurrent layer: inputs (T, B * K, ·) → its outputs (T, B * K, H), and the state."""
        outputs, state = self.rnn(inputs, as_state(states))
        return outputs, as_tuple(state)


class PlainDecoder(Decoder):
    """No attention: with each token the layer reads the encoder's final state."""

    @staticmethod
    def input_size(encoder: Encoder, embedding_size: int) -> int:
        return embedding_size + encoder.rnn.hidden_size  # type: ignore[no-any-return]

    def run(self, tokens: Tensor, states: States, memory: Memory) -> tuple[Tensor, States, Tensor | None]:
        embedded = self.embed(tokens)
        each = len(tokens) // len(memory.summary)  # K
        context = memory.summary.repeat_interleave(each, 0).expand(len(embedded), -1, -1)
        outputs, states = self.layer(torch.cat([embedded, context], -1), states)
        return outputs.transpose(0, 1), states, None


class AttentionDecoder(Decoder):
    """The base of the two decoders with attention."""

    attention: Attention

    def keys(self, outputs: Tensor) -> Tensor:
        return self.attention.project(outputs)

    def read(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Queries (B * K, T, H) → contexts (B * K, T, D) and weights (B * K, T, S); a beam shares one memory."""
        grouped = queries.reshape(len(memory.lengths), -1, queries.shape[-1])  # (B, K * T, H)
        weights = self.attention.weights(grouped, memory.keys, memory.lengths)
        contexts = weights @ memory.values
        return contexts.view(*queries.shape[:2], -1), weights.view(*queries.shape[:2], -1)


class BahdanauDecoder(AttentionDecoder):
    """Additive attention before each step: the previous state is the query, and the layer reads context and token."""

    def add_parts(self, output_size: int, hidden: int) -> None:
        self.attention = AdditiveAttention(output_size, hidden, hidden)

    @staticmethod
    def input_size(encoder: Encoder, embedding_size: int) -> int:
        return embedding_size + encoder.output_size

    def run(self, tokens: Tensor, states: States, memory: Memory) -> tuple[Tensor, States, Tensor | None]:
        features, weights = [], []
        for embedded in self.embed(tokens):  # (B * K, E)
            context, weight = self.read(states[0][-1].unsqueeze(1), memory)
            output, states = self.layer(torch.cat([embedded, context[:, 0]], -1).unsqueeze(0), states)
            features.append(output[0])
            weights.append(weight)
        return torch.stack(features, 1), states, torch.cat(weights, 1)


class LuongDecoder(AttentionDecoder):
    """General attention after the layer: its outputs are the queries, for all steps of a known target at once."""

    def add_parts(self, output_size: int, hidden: int) -> None:
        self.attention = GeneralAttention(output_size, hidden)
        self.combine = nn.Linear(output_size + hidden, hidden)

    def run(self, tokens: Tensor, states: States, memory: Memory) -> tuple[Tensor, States, Tensor | None]:
        drop = self.dropout if self.training else 0.0
        outputs, states = read_tokens(self.rnn, tokens.T, self.embedding, drop, as_state(states))
        queries = outputs.transpose(0, 1)  # (B * K, T, H)
        contexts, weights = self.read(queries, memory)
        return torch.tanh(self.combine(torch.cat([contexts, queries], -1))), states, weights


DECODERS: dict[str, type[Decoder]] = {"none": PlainDecoder, "bahdanau": BahdanauDecoder, "luong": LuongDecoder}


class Translator(nn.Module):
    """An encoder and a decoder, trained together::

        scores = translator(source, lengths, target_in)         # (B, T, V)
        loss = masked_cross_entropy(scores, target_out)

    Args:
        encoder: reads the sources.
        decoder: reads the encoder's memory, and writes the targets.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, source: Tensor, lengths: Tensor, target_in: Tensor) -> Tensor:
        """Scores of the token that follows each of `target_in` (B, T): (B, T, V)."""
        memory, states = self.encode(source, lengths)
        scores: Tensor = self.decoder(target_in, states, memory)[0]
        return scores

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Memory, States]:
        """The decoder's memory and initial state for sources (B, S) with lengths (B,)."""
        outputs, states = self.encoder(source, lengths)
        return self.decoder.begin(outputs, states, lengths)

    def attention_weights(self, source: Tensor, lengths: Tensor, target_in: Tensor) -> Tensor:
        """How much of each source step is read for each token that follows one of `target_in` (B, T): (B, T, S).

        Raises:
            ValueError: the decoder has no attention.
        """
        memory, states = self.encode(source, lengths)
        return self.decoder.weights(target_in, states, memory)

    def loss(self, batch: PairBatch) -> Tensor:
        """Mean cross-entropy of a batch's targets, in nats a token."""
        return masked_cross_entropy(self(batch.source, batch.source_lengths, batch.target_in), batch.target_out)


def masked_cross_entropy(scores: Tensor, target_out: Tensor) -> Tensor:
    """Mean cross-entropy of scores (B, T, V) over the tokens (B, T) that are not padding, in nats."""
    return F.cross_entropy(scores.flatten(0, 1), target_out.flatten(), ignore_index=PAD)
