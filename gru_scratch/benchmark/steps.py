"""Comparisons of whole training steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from gru_scratch.benchmark.comparison import Builder, Comparison, Method, Program, compare
from gru_scratch.benchmark.floor import products
from gru_scratch.benchmark.models import ModelKind, Programs
from gru_scratch.benchmark.setting import Setting

FLOOR = "products alone"
"""The row of :func:`gru_scratch.benchmark.floor.products`."""


def compare_training(
    kind: ModelKind, setting: Setting, engines: Sequence[str], method: Method, seed: int = 0, floor: bool = False
) -> Comparison:
    """Time the training step of one model under some engines, and with `floor` the products alone beside them."""
    try:
        programs = Programs(kind, setting, method.device, seed)
    except (RuntimeError, MemoryError) as error:  # how PyTorch and Python say that memory is short
        raise ValueError(f"cannot make {kind.title} with {setting.words()}: {error}") from error
    builders: dict[str, Builder] = {name: partial(_program, programs, name) for name in kind.engines(engines)}
    if floor:
        builders[FLOOR] = lambda: Program(products(kind.cell, setting, method.device))
    return compare(kind.title, asdict(setting), setting.tokens, builders, method)


def _program(programs: Programs, engine: str) -> Program:
    step = programs.build(engine)
    return Program(step, step.values, step.clear, step.note)
