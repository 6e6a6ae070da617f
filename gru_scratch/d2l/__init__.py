"""The names of the book's package (`d2l` 0.17) that its chapters on recurrent networks use, on top of this library.

    from gru_scratch import d2l             # where the book has: from d2l import torch as d2l

The same calls give the same numbers, bit for bit, and print the same lines. Models, batches, the training loop,
attention and generation are the library's own; here are only the book's signatures. Unlike the rest of the library,
these functions print, as the book's do. The names of edition 1.0 are in `gru_scratch.d2l.v1`.
"""

from __future__ import annotations

import os

import torch
from matplotlib import pyplot as plt

from gru_scratch.d2l import files
from gru_scratch.d2l.encoder_decoder import AttentionDecoder, Decoder, DotProductAttention, Encoder, masked_softmax
from gru_scratch.d2l.files import DATA_HUB, DATA_URL, download_extract
from gru_scratch.d2l.language import (
    SeqDataLoader,
    load_corpus_time_machine,
    load_data_time_machine,
    predict_ch8,
    read_time_machine,
    train_ch8,
    train_epoch_ch8,
)
from gru_scratch.d2l.notebook import (
    Animator,
    plot,
    set_axes,
    set_figsize,
    show_heatmaps,
    show_list_len_pair_hist,
    use_svg_display,
)
from gru_scratch.d2l.sentences import (
    build_array_nmt,
    load_data_nmt,
    preprocess_nmt,
    read_data_nmt,
    tokenize_nmt,
    truncate_pad,
)
from gru_scratch.d2l.seq2seq import (
    AdditiveAttention,
    EncoderDecoder,
    MaskedSoftmaxCELoss,
    Seq2SeqEncoder,
    bleu,
    predict_seq2seq,
    sequence_mask,
    train_seq2seq,
)
from gru_scratch.d2l.tensors import (
    abs,
    arange,
    argmax,
    astype,
    concat,
    cos,
    cosh,
    exp,
    eye,
    linspace,
    log,
    matmul,
    meshgrid,
    normal,
    numpy,
    ones,
    rand,
    reduce_sum,
    reshape,
    sin,
    sinh,
    size,
    stack,
    tanh,
    tensor,
    to,
    transpose,
    zeros,
)
from gru_scratch.d2l.tools import Accumulator, Timer, cpu, gpu, load_array, num_gpus, try_gpu
from gru_scratch.models.language import RNNModel, RNNModelScratch
from gru_scratch.text.batches import seq_data_iter_random, seq_data_iter_sequential
from gru_scratch.text.vocab import Vocab, count_corpus, tokenize
from gru_scratch.training.update import grad_clipping, sgd

__all__ = [
    "DATA_HUB",
    "DATA_URL",
    "Accumulator",
    "AdditiveAttention",
    "Animator",
    "AttentionDecoder",
    "Decoder",
    "DotProductAttention",
    "Encoder",
    "EncoderDecoder",
    "MaskedSoftmaxCELoss",
    "RNNModel",
    "RNNModelScratch",
    "Seq2SeqEncoder",
    "SeqDataLoader",
    "Timer",
    "Vocab",
    "abs",
    "arange",
    "argmax",
    "astype",
    "bleu",
    "build_array_nmt",
    "concat",
    "cos",
    "cosh",
    "count_corpus",
    "download",
    "download_extract",
    "exp",
    "eye",
    "grad_clipping",
    "linspace",
    "load_array",
    "load_corpus_time_machine",
    "load_data_nmt",
    "load_data_time_machine",
    "log",
    "masked_softmax",
    "matmul",
    "meshgrid",
    "normal",
    "numpy",
    "ones",
    "plot",
    "plt",
    "predict_ch8",
    "predict_seq2seq",
    "preprocess_nmt",
    "rand",
    "read_data_nmt",
    "read_time_machine",
    "reduce_sum",
    "reshape",
    "seq_data_iter_random",
    "seq_data_iter_sequential",
    "sequence_mask",
    "set_axes",
    "set_figsize",
    "sgd",
    "show_heatmaps",
    "show_list_len_pair_hist",
    "sin",
    "sinh",
    "size",
    "stack",
    "tanh",
    "tensor",
    "to",
    "tokenize",
    "tokenize_nmt",
    "train_ch8",
    "train_epoch_ch8",
    "train_seq2seq",
    "transpose",
    "truncate_pad",
    "try_all_gpus",
    "try_gpu",
    "use_svg_display",
    "zeros",
]


def download(name: str, cache_dir: str | os.PathLike[str] = "../data") -> str:
    """The path of a file of `DATA_HUB`, which is downloaded into `cache_dir` unless it is at hand.

    Raises ValueError for a name that is neither an address nor in `DATA_HUB`.
    """
    return files.download(name, cache_dir)


def try_all_gpus() -> list[torch.device]:
    """All GPUs, or the CPU alone where there is none."""
    return [gpu(i) for i in range(num_gpus())] or [cpu()]
