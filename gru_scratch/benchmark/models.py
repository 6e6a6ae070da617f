"""The models that are compared, and each engine's program for them, all from the same parameters."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gru_scratch.benchmark.compare_options import ENGINES
from gru_scratch.benchmark.comparison import NotAvailableError
from gru_scratch.benchmark.setting import Setting
from gru_scratch.benchmark.training_step import (
    Batch,
    DenseModel,
    TrainingStep,
    draw_batch,
    step_of_functions,
    step_of_module,
)
from gru_scratch.cells import resolve_cell
from gru_scratch.cells.base import Cell
from gru_scratch.cells.make import make_cell
from gru_scratch.convert import torch_to_scratch
from gru_scratch.engines.choice import native_refusal
from gru_scratch.engines.torch_private import compiled_graphs, unrolling
from gru_scratch.layers import GRU, LSTM, RNN, Recurrent
from gru_scratch.models.language import SCRATCH_FUNCTIONS, RNNModel, RNNModelScratch


@dataclass(frozen=True)
class ModelKind:
    """A model that several engines compute."""

    title: str
    layer: Callable[..., Any]
    """Makes our layer: ``layer(input_size, hidden_size, batch_first=..., engine=...)``."""
    builtin: Callable[..., Any] | None = None
    """Makes that of torch.nn."""
    scratch: str | None = None
    """The name of its function in `gru_scratch.scratch`."""

    def engines(self, wanted: Sequence[str]) -> list[str]:
        """Those of the wanted engines that exist for this model, in the order of tables."""
        missing = set()
        if self.builtin is None:
            missing |= {name for name in ENGINES if name.startswith("builtin")}
        if not self.cell.elementwise:
            missing.add("native")
        if self.scratch is None and "textbook-layer" in wanted:
            missing.add("textbook")
        return [name for name in ENGINES if name in wanted and name not in missing]

    @property
    def cell(self) -> Cell:
        """Its equations."""
        return self.layer(1, 1).cell  # type: ignore[no-any-return]


def model_kinds(cell: str) -> list[ModelKind]:
    """The models of a cell's name (of ``gru`` there are two), or of a cell of one's own, path/to/file.py:ClassName.

    Raises:
        ValueError, FileNotFoundError: there is no such cell.
    """
    if cell == "rnn":
        return [ModelKind("RNN", RNN, nn.RNN, "rnn")]
    if cell == "gru":
        return [
            ModelKind("GRU, reset after", GRU, nn.GRU, "gru_reset_after"),
            ModelKind("GRU, reset before", partial(GRU, reset_after=False), None, "gru"),
        ]
    if cell == "lstm":
        return [ModelKind("LSTM", LSTM, nn.LSTM, "lstm")]
    equations = resolve_cell(cell)
    make_cell(equations)
    return [ModelKind(equations.__name__, partial(Recurrent, equations))]


class Programs:
    """Builds the engines' programs for one model, one setting and one minibatch."""

    def __init__(self, kind: ModelKind, setting: Setting, device: torch.device, seed: int = 0) -> None:
        self.kind, self.setting, self.device = kind, setting, device
        self.batch = draw_batch(setting, device, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.weights: dict[str, Tensor] = self._random_model(kind.layer).state_dict()

    def build(self, engine: str) -> TrainingStep:
        """The training step of an engine.

        Raises:
            NotAvailableError: with the reason.
        """
        net, how = self.network(engine), engine.partition("-")[2]
        if not isinstance(net, RNNModel):
            return step_of_functions(str(self.kind.scratch), net, self.batch)
        if how in ("compiled", "unrolled"):
            return _compile(net, self.batch, unroll=how == "unrolled")
        return step_of_module(net, self.batch, net)

    def network(self, engine: str) -> Any:
        """The engine's model, not compiled: called as ``model(X, state)`` with tokens X (B, T).

        Raises:
            NotAvailableError: with the reason.
        """
        if engine == "textbook" and self.kind.scratch is not None:
            return self._functions(self.kind.scratch)
        name = engine.partition("-")[0]
        kind = self.device.type
        if name == "native" and (refusal := native_refusal(self.kind.cell, torch.float32, kind, projected=False)):
            raise NotAvailableError(refusal)
        return self.new_model(self.kind.builtin if name == "builtin" else partial(self.kind.layer, engine=name))

    def new_model(self, layer: Any) -> RNNModel:
        """A module with ``layer(input_size, hidden_size)``, a linear layer, and the same parameters as all others."""
        model = self._random_model(layer)
        model.load_state_dict(self.weights)
        return model

    def _random_model(self, layer: Any) -> RNNModel:
        sizes, V = (self.setting.width, self.setting.num_hiddens), self.setting.vocab_size
        if self.setting.input == "tokens":
            return RNNModel(layer(*sizes), V).to(self.device)
        return DenseModel(layer(*sizes, batch_first=True), V).to(self.device)

    def _functions(self, cell: str) -> RNNModelScratch:
        """The model of the functions in `gru_scratch.scratch`."""

        def get_params(vocab_size: int, num_hiddens: int, device: torch.device) -> list[Tensor]:
            return [p.requires_grad_() for p in torch_to_scratch(cell, self.weights)]

        sizes = self.setting.vocab_size, self.setting.num_hiddens
        return RNNModelScratch(*sizes, self.device, get_params, *SCRATCH_FUNCTIONS[cell][1:])


def _compile(model: RNNModel, batch: Batch, unroll: bool) -> TrainingStep:
    """Compile at once, so that what cannot be compiled is known here."""
    torch.compiler.reset()  # else the sizes of the comparison before make this one's dynamic
    before, start = compiled_graphs(), time.perf_counter()
    try:
        with unrolling() if unroll else nullcontext(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch's own code
            step = step_of_module(model, batch, torch.compile(model))
            step()
    except Exception as error:  # a compiler has many
        raise NotAvailableError(f"does not compile: {type(error).__name__}") from error
    compiled = before is None or compiled_graphs() != before
    step.note = f"compiled in {time.perf_counter() - start:.0f} s" if compiled else "torch.compile leaves it as it is"
    return step
