"""Translation, as edition 1.0 has it in its chapters 10.5 to 10.7, 11.3 and 11.4."""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from gru_scratch.d2l.encoder_decoder import Encoder, KeepsWeights, bleu_score, greedy
from gru_scratch.d2l.v1.language import GRU
from gru_scratch.d2l.v1.training import Batch, Classifier
from gru_scratch.scratch import attention


class EncoderDecoder(Classifier):
    """An encoder and a decoder, trained as one: source and target tokens in, scores (B, T, V) out."""

    encoder: Any
    decoder: Any

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, enc_X: Tensor, dec_X: Tensor, *args: Any) -> Any:  # type: ignore[override]
        state = self.decoder.init_state(self.encoder(enc_X, *args), *args)
        return self.decoder(dec_X, state)[0]

    def predict_step(
        self, batch: Batch, device: Any, num_steps: int, save_attention_weights: bool = False
    ) -> tuple[Tensor, list[Any]]:
        """The likeliest tokens (B, num_steps) of each source, and the decoder's attention weights at each step.

        The list of weights is empty unless `save_attention_weights`.
        """
        source, target, valid_lens, _ = (part.to(device) for part in batch)
        with torch.no_grad():
            state = self.decoder.init_state(self.encoder(source, valid_lens), valid_lens)
        tokens, weights = [], []
        for token in islice(greedy(self.decoder, target[:, :1], state), num_steps):
            tokens.append(token)
            if save_attention_weights:
                weights.append(self.decoder.attention_weights)
        return torch.cat(tokens, dim=1), weights


def init_seq2seq(module: nn.Module) -> None:
    """Draw the weights of a linear layer or a GRU by Xavier's rule: `model.apply(init_seq2seq)`."""
    if type(module) in (nn.Linear, nn.GRU):
        for name, parameter in module.named_parameters(recurse=False):
            if "weight" in name:
                nn.init.xavier_uniform_(parameter)


class Seq2SeqEncoder(Encoder):
    """An embedding and a GRU: token numbers (B, T) in, outputs (T, B, H) and state (layers, B, H) out."""

    def __init__(self, vocab_size: int, embed_size: int, num_hiddens: int, num_layers: int, dropout: float = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = GRU(embed_size, num_hiddens, num_layers, dropout)
        self.apply(init_seq2seq)

    def forward(self, X: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
        outputs, state = self.rnn(self.embedding(X.T.long()))
        return outputs, state


class Seq2Seq(EncoderDecoder):
    """An encoder and a decoder, trained with Adam; `tgt_pad` is the number of the padding in targets."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, tgt_pad: int, lr: float) -> None:
        super().__init__(encoder, decoder)
        self.save_hyperparameters()

    def validation_step(self, batch: Batch) -> None:
        """Put the loss of a batch on the board."""
        self.plot("loss", self.loss(self(*batch[:-1]), batch[-1]), train=False)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class AdditiveAttention(KeepsWeights, attention.AdditiveAttention):
    """Bahdanau's attention, which takes its sizes from the first call; `attention_weights` are those of the last."""

    def __init__(self, num_hiddens: int, dropout: float) -> None:
        attention.Attention.__init__(self, dropout)
        self.W_k = nn.LazyLinear(num_hiddens, bias=False)
        self.W_q = nn.LazyLinear(num_hiddens, bias=False)
        self.w_v = nn.LazyLinear(1, bias=False)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, valid_lens: Tensor | None = None) -> Tensor:
        if isinstance(self.W_q, nn.LazyLinear):
            self.W_q(queries)  # drawn before W_k, as the book has it
        return super().forward(queries, keys, values, valid_lens)


def bleu(pred_seq: str, label_seq: str, k: int) -> float:
    """The BLEU of a predicted sentence, from n-grams of up to `k` words."""
    return bleu_score(pred_seq, label_seq, k, joint=" ")
