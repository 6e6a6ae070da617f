"""Six settings, from the book's to long sequences, each with a GRU and an LSTM against the layers of `torch.nn`.

Beside them what has no namesake, against our own plain loop: the book's GRU, and a cell with equations only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from gru_scratch.benchmark.comparison import Comparison
from gru_scratch.benchmark.models import ModelKind, model_kinds
from gru_scratch.benchmark.report import markdown, ratio_text
from gru_scratch.benchmark.setting import Setting
from gru_scratch.cells import MGUEquations
from gru_scratch.layers import Recurrent

SIX_SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "book": Setting(32, 35, 256, 28),  # d2l 0.17
        "book-1.0": Setting(1024, 32, 32, 28),  # d2l 1.0
        "char-rnn": Setting(50, 50, 128, 65),
        "large": Setting(64, 128, 512, 65),
        "one-sequence": Setting(1, 512, 256, 65),
        "long": Setting(16, 1000, 128, 65),
    }
)
"""By name: batch, steps, hidden units, vocabulary; dense input is 128 wide."""


class MGUWithoutDerivative(MGUEquations):
    """A cell as a user writes it: equations, and no derivative."""

    derivative: Any = None


def columns(name: str) -> Iterator[tuple[ModelKind, Setting, tuple[str, str]]]:
    """What is compared at a setting: the model, the whole setting, the base and the engine measured against it."""
    setting = SIX_SETTINGS[name]
    dense = replace(setting, input="dense")
    (gru, book_gru), (lstm,) = model_kinds("gru"), model_kinds("lstm")
    own_cell = ModelKind("MGU, equations only", partial(Recurrent, MGUWithoutDerivative))
    for kind in (gru, lstm):
        yield kind, setting, ("builtin", "fused")
    for kind in (gru, lstm):
        yield replace(kind, title=f"{kind.title}, dense input"), dense, ("builtin", "fused")
    for kind in (book_gru, own_cell):
        yield kind, setting, ("textbook-layer", "fused")


def summary(measured: Sequence[tuple[str, Comparison]]) -> str:
    """A line for each setting and model, with the ratios of time and of peak memory."""
    header = ("setting", "batch, steps, hidden, vocabulary", "model", "base", "times as fast", "memory, fused : base")
    lines = []
    for name, comparison in measured:
        setting, fused, base = SIX_SETTINGS[name], comparison.row("fused"), comparison.row(comparison.base or "")
        sizes = f"{setting.batch_size}, {setting.num_steps}, {setting.num_hiddens}, {setting.vocab_size}"
        time = memory = ""
        if fused is not None:
            time = ratio_text(fused.ratio) if fused.ratio else fused.note
            if base is not None and base.peak_memory and fused.peak_memory:
                memory = f"{fused.peak_memory / base.peak_memory:.2f}"
        lines.append((name, sizes, comparison.title, comparison.base or "", time, memory))
    return markdown(header, lines)
