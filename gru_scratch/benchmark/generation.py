"""Comparisons of single-step generation: one sequence, one token after another, the likeliest next."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from gru_scratch.benchmark.comparison import Builder, Comparison, Method, NotAvailableError, Program, compare
from gru_scratch.benchmark.models import ModelKind, Programs
from gru_scratch.benchmark.setting import Setting
from gru_scratch.generate.continuation import continuation

TOKENS = 100
"""Generated in one run."""


def compare_generation(
    kind: ModelKind, setting: Setting, engines: Sequence[str], method: Method, seed: int = 0
) -> Comparison:
    """Time the generation of some tokens under some engines; what is compared is the scores of given tokens."""
    programs = Programs(kind, setting, method.device, seed)
    builders: dict[str, Builder] = {name: partial(_program, programs, name) for name in kind.engines(engines)}
    details = {"num_hiddens": setting.num_hiddens, "vocab_size": setting.vocab_size, "generated": TOKENS}
    return compare(kind.title, details, TOKENS, builders, method)


def _program(programs: Programs, engine: str) -> Program:
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
