"""The comparisons that plans are made of: of whole training steps, and of single-step generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from gru_scratch.benchmark.comparison import Builder, Comparison, Method, NotAvailableError, Program, compare
from gru_scratch.benchmark.floor import products
from gru_scratch.benchmark.models import ModelKind, Programs
from gru_scratch.benchmark.setting import Setting
from gru_scratch.generate.continuation import continuation

FLOOR = "products alone"
"""The row of :func:`gru_scratch.benchmark.floor.products`."""

TOKENS = 100
"""Generated in one run: of one sequence, one token after another, the likeliest next."""


def compare_training(
    kind: ModelKind, setting: Setting, engines: Sequence[str], method: Method, seed: int = 0, floor: bool = False
) -> Comparison:
    """Time the training step of one model under some engines, and with `floor` the products alone beside them."""
    try:
        programs = Programs(kind, setting, method.device, seed)
    except (RuntimeError, MemoryError) as error:  # how PyTorch and Python say that memory is short
        raise ValueError(f"cannot make {kind.title} with {setting.words()}: {error}") from error
    builders: dict[str, Builder] = {name: partial(_training, programs, name) for name in kind.engines(engines)}
    if floor:
        builders[FLOOR] = lambda: Program(products(kind.cell, setting, method.device))
    return compare(kind.title, asdict(setting), setting.tokens, builders, method)


def compare_generation(
    kind: ModelKind, setting: Setting, engines: Sequence[str], method: Method, seed: int = 0
) -> Comparison:
    """Time the generation of some tokens under some engines; what is compared is the scores of given tokens."""
    programs = Programs(kind, setting, method.device, seed)
    builders: dict[str, Builder] = {name: partial(_generation, programs, name) for name in kind.engines(engines)}
    details = {"num_hiddens": setting.num_hiddens, "vocab_size": setting.vocab_size, "generated": TOKENS}
    return compare(kind.title, details, TOKENS, builders, method)


def _training(programs: Programs, engine: str) -> Program:
    step = programs.build(engine)
    return Program(step, step.values, step.clear, step.note)


def _generation(programs: Programs, engine: str) -> Program:
    if engine.endswith(("-compiled", "-unrolled")):
        raise NotAvailableError("generation is not compiled here")
    net, device = programs.network(engine), programs.device
    given = torch.arange(TOKENS, device=device) % programs.setting.vocab_size

    def generate() -> list[int]:
        return list(islice(continuation(net, [0], device), TOKENS))

    def values() -> dict[str, Tensor]:
        state, scores = net.begin_state(batch_size=1, device=device), []
        with torch.no_grad():
            for token in given:
                found, state = net(token.reshape(1, 1), state)
                scores.append(found)
        return {"scores": torch.cat(scores)}

    return Program(generate, values)
