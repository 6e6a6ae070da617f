"""The book's own code: its package, d2l, runs the functions that its pages print (0.17, sections 8.5, 9.1 and 9.2).

The functions are quoted as they stand there, to be timed: read those of `gru_scratch.scratch` instead. Source:
https://d2l.ai, by A. Zhang, Z. C. Lipton, M. Li and A. J. Smola; its sample code is under a modified MIT licence.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any

import torch


def import_d2l() -> ModuleType:
    """The package. ImportError if it is not installed, or cannot be imported.

    It imports torchvision, of which these chapters use nothing: where that is missing, an empty stand-in will do.
    """
    names = ("torchvision", "torchvision.transforms")
    try:
        importlib.import_module(names[1])
    except (ImportError, RuntimeError):
        stand_ins = {name: ModuleType(name) for name in names}
        stand_ins[names[0]].transforms = stand_ins[names[1]]  # type: ignore[attr-defined]
    else:
        stand_ins = {}
    sys.modules.update(stand_ins)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package is of 2021
            return importlib.import_module("d2l.torch")
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)


# fmt: off
def rnn(inputs: Any, state: Any, params: Any) -> Any:
    # Here `inputs` shape: (`num_steps`, `batch_size`, `vocab_size`)
    W_xh, W_hh, b_h, W_hq, b_q = params
    H, = state
    outputs = []
    # Shape of `X`: (`batch_size`, `vocab_size`)
    for X in inputs:
        H = torch.tanh(torch.mm(X, W_xh) + torch.mm(H, W_hh) + b_h)
        Y = torch.mm(H, W_hq) + b_q
        outputs.append(Y)
    return torch.cat(outputs, dim=0), (H,)


def gru(inputs: Any, state: Any, params: Any) -> Any:
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q = params
    H, = state
    outputs = []
    for X in inputs:
        Z = torch.sigmoid((X @ W_xz) + (H @ W_hz) + b_z)
        R = torch.sigmoid((X @ W_xr) + (H @ W_hr) + b_r)
        H_tilda = torch.tanh((X @ W_xh) + ((R * H) @ W_hh) + b_h)
        H = Z * H + (1 - Z) * H_tilda
        Y = H @ W_hq + b_q
        outputs.append(Y)
    return torch.cat(outputs, dim=0), (H,)


def lstm(inputs: Any, state: Any, params: Any) -> Any:
    [
        W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c,
        W_hq, b_q] = params
    (H, C) = state
    outputs = []
    for X in inputs:
        I = torch.sigmoid((X @ W_xi) + (H @ W_hi) + b_i)
        F = torch.sigmoid((X @ W_xf) + (H @ W_hf) + b_f)
        O = torch.sigmoid((X @ W_xo) + (H @ W_ho) + b_o)
        C_tilda = torch.tanh((X @ W_xc) + (H @ W_hc) + b_c)
        C = F * C + I * C_tilda
        H = O * torch.tanh(C)
        Y = (H @ W_hq) + b_q
        outputs.append(Y)
    return torch.cat(outputs, dim=0), (H, C)
# fmt: on


FORWARD: Mapping[str, Any] = MappingProxyType({"rnn": rnn, "gru": gru, "lstm": lstm})
"""By cell, as `gru_scratch.convert.scratch_to_torch` names them."""
