"""A cell's compiled code, and how tensors are handed to it."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.engines.native.compiler import load
from gru_scratch.engines.native.sharing import run
from gru_scratch.engines.native.source import plan_of, print_plan

C_TYPES = {torch.float32: "float", torch.float64: "double"}
"""The types of number that cells are compiled for."""

_Number, _Pointer = ctypes.c_int64, ctypes.c_void_p


@cache
def library_of(cell: Cell, dtype: torch.dtype) -> Library:
    """The compiled code of a cell, compiled or found in the cache at the first call.

    Raises:
        NotElementwiseError: the cell's step does what has no expression.
        CompilerError: there is no compiler, or it fails.
    """
    return Library(cell, dtype)


class Library:
    """The functions of one cell in one type of number."""

    def __init__(self, cell: Cell, dtype: torch.dtype) -> None:
        self.plan = plan_of(cell)
        self.products = self.plan.equations.recurrence.products
        self._code = load(print_plan(cell, self.plan, C_TYPES[dtype]))
        self._layer = _layer_type(cell, len(self.products))
        self._sizes: dict[int, tuple[list[int], list[int]]] = {}
        layer = ctypes.POINTER(self._layer)
        for name in ("forward", "step", "backward"):
            getattr(self._code, name).argtypes = (layer, _Number, _Number, _Number)
        self._code.pack_forward.argtypes = (_Pointer, _Pointer, _Number, _Pointer)
        self._code.pack_backward.argtypes = (_Pointer, _Number, _Pointer)
        for name in ("forward", "step", "backward", "share", "pack_forward", "pack_backward", "packed_sizes"):
            getattr(self._code, name).restype = None

    def forward(self, layer: Any, threads: int, keep: bool = False) -> None:
        """All steps of the rows; to ``keep`` what backward reads."""
        run(self._code, "forward", [layer] * threads, keep)

    def step(self, layer: Any, threads: int) -> bool:
        """One step, after which the new states stand where the old ones stood; whether a thread was waited for."""
        return run(self._code, "step", [layer] * threads)

    def backward(self, layers: Sequence[Any], stop: int) -> None:
        """From the step before ``stop`` back to the layers' first, each of which is for one thread."""
        run(self._code, "backward", layers, stop)

    def layer(self, **values: Tensor | Sequence[Tensor] | Sequence[int] | int | None) -> Any:
        """What the functions read and write, by the names that the header gives; it keeps the tensors alive."""
        layer = self._layer()
        layer.tensors = {}
        self.fill(layer, **values)
        return layer

    def fill(self, layer: Any, **values: Tensor | Sequence[Tensor] | Sequence[int] | int | None) -> None:
        """Replace some of what a layer reads and writes."""
        layer.tensors.update(values)
        for name, value in values.items():
            if isinstance(value, (int, type(None))):
                setattr(layer, name, value)
            elif isinstance(value, Tensor):
                setattr(layer, name, value.data_ptr())
            else:
                getattr(layer, name)[: len(value)] = [v.data_ptr() if isinstance(v, Tensor) else v for v in value]

    def pack_forward(self, weight: Tensor, bias: Tensor | None) -> list[Tensor]:
        """The recurrent weights (R * H, H) and biases (R * H,) in the order in which forward reads them, by product."""
        packed, pointers = self._room(weight, 0)
        bias = None if bias is None else bias.contiguous()
        self._code.pack_forward(weight.data_ptr(), None if bias is None else bias.data_ptr(), weight.shape[1], pointers)
        return packed

    def pack_backward(self, weight: Tensor) -> list[Tensor]:
        """The recurrent weights in the order in which backward reads them, by product."""
        packed, pointers = self._room(weight, 1)
        self._code.pack_backward(weight.data_ptr(), weight.shape[1], pointers)
        return packed

    def _room(self, weight: Tensor, direction: int) -> tuple[list[Tensor], Any]:
        hidden_size, count = weight.shape[1], len(self.products)
        if hidden_size not in self._sizes:
            sizes = (_Number * (count + 1))(), (_Number * (count + 1))()
            self._code.packed_sizes(_Number(hidden_size), *sizes)
            self._sizes[hidden_size] = list(sizes[0])[:count], list(sizes[1])[:count]
        packed = [weight.new_empty(size) for size in self._sizes[hidden_size][direction]]
        return packed, (_Pointer * (count + 1))(*(p.data_ptr() for p in packed))


def _layer_type(cell: Cell, products: int) -> type[ctypes.Structure]:
    """``Layer`` of the header ``loop.h``, whose arrays are as long as the cell has need."""
    states, params, masks = (_Pointer * max(1, len(names)) for names in (cell.states._fields, cell.params, cell.masks))
    strides = _Number * max(1, len(cell.masks))
    fields: Mapping[str, Any] = {
        **dict.fromkeys(("steps", "rows", "hidden", "slot_step"), _Number),
        **dict.fromkeys(("alive", "tokens", "x"), _Pointer),
        "state": states,
        "resets": _Pointer,
        "fresh": states,
        "slots": _Pointer,
        "param": params,
        "mask": masks,
        "mask_step": strides,
        "mask_row": strides,
        "packed": _Pointer * max(1, products),
        **dict.fromkeys(("weight", "bias"), _Pointer),
        "part": _Number,
        "meeting": _Pointer,
        **dict.fromkeys(("first_step", "column_row"), _Number),
        "grad_output": states,
        **dict.fromkeys(("carry", "grad_fresh"), states),
        **dict.fromkeys(("columns", "temps"), _Pointer),
        "grad_param": params,
        "grad_table": _Pointer,
    }
    return type("Layer", (ctypes.Structure,), {"_fields_": list(fields.items())})
