"""Translators that a reader of edition 1.0 may write, each a function of the package `d2l` that it is written for."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from support.readers_programs_v1 import HIDDENS, Result, learnt
from torch import Tensor, nn

EMBEDDING = 8
Package = ModuleType


def sentences(d2l: Package) -> Result:
    """Section 10.5: pairs as arrays and batches."""
    data = d2l.MTFraEng(batch_size=6, num_steps=5, num_train=30, num_val=10)
    return {
        "arrays": list(data.arrays),
        "vocabularies": [data.src_vocab.idx_to_token, data.tgt_vocab.idx_to_token],
        "train": [part for batch in data.train_dataloader() for part in batch],
        "val": [part for batch in data.val_dataloader() for part in batch],
        "build": list(data.build(["i run .", "you sleep now ."], ["je cours .", "tu dors maintenant ."])),
    }


def train_translator(d2l: Package, attending: bool) -> Result:
    """Sections 10.7 and 11.4: a decoder and a masked loss of the reader's own."""
    torch.manual_seed(2)
    data = d2l.MTFraEng(batch_size=16, num_steps=7, num_train=64, num_val=16)
    encoder = d2l.Seq2SeqEncoder(len(data.src_vocab), EMBEDDING, HIDDENS, num_layers=2, dropout=0.1)
    decoder = (_attending if attending else _plain)(d2l, len(data.tgt_vocab))

    class Translator(d2l.Seq2Seq):
        pass

    @d2l.add_to_class(Translator)
    def loss(self: Any, Y_hat: Tensor, Y: Tensor) -> Tensor:
        losses = super(Translator, self).loss(Y_hat, Y, averaged=False)
        mask = d2l.astype(d2l.reshape(Y, -1) != self.tgt_pad, d2l.float32)
        return d2l.reduce_sum(losses * mask) / d2l.reduce_sum(mask)

    model = Translator(encoder, decoder, tgt_pad=data.tgt_vocab["<pad>"], lr=0.01)
    d2l.Trainer(max_epochs=4, gradient_clip_val=1, num_gpus=1).fit(model, data)
    english, french = ["i run .", "tom, sleep now ."], ["je cours .", "tom dors maintenant ."]
    tokens, weights = model.predict_step(data.build(english, french), d2l.cpu(), data.num_steps, attending)
    words = [" ".join(data.tgt_vocab.to_tokens(row)) for row in tokens]
    return {
        "words": words,
        "bleu": [d2l.bleu(said, meant, k=2) for said, meant in zip(words, french, strict=True)],
        "weights": [part.detach() for step in weights for part in step],
        **learnt(model),
    }


def _plain(d2l: Package, vocab_size: int) -> Any:
    class Plain(d2l.Decoder):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(vocab_size, EMBEDDING)
            self.rnn = d2l.GRU(EMBEDDING + HIDDENS, HIDDENS, 2, dropout=0.1)
            self.scores = nn.LazyLinear(vocab_size)
            self.apply(d2l.init_seq2seq)

        def init_state(self, enc_all_outputs: Any, *args: Any) -> Any:
            return enc_all_outputs

        def forward(self, X: Tensor, state: Any) -> Any:
            embs = self.embedding(d2l.astype(d2l.transpose(X), d2l.int32))
            outputs, hidden = state
            context = outputs[-1].repeat(embs.shape[0], 1, 1)
            hiddens, hidden = self.rnn(d2l.concat((embs, context), -1), hidden)
            return d2l.swapaxes(self.scores(hiddens), 0, 1), [outputs, hidden]

    return Plain()


def _attending(d2l: Package, vocab_size: int) -> Any:
    class Attending(d2l.AttentionDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.attention = d2l.AdditiveAttention(HIDDENS, dropout=0.1)
            self.embedding = nn.Embedding(vocab_size, EMBEDDING)
            self.rnn = nn.GRU(EMBEDDING + HIDDENS, HIDDENS, 2, dropout=0.1)
            self.scores = nn.LazyLinear(vocab_size)
            self.apply(d2l.init_seq2seq)

        def init_state(self, enc_outputs: Any, enc_valid_lens: Tensor) -> Any:
            outputs, hidden = enc_outputs
            return d2l.swapaxes(outputs, 0, 1), hidden, enc_valid_lens

        def forward(self, X: Tensor, state: Any) -> Any:
            outputs, hidden, valid_lens = state
            self.seen, hiddens = [], []
            for words in self.embedding(X.T):
                context = self.attention(d2l.expand_dims(hidden[-1], 1), outputs, outputs, valid_lens)
                step = d2l.concat((context, d2l.expand_dims(words, 1)), -1)
                out, hidden = self.rnn(d2l.swapaxes(step, 0, 1), hidden)
                hiddens.append(out)
                self.seen.append(self.attention.attention_weights)
            return d2l.swapaxes(self.scores(d2l.concat(hiddens, 0)), 0, 1), [outputs, hidden, valid_lens]

        @property
        def attention_weights(self) -> Any:
            return self.seen

    return Attending()


TRANSLATORS = {
    "sentences": sentences,
    "translator": lambda d2l: train_translator(d2l, attending=False),
    "attending translator": lambda d2l: train_translator(d2l, attending=True),
}
