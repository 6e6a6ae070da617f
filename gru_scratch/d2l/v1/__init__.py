"""The names of the package of the book's edition 1.0 that its chapters on recurrent networks use, on this library.

    from gru_scratch.d2l import v1 as d2l           # where the book has: from d2l import torch as d2l

The same seed gives the same parameters, batches, points on the board and predictions, to rounding: `RNN` and `GRU` run
on the engines of this library, all else gives the same bits. `gru_scratch.d2l` has the names of edition 0.17.
"""

from __future__ import annotations

import torch
from matplotlib import pyplot as plt
from torch import nn

from gru_scratch.d2l.encoder_decoder import AttentionDecoder, Decoder, DotProductAttention, Encoder, masked_softmax
from gru_scratch.d2l.files import DATA_HUB, DATA_URL, download, extract
from gru_scratch.d2l.notebook import (
    plot,
    set_axes,
    set_figsize,
    show_heatmaps,
    show_list_len_pair_hist,
    use_svg_display,
)
from gru_scratch.d2l.tensors import (
    abs,
    arange,
    argmax,
    astype,
    batch_matmul,
    concat,
    cos,
    cosh,
    exp,
    expand_dims,
    eye,
    float32,
    int32,
    int64,
    linspace,
    log,
    matmul,
    meshgrid,
    normal,
    numpy,
    ones,
    ones_like,
    rand,
    randn,
    reduce_mean,
    reduce_sum,
    repeat,
    reshape,
    sigmoid,
    sin,
    sinh,
    size,
    stack,
    swapaxes,
    tanh,
    tensor,
    to,
    transpose,
    zeros,
    zeros_like,
)
from gru_scratch.d2l.tools import Timer, cpu, gpu, num_gpus, try_gpu
from gru_scratch.d2l.v1.board import HyperParameters, ProgressBoard, add_to_class
from gru_scratch.d2l.v1.language import GRU, RNN, RNNLM, RNNLMScratch, RNNScratch, check_len, check_shape
from gru_scratch.d2l.v1.text import MTFraEng, TimeMachine, Vocab
from gru_scratch.d2l.v1.training import SGD, Classifier, DataModule, LinearRegression, Module, Trainer
from gru_scratch.d2l.v1.translation import (
    AdditiveAttention,
    EncoderDecoder,
    Seq2Seq,
    Seq2SeqEncoder,
    bleu,
    init_seq2seq,
)

__all__ = [
    "DATA_HUB",
    "DATA_URL",
    "GRU",
    "RNN",
    "RNNLM",
    "SGD",
    "AdditiveAttention",
    "AttentionDecoder",
    "Classifier",
    "DataModule",
    "Decoder",
    "DotProductAttention",
    "Encoder",
    "EncoderDecoder",
    "HyperParameters",
    "LinearRegression",
    "MTFraEng",
    "Module",
    "ProgressBoard",
    "RNNLMScratch",
    "RNNScratch",
    "Seq2Seq",
    "Seq2SeqEncoder",
    "TimeMachine",
    "Timer",
    "Trainer",
    "Vocab",
    "abs",
    "add_to_class",
    "arange",
    "argmax",
    "astype",
    "batch_matmul",
    "bleu",
    "check_len",
    "check_shape",
    "concat",
    "cos",
    "cosh",
    "cpu",
    "download",
    "exp",
    "expand_dims",
    "extract",
    "eye",
    "float32",
    "gpu",
    "init_seq2seq",
    "int32",
    "int64",
    "linspace",
    "log",
    "masked_softmax",
    "matmul",
    "meshgrid",
    "nn_Module",
    "normal",
    "num_gpus",
    "numpy",
    "ones",
    "ones_like",
    "plot",
    "plt",
    "rand",
    "randn",
    "reduce_mean",
    "reduce_sum",
    "repeat",
    "reshape",
    "set_axes",
    "set_figsize",
    "show_heatmaps",
    "show_list_len_pair_hist",
    "sigmoid",
    "sin",
    "sinh",
    "size",
    "stack",
    "swapaxes",
    "tanh",
    "tensor",
    "to",
    "transpose",
    "try_all_gpus",
    "try_gpu",
    "use_svg_display",
    "zeros",
    "zeros_like",
]

nn_Module = nn.Module  # noqa: N816 - the book's name


def try_all_gpus() -> list[torch.device]:
    """All GPUs; an empty list where there is none."""
    return [gpu(i) for i in range(num_gpus())]
