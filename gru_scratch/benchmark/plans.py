"""From options to work: what to compare, and how to tell and draw the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import torch

from gru_scratch.benchmark import charts, report
from gru_scratch.benchmark.compare_options import CompareArguments
from gru_scratch.benchmark.comparison import Comparison, Method
from gru_scratch.benchmark.jobs import TOKENS, compare_generation, compare_training
from gru_scratch.benchmark.ladder import compare_ladder, ladder_table
from gru_scratch.benchmark.models import ModelKind, model_kinds
from gru_scratch.benchmark.report import markdown, ratio_text
from gru_scratch.benchmark.setting import SIX_SETTINGS, Setting
from gru_scratch.benchmark.timing import Budget, clock_for
from gru_scratch.cells import MGUEquations
from gru_scratch.layers import Recurrent

DEFAULT_ENGINES = ("builtin", "builtin-compiled", "textbook", "fused", "native")
SWEEP_ENGINES = ("builtin", "textbook", "fused", "native")
OURS = ("fused", "native")
GENERATE_ENGINES = ("builtin", "textbook", "fused", "native")

SWEEPS: Mapping[str, tuple[str, str, tuple[int, ...]]] = MappingProxyType(
    {
        "batch": ("batch_size", "batch size", (1, 4, 16, 64, 256)),
        "steps": ("num_steps", "number of steps", (8, 32, 128, 512)),
        "hidden": ("num_hiddens", "number of hidden units", (16, 64, 256, 1024)),
    }
)
"""By name: the option that a sweep replaces, in words, and the usual sizes."""

STEP = "one training step"


@dataclass(frozen=True)
class Plan:
    """What to measure, in order, and how to present it; of an interrupted plan, what was measured until then."""

    jobs: Sequence[tuple[str, Callable[[], Comparison]]]
    """Each with a label that is shown meanwhile."""
    text: Callable[[Sequence[Comparison]], str]
    pictures: Callable[[Sequence[Comparison], str], dict[str, bytes]]
    """By file name, from what was measured, and where: a line for their heads."""


def make_plan(config: CompareArguments, device: torch.device) -> Plan:
    """The plan for the question that `config` asks.

    Raises:
        ValueError, FileNotFoundError: a cell is unknown.
    """
    kinds = [kind for cell in config.cells for kind in model_kinds(cell)]
    if config.sweep is not None:
        return _sweep(config, kinds, device)
    if config.six_settings:
        return _six_settings(config, device)
    if config.ladder:
        return _ladder(config, kinds, device)
    if config.generate:
        return _generate(config, kinds, device)
    return _table(config, kinds, device)


def _method(config: CompareArguments, device: torch.device, seconds: float, memory: bool = True) -> Method:
    budget = Budget(seconds if config.seconds is None else config.seconds)
    return Method(clock_for(device), budget, device, memory)


def _table(config: CompareArguments, kinds: Sequence[ModelKind], device: torch.device) -> Plan:
    setting, engines = config.setting(), config.engines or DEFAULT_ENGINES
    method = _method(config, device, seconds=12)
    jobs = [(kind.title, partial(compare_training, kind, setting, engines, method, config.seed)) for kind in kinds]

    def pictures(done: Sequence[Comparison], where: str) -> dict[str, bytes]:
        return {"comparison.png": charts.draw_bars(done, f"{STEP.capitalize()}: {setting.words()}\n{where}", STEP)}

    return Plan(jobs, _explained, pictures)


def _sweep(config: CompareArguments, kinds: Sequence[ModelKind], device: torch.device) -> Plan:
    assert config.sweep is not None
    option, words, usual = SWEEPS[config.sweep]
    sizes = sorted(set(config.sizes or usual))
    method = _method(config, device, seconds=3, memory=False)
    places = [(kind, size) for kind in kinds for size in sizes]

    def job(kind: ModelKind, size: int) -> Comparison:
        setting = replace(config.setting(), **{option: size})  # type: ignore[arg-type]
        done = compare_training(kind, setting, config.engines or SWEEP_ENGINES, method, config.seed, floor=True)
        return replace(done, title=_titled(kind, size))

    def _titled(kind: ModelKind, size: int) -> str:
        return f"{kind.title}, {config.sweep} {size}"

    def pictures(done: Sequence[Comparison], where: str) -> dict[str, bytes]:
        points: dict[str, list[tuple[int, Comparison]]] = {}
        for comparison, (kind, size) in zip(done, places, strict=False):
            points.setdefault(kind.title, []).append((size, comparison))
        title = f"How {STEP} grows with the {words} ({config.setting().words(leave_out=option)})"
        return {f"sweep-{config.sweep}.png": charts.draw_sweep(points, f"{title}\n{where}", words, STEP)}

    return Plan([(_titled(*place), partial(job, *place)) for place in places], _explained, pictures)


def _generate(config: CompareArguments, kinds: Sequence[ModelKind], device: torch.device) -> Plan:
    setting, engines = config.setting(), config.engines or GENERATE_ENGINES
    method = _method(config, device, seconds=8, memory=False)
    jobs = [(kind.title, partial(compare_generation, kind, setting, engines, method, config.seed)) for kind in kinds]

    def pictures(done: Sequence[Comparison], where: str) -> dict[str, bytes]:
        title = f"Generating {TOKENS} tokens one by one: hidden {setting.num_hiddens}, vocabulary {setting.vocab_size}"
        return {"generation.png": charts.draw_bars(done, f"{title}\n{where}", f"{TOKENS} tokens")}

    return Plan(jobs, _explained, pictures)


def _ladder(config: CompareArguments, kinds: Sequence[ModelKind], device: torch.device) -> Plan:
    """Of the models with a namesake in torch.nn, or of the user's own."""
    setting, method = config.setting(), _method(config, device, seconds=20)
    jobs = [(kind.title, partial(compare_ladder, kind, setting, method, config.seed)) for kind in kinds]

    def pictures(done: Sequence[Comparison], where: str) -> dict[str, bytes]:
        title = f"From the book's loop to native code: {setting.words()}"
        return {"ladder.png": charts.draw_bars(done, f"{title}\n{where}", STEP)}

    return Plan(jobs, lambda done: f"{ladder_table(done)}\n\n{report.explanation(done)}", pictures)


def _six_settings(config: CompareArguments, device: torch.device) -> Plan:
    method = _method(config, device, seconds=6)
    names = [name for name in SIX_SETTINGS if name in (config.only or SIX_SETTINGS)]
    places = [(name, *column) for name in names for column in columns(name)]
    jobs = [
        (f"{name}: {kind.title}", partial(compare_training, kind, setting, engines, method, config.seed))
        for name, kind, setting, engines in places
    ]

    def named(done: Sequence[Comparison]) -> list[tuple[str, Comparison]]:
        return [(place[0], comparison) for place, comparison in zip(places, done, strict=False)]

    def pictures(done: Sequence[Comparison], where: str) -> dict[str, bytes]:
        found = {}
        for name in dict.fromkeys(name for name, _ in named(done)):
            title = f"{STEP.capitalize()}: {SIX_SETTINGS[name].words()}\n{where}"
            found[f"{name}.png"] = charts.draw_bars([c for n, c in named(done) if n == name], title, STEP)
        return found

    return Plan(jobs, lambda done: f"{summary(named(done))}\n\n{report.explanation(done)}", pictures)


def _explained(done: Sequence[Comparison]) -> str:
    return f"{report.table(done)}\n\n{report.explanation(done)}"


class MGUWithoutDerivative(MGUEquations):
    """A cell as a user writes it: equations, and no derivative."""

    derivative: Any = None


def columns(name: str) -> Iterator[tuple[ModelKind, Setting, tuple[str, ...]]]:
    """What is compared at one of the six settings: the model, the whole setting, the base and the engines against it.

    A GRU and an LSTM against the layers of `torch.nn`; and what has no namesake there against our own plain loop: the
    book's GRU, and a cell with equations only.
    """
    setting = SIX_SETTINGS[name]
    dense = replace(setting, input="dense")
    (gru, book_gru), (lstm,) = model_kinds("gru"), model_kinds("lstm")
    own_cell = ModelKind("MGU, equations only", partial(Recurrent, MGUWithoutDerivative))
    for kind in (gru, lstm):
        yield kind, setting, ("builtin", *OURS)
    for kind in (gru, lstm):
        yield replace(kind, title=f"{kind.title}, dense input"), dense, ("builtin", *OURS)
    for kind in (book_gru, own_cell):
        yield kind, setting, ("textbook-layer", *OURS)


def summary(measured: Sequence[tuple[str, Comparison]]) -> str:
    """A line for each setting and model, with the ratios of time and of peak memory."""
    times = tuple(f"{name}, times as fast" for name in OURS)
    header = ("setting", "batch, steps, hidden, vocabulary", "model", "base", *times, "memory, native : base")
    lines = []
    for name, comparison in measured:
        setting, base = SIX_SETTINGS[name], comparison.row(comparison.base or "")
        sizes = f"{setting.batch_size}, {setting.num_steps}, {setting.num_hiddens}, {setting.vocab_size}"
        rows = [comparison.row(engine) for engine in OURS]
        ratios = ["" if row is None else ratio_text(row.ratio) if row.ratio else row.note for row in rows]
        ours, memory = rows[-1], ""
        if ours is not None and base is not None and base.peak_memory and ours.peak_memory:
            memory = f"{ours.peak_memory / base.peak_memory:.2f}"
        lines.append((name, sizes, comparison.title, comparison.base or "", *ratios, memory))
    return markdown(header, lines)
