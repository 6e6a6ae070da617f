"""Engine "native" held to autograd through the plain loop: values and all gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from support.compiler import skip_without_compiler
from torch import Tensor

from gru_scratch.cells import Cell, make_cell
from gru_scratch.engines import textbook
from gru_scratch.engines.choice import native_refusal
from gru_scratch.engines.native import run
from gru_scratch.engines.weights import LayerWeights

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Of the largest element's error over the largest magnitude."""


@dataclass
class Problem:
    """A layer and what goes in, with numbers of a size at which gates are neither open nor shut."""

    cell: Cell
    steps: int = 5
    batch: int = 7
    hidden_size: int = 11
    tokens: bool = False
    lengths: list[int] | None = None
    bias: bool = True
    every: bool = False
    resets: bool = False
    dtype: torch.dtype = torch.float64

    def __post_init__(self) -> None:
        self.cell = make_cell(self.cell)
        D, H, T, B = 6, self.hidden_size, self.steps, self.batch
        G, R = len(self.cell.gates) * H, len(self.cell.recurrence.gates) * H
        biases = (self.draw(G), self.draw(R)) if self.bias else (None, None)
        self.weights = LayerWeights(self.draw(G, D), self.draw(R, H), *biases)
        self.inputs = torch.randint(D, (T, B)) if self.tokens else self.draw(T, B, D)
        self.state = self.cell.states(*(self.draw(B, H, around=1) for _ in self.cell.states._fields))
        self.fresh = self.cell.states(*(self.draw(B, H) for _ in self.state)) if self.resets else None
        self.params = {name: self.draw(*param.sizes(H), around=0.5) for name, param in self.cell.params.items()}
        self.masks = self.cell.draw_masks((T, B, H), True, self.weights.weight_hh.detach())
        self.lengths_tensor = None if self.lengths is None else torch.tensor(self.lengths)
        ends = T if self.lengths_tensor is None else self.lengths_tensor
        alive = torch.arange(T).unsqueeze(1) < ends
        self.resets_tensor = (torch.rand(T, B) < 0.3) & alive if self.resets else None
        put_out = len(self.state) if self.every else 1
        self.grad_outputs = [torch.randn(T, B, H, dtype=self.dtype) for _ in range(put_out)]
        self.grad_state = [torch.randn(B, H, dtype=self.dtype) for _ in self.state]

    def draw(self, *sizes: int, around: float = 0) -> Tensor:
        return (around + torch.randn(sizes, dtype=self.dtype) / 2 / self.hidden_size**0.25).requires_grad_()

    def leaves(self) -> dict[str, Tensor]:
        named = {} if self.tokens else {"inputs": self.inputs}
        named.update(self.state._asdict())
        named.update({f"fresh {name}": s for name, s in self.fresh._asdict().items()} if self.resets else {})
        named.update({name: w for name, w in self.weights._asdict().items() if w is not None})
        return {**named, **self.params}

    def by_autograd(self) -> dict[str, Tensor]:
        """The outputs, the final states and all gradients, of the plain loop."""
        given = self.weights, self.params, self.masks, self.lengths_tensor, self.every, self.resets_tensor, self.fresh
        outputs, final = textbook.run(self.cell, self.inputs, self.state, *given)
        arriving = [torch.cat(self.grad_outputs, -1), *self.grad_state]
        pairs = zip([outputs, *final], arriving, strict=True)
        smooth = [(y, d) for y, d in pairs if y.requires_grad]
        leaves = self.leaves()
        results, gradients = zip(*smooth, strict=True)
        found = torch.autograd.grad(results, [*leaves.values()], gradients, allow_unused=True, materialize_grads=True)
        values = {"outputs": outputs, **{f"final {name}": s for name, s in final._asdict().items()}}
        values = {name: value.detach() for name, value in values.items()}
        return {**values, **{f"d {name}": d for name, d in zip(leaves, found, strict=True)}}

    def by_native(self, keep: bool = True) -> dict[str, Tensor]:
        """The same of the engine; without gradients where nothing is kept."""
        skip_without_compiler()
        refusal = native_refusal(self.cell, self.dtype, "cpu", projected=False)
        assert refusal is None, refusal
        given = self.weights, self.params, self.masks, self.lengths_tensor
        anew = (self.resets_tensor, tuple(self.fresh)) if self.resets else ()
        with torch.no_grad():
            states, buffers = run.forward(self.cell, self.inputs, self.state, *given, keep, *anew)
            last = self.lengths_tensor if self.lengths else torch.full((self.batch,), self.steps)
            final = self.cell.states(*(s[last, torch.arange(self.batch)] for s in states))
            outputs = torch.cat([s[1:] for s in states[: len(self.grad_outputs)]], -1)
            values = {"outputs": outputs, **{f"final {name}": s for name, s in final._asdict().items()}}
            if not keep:
                return values
            assert [tuple(b.shape) for b in buffers] == run.buffer_shapes(self.cell, self.steps, self.batch, given[0])
            arriving = self.grad_outputs, self.grad_state, not self.tokens
            d = run.backward(self.cell, self.inputs, *given, states, buffers, *arriving, *anew)
        named: dict[str, Any] = {"inputs": d.inputs, **dict(zip(self.state._fields, d.state, strict=True))}
        named.update({f"fresh {name}": g for name, g in zip(self.state._fields, d.fresh, strict=False)})
        named.update({**d.weights._asdict(), **d.params})
        return {**values, **{f"d {name}": named[name] for name in self.leaves()}}

    def check(self) -> None:
        """Values and gradients agree."""
        expected, found = self.by_autograd(), self.by_native()
        for name, value in expected.items():
            error, largest = (found[name] - value).abs(), value.abs()
            if value.numel():
                assert error.max() <= TOLERANCE[self.dtype] * max(1.0, float(largest.max())), (name, self)
