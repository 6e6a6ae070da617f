"""The names of chapters 9.5 to 9.7, 10.3 and 10.4 of edition 0.17: translation, without and with attention."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.d2l.encoder_decoder import Encoder, KeepsWeights, bleu_score, greedy
from gru_scratch.d2l.notebook import Animator
from gru_scratch.d2l.sentences import truncate_pad
from gru_scratch.scratch import attention
from gru_scratch.scratch.attention import valid_mask
from gru_scratch.training.update import grad_clipping

# ------------------------------------------------------------------------------------------------ models (9.6, 9.7)


class EncoderDecoder(nn.Module):
    """An encoder and a decoder, trained as one: source and target tokens in, what the decoder returns out."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, enc_X: Tensor, dec_X: Tensor, *args: Any) -> Any:
        state = self.decoder.init_state(self.encoder(enc_X, *args), *args)  # type: ignore[operator]
        return self.decoder(dec_X, state)


class Seq2SeqEncoder(Encoder):
    """An embedding and a GRU of torch.nn: token numbers (B, T) in, outputs (T, B, H) and state (layers, B, H) out."""

    def __init__(self, vocab_size: int, embed_size: int, num_hiddens: int, num_layers: int, dropout: float = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = nn.GRU(embed_size, num_hiddens, num_layers, dropout=dropout)

    def forward(self, X: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
        outputs, state = self.rnn(self.embedding(X).transpose(0, 1))
        return outputs, state


class AdditiveAttention(KeepsWeights, attention.AdditiveAttention):
    """Bahdanau's attention; `attention_weights` are those of the last call."""


# ------------------------------------------------------------------------------------------------ loss (9.7)


def sequence_mask(X: Tensor, valid_len: Tensor, value: float = 0) -> Tensor:
    """X (B, T, ...) itself, with `value` put wherever a sequence is over."""
    X[valid_mask(valid_len, X.shape[1]).logical_not()] = value
    return X


class MaskedSoftmaxCELoss(nn.CrossEntropyLoss):
    """The cross-entropy of each sequence: summed over its valid steps, divided by all T steps."""

    def forward(self, pred: Tensor, label: Tensor, valid_len: Tensor) -> Tensor:  # type: ignore[override]
        """The losses (B,), from scores (B, T, V), labels (B, T) and lengths (B,)."""
        losses = F.cross_entropy(pred.transpose(1, 2), label, reduction="none")  # (B, T)
        return (losses * valid_mask(valid_len, label.shape[1])).mean(dim=1)


# ------------------------------------------------------------------------------------------------ training (9.7)


def _xavier(module: nn.Module) -> None:
    if type(module) in (nn.Linear, nn.GRU):
        for name, parameter in module.named_parameters(recurse=False):
            if "weight" in name:
                nn.init.xavier_uniform_(parameter)


def train_seq2seq(
    net: nn.Module, data_iter: Iterable[Sequence[Tensor]], lr: float, num_epochs: int, tgt_vocab: Any, device: Any
) -> None:
    """Draw the weights of linear layers and GRUs anew, train with Adam, and print the loss per token and the speed.

    Gradients are clipped at 1; the decoder reads the target, one step late, with `<bos>` first.
    """
    if num_epochs < 1:
        raise ValueError(f"expected num_epochs of at least 1, received {num_epochs}")
    net.apply(_xavier).to(device).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    animator = Animator(xlabel="epoch", ylabel="loss", xlim=[10, num_epochs])
    for epoch in range(1, num_epochs + 1):
        start = time.perf_counter()
        loss, tokens = _train_epoch(net, data_iter, optimizer, tgt_vocab["<bos>"], device)
        if epoch % 10 == 0:
            animator.add(epoch, [loss / tokens])
    print(f"loss {loss / tokens:.3f}, {tokens / (time.perf_counter() - start):.1f} tokens/sec on {device}")


def _train_epoch(
    net: nn.Module,
    batches: Iterable[Sequence[Tensor]],
    optimizer: torch.optim.Optimizer,
    bos: int,
    device: Any,
) -> tuple[float, int]:
    """The summed loss and the number of target tokens."""
    loss_of = MaskedSoftmaxCELoss()
    total, tokens = 0.0, 0
    for batch in batches:
        source, source_lens, target, target_lens = (part.to(device) for part in batch)
        dec_X = torch.cat([torch.full_like(target[:, :1], bos), target[:, :-1]], dim=1)
        scores, _ = net(source, dec_X, source_lens)
        loss = loss_of(scores, target, target_lens).sum()
        optimizer.zero_grad()
        loss.backward()
        grad_clipping(net, 1)
        optimizer.step()
        total += loss.item()
        tokens += int(target_lens.sum())
    if not tokens:
        raise ValueError("there is no batch to train on: the pairs hold no token")
    return total, tokens


# ------------------------------------------------------------------------------------------------ prediction (9.7)


def predict_seq2seq(
    net: Any,
    src_sentence: str,
    src_vocab: Any,
    tgt_vocab: Any,
    num_steps: int,
    device: Any,
    save_attention_weights: bool = False,
) -> tuple[str, list[Any]]:
    """The likeliest translation, token after token up to `<eos>`, and the decoder's attention weights at each step.

    The list of weights is empty unless `save_attention_weights`.
    """
    net.eval()
    numbers = [*src_vocab[src_sentence.lower().split(" ")], src_vocab["<eos>"]]
    valid_len = torch.tensor([len(numbers)], device=device)
    source = torch.tensor([truncate_pad(numbers, num_steps, src_vocab["<pad>"])], device=device)
    with torch.no_grad():
        state = net.decoder.init_state(net.encoder(source, valid_len), valid_len)
    target: list[int] = []
    weights: list[Any] = []
    first = torch.tensor([[tgt_vocab["<bos>"]]], device=device)
    for token in islice(greedy(net.decoder, first, state), num_steps):
        if save_attention_weights:
            weights.append(net.decoder.attention_weights)
        if token.item() == tgt_vocab["<eos>"]:
            break
        target.append(int(token))
    return " ".join(tgt_vocab.to_tokens(target)), weights


def bleu(pred_seq: str, label_seq: str, k: int) -> float:
    """The BLEU of a predicted sentence, from n-grams of up to `k` words."""
    return bleu_score(pred_seq, label_seq, k, joint="")
