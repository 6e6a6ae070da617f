"""From the book's loop to native code, a step at a time: what each is worth.

Every rung computes the same from the same parameters. The engines have no switches for their parts: a rung takes a part
away from outside, by a cell without its derivative, or by replacing a name in an engine's modules while it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from types import MappingProxyType, ModuleType
from typing import Any

import torch
from torch import Tensor

from gru_scratch.benchmark.comparison import Builder, Comparison, Method, Program, compare
from gru_scratch.benchmark.models import ModelKind, Programs
from gru_scratch.benchmark.report import difference_text, markdown, ratio_text
from gru_scratch.benchmark.setting import Setting
from gru_scratch.benchmark.timing import paired_ratio
from gru_scratch.benchmark.training_step import TrainingStep, step_of_module
from gru_scratch.cells.base import Cell
from gru_scratch.engines import operators, textbook
from gru_scratch.engines.fused import bptt, forward, products
from gru_scratch.layers import Recurrent

Run = Callable[..., tuple[Tensor, Any]]
"""How an engine is called: cell, inputs, state, weights."""


def without(cell: Cell, *parts: str) -> Cell:
    """The same equations, without what the cell has beside them: its ``derivative``."""
    kind: Any = type(cell)
    return _without(kind, parts)(**cell.options())  # type: ignore[no-any-return]


@cache
def _without(kind: Any, parts: tuple[str, ...]) -> Any:
    """One class for the same parts, so that the registry of cells does not grow."""
    return type(f"{kind.__name__}Without_{'_'.join(parts)}", (kind,), dict.fromkeys(parts))


def step_by_step(cell: Cell, inputs: Tensor, state: Any, *weights: Any) -> tuple[Tensor, Any]:
    """The textbook loop that projects each input when its step comes."""
    outputs = []
    for x in inputs:
        output, state = textbook.run(cell, x.unsqueeze(0), state, *weights)
        outputs.append(output)
    return torch.cat(outputs), state


class OneWay(Recurrent):
    """One layer in one direction, run by one function, without checks, so that the function alone is timed."""

    def __init__(self, cell: Cell, run: Run, tokens: bool, input_size: int, hidden_size: int) -> None:
        super().__init__(cell, input_size, hidden_size)
        self.run, self.accepts_tokens = run, tokens

    def forward(self, input: Any, hx: Any = None, **options: Any) -> tuple[Any, Any]:
        states = self.cell.states(*(s.squeeze(0) for s in self._split(hx)))
        outputs, final = self.run(self.cell, input.contiguous(), states, self.layer_parameters()[0][0].weights)
        return outputs, self._join([s.unsqueeze(0) for s in final])


Change = tuple[ModuleType, str, Any]
"""A module, a name in it, and the value that the name has while a rung runs."""


@contextmanager
def changed(changes: Sequence[Change]) -> Iterator[None]:
    """Give names in modules other values, and afterwards their old ones again."""
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


@dataclass(frozen=True)
class Rung:
    """One way of computing a layer."""

    run: Run
    tokens: bool = True
    """Whether it reads tokens as they are, or one-hot vectors."""
    lacks: tuple[str, ...] = ()
    """Parts taken away from the cell."""
    changes: tuple[Change, ...] = ()
    """Names in the engine's modules that have other values while it runs."""


BOOK_LOOP = "the book's loop"

_WHOLE = (bptt, "STRETCH", 2**62)  # as many elements in a stretch of time as there can be: all
_BY_EQUATIONS = (forward, "loop_of", lambda cell: None)  # no loop in place
_PLAIN = (products, "_kernels", products.Kernels)  # no other routine than PyTorch's own

RUNGS: Mapping[str, Rung] = MappingProxyType(
    {
        "all gates in one product": Rung(step_by_step, tokens=False),
        "input projected before the loop": Rung(textbook.run, tokens=False),
        "rows looked up for tokens": Rung(textbook.run),
        "backward by hand": Rung(operators.fused, lacks=("derivative",), changes=(_WHOLE, _PLAIN, _BY_EQUATIONS)),
        "derivative by hand": Rung(operators.fused, changes=(_WHOLE, _PLAIN, _BY_EQUATIONS)),
        "equations in place": Rung(operators.fused, changes=(_WHOLE, _PLAIN)),
        "time in short stretches": Rung(operators.fused, changes=(_PLAIN,)),
        "the fastest product": Rung(operators.fused),
        "compiled to C": Rung(operators.native),
    }
)
"""By name, each with what the one before has, and one thing more; before them comes the book's loop."""


def compare_ladder(kind: ModelKind, setting: Setting, method: Method, seed: int = 0) -> Comparison:
    """Time every rung, and torch.nn's layer beside them; the ratios are to the book's loop."""
    programs = Programs(kind, setting, method.device, seed)
    builders: dict[str, Builder] = {BOOK_LOOP: partial(_program, lambda: programs.build("textbook"))}
    for name, rung in RUNGS.items():
        builders[name] = partial(_program, partial(_build, programs, rung), rung.changes)
    if kind.builtin is not None:
        builders["builtin"] = partial(_program, lambda: programs.build("builtin"))
    return compare(kind.title, asdict(setting), setting.tokens, builders, method)


def _build(programs: Programs, rung: Rung) -> TrainingStep:
    cell = programs.kind.cell
    model = programs.new_model(
        partial(OneWay, without(cell, *rung.lacks) if rung.lacks else cell, rung.run, rung.tokens)
    )
    return step_of_module(model, programs.batch, model)


def _program(build: Callable[[], TrainingStep], changes: Sequence[Change] = ()) -> Program:
    step = build()

    def under_changes(action: Callable[[], Any]) -> Any:
        with changed(changes):
            return action()

    return Program(partial(under_changes, step), partial(under_changes, step.values), step.clear)


def ladder_table(comparisons: Sequence[Comparison]) -> str:
    """A line for each rung: its time, what it gains on the rung before, and on the book's loop."""
    header = (
        "model",
        "step",
        "ms",
        "gain on the step before",
        "on the book's loop",
        "values differ",
        "peak MiB",
        "note",
    )
    lines = []
    for comparison in comparisons:
        before = None
        for row in comparison.rows:
            ladder = row.name in RUNGS
            gain = ratio_text(paired_ratio(before.seconds, row.seconds)) if ladder and before and row.ratio else ""
            lines.append(
                (
                    comparison.title,
                    row.name,
                    f"{1000 * row.median:.3g}" if row.seconds else "",
                    gain,
                    "1 (base)" if row.name == comparison.base else ratio_text(row.ratio) if row.ratio else "",
                    difference_text(max(row.differences.values(), default=0.0)) if row.ratio else "",
                    f"{row.peak_memory / 2**20:.3g}" if row.peak_memory else "",
                    row.note,
                )
            )
            before = row if row.seconds else before
    return markdown(header, lines)
