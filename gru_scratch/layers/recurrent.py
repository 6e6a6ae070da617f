"""``Recurrent``: a layer of any cell, with the interface of the layers of ``torch.nn``."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from gru_scratch.cells import Cell, Zoneout, make_cell
from gru_scratch.engines.names import check_engine
from gru_scratch.engines.trace import reads_of
from gru_scratch.engines.weights import LayerWeights
from gru_scratch.layers.dropout import DropoutMasks, check_dropout
from gru_scratch.layers.layer import RecurrentLayer
from gru_scratch.layers.stack import Parameters


class Recurrent(RecurrentLayer, nn.Module):
    """A layer of any cell, with all that ``nn.LSTM`` has: depth, two directions, dropout, packed sequences, ...

    Parameters are named as in ``torch.nn``, the cell's own ``{name}_l{k}``, with ``_reverse`` for the other direction.
    Initial values are drawn as in ``torch.nn``, from U(-1/√H, 1/√H); those of the cell's own parameters are declared by
    the cell. The state is a tensor (L * directions, B, H), or for a cell with several states a tuple of them.

    Args:
        cell: a :class:`gru_scratch.cells.Cell` or its class.
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: as ``nn.LSTM``'s.
        proj_size: as for ``nn.LSTM``, where the cell reads its first state through products alone.
        engine: "auto", the fastest that serves (:meth:`explain_engine` says which); "native", the equations compiled to
            C; "fused", PyTorch's operators with gradients by hand; "textbook", the plain loop that autograd
            differentiates; "builtin", the kernel of ``torch.nn``. They differ in speed alone. None: the one that the
            environment variable GRU_SCRATCH_ENGINE names, else "auto".
        zoneout: the probability that a unit keeps its old state for a step, or one for each state of the cell.
        dropout_masks: how ``dropout`` draws. "torch": the masks that ``nn.LSTM`` draws under the same seed; "quick":
            others, which on a CPU take a third of the time; "locked": the same units at every step of a sequence (Gal
            and Ghahramani, 2016, arXiv:1512.05287).
        weight_dropout: the probability, in training, of zeroing a recurrent weight for one call (Merity et al., 2018,
            arXiv:1708.02182).

    Raises:
        TypeError, ValueError: as ``nn.LSTM``; and if ``cell`` is no cell or cannot have a projected state, the engine
            is unknown, or a probability is out of range.
    """

    def __init__(
        self,
        cell: Cell | type[Cell],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        engine: str | None = None,
        zoneout: float | Sequence[float] = 0.0,
        dropout_masks: DropoutMasks = "torch",
        weight_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_dropout(dropout_masks, weight_dropout)
        self.engine, self.dropout_masks = check_engine(engine), dropout_masks
        self.weight_dropout = float(weight_dropout)
        _check_options(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        self.cell = make_cell(cell, hidden_size)
        if zoneout != 0:
            self.cell = make_cell(Zoneout(self.cell, zoneout), hidden_size)
        self.zoneout = zoneout
        _check_cell(self.cell, proj_size)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=2,
            )
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse") if bidirectional else ("",):
                shapes = self._shapes(layer)
                names = [f"{name}_l{layer}{suffix}" for name in shapes]
                self._all_weights.append(names)
                for name, shape in zip(names, shapes.values(), strict=True):
                    self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        make_cell(self.cell)

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one layer's parameters in one direction, in the order of ``state_dict``."""
        H, state = self.hidden_size, self.proj_size or self.hidden_size
        rows, recurrent_rows = len(self.cell.gates) * H, len(self.cell.recurrence.gates) * H
        width = self.input_size if layer == 0 else state * (2 if self.bidirectional else 1)
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (recurrent_rows, state)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (recurrent_rows,)}
        if not recurrent_rows:
            shapes = {name: shape for name, shape in shapes.items() if not name.endswith("_hh")}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, H)
        return shapes | {name: param.sizes(H) for name, param in self.cell.params.items()}

    def reset_parameters(self) -> None:
        """Draw the weights and biases from U(-1/√H, 1/√H); the cell's own parameters get their initial values."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters():
            own = self.cell.params.get(name.rpartition("_l")[0])
            if own is None:
                init.uniform_(parameter, -bound, bound)
            else:
                init.constant_(parameter, own.initial)

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Do nothing, as the layers of ``torch.nn`` on a CPU."""

    def layer_parameters(self) -> list[list[Parameters]]:
        """The current parameters."""
        directions = 2 if self.bidirectional else 1
        parameters = [self._named(names) for names in self._all_weights]
        return [parameters[k : k + directions] for k in range(0, len(parameters), directions)]

    def _named(self, names: list[str]) -> Parameters:
        named = {name.rpartition("_l")[0]: getattr(self, name) for name in names}
        own = {name: named.pop(name) for name in self.cell.params}
        if not self.cell.recurrence.gates:
            named["weight_hh"] = named["weight_ih"].new_empty(0, self.hidden_size)
        return Parameters(LayerWeights(**named), own)

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Any:
        """The cell's initial state for every layer and direction: (L * directions, B, P or H), or a tuple of them."""
        one = self.cell.initial_state(batch_size, self.hidden_size, device=device, dtype=dtype)
        if self.proj_size:
            one = one._replace(**{one._fields[0]: one[0].new_zeros(batch_size, self.proj_size)})
        return self._join([s.expand(len(self._all_weights), *s.shape).contiguous() for s in one])

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Check input and state as the layers of ``torch.nn`` do."""
        self.check_input(input, batch_sizes)
        batch = int(batch_sizes[0]) if batch_sizes is not None else input.size(0 if self.batch_first else 1)
        states = self._split(hidden)
        for k, state in enumerate(states):
            width = self.proj_size if k == 0 and self.proj_size else self.hidden_size
            expected = (len(self._all_weights), batch, width)
            if state.size() != expected:
                name = "hidden size" if len(states) == 1 else f"hidden[{k}] size"
                raise RuntimeError(f"Expected {name} {expected}, got {list(state.size())}")

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """The states, with the batch in another order."""
        if permutation is None:
            return hx
        return self._join([s.index_select(1, permutation) for s in self._split(hx)])

    def extra_repr(self) -> str:
        inner = self.cell.cell if isinstance(self.cell, Zoneout) else self.cell
        shown = [repr(inner), str(self.input_size), str(self.hidden_size)]
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
            "engine": "auto",
            "zoneout": 0.0,
            "dropout_masks": "torch",
            "weight_dropout": 0.0,
        }
        shown += [f"{k}={getattr(self, k)!r}" for k, default in defaults.items() if getattr(self, k) != default]
        return ", ".join(shown)


def _check_options(
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bias: bool,
    batch_first: bool,
    dropout: float,
    proj_size: int,
) -> None:
    """Check the options as the constructors of ``torch.nn`` do, with their messages."""
    if not isinstance(dropout, numbers.Number) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
        )
    for name, flag in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(flag, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(flag).__name__}")
    for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not isinstance(size, int):
            raise TypeError(f"{name} should be of type int, got: {type(size).__name__}")
        if size <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


def _check_cell(cell: Cell, proj_size: int) -> None:
    """Raise ValueError for a cell that cannot be projected, or whose parameters have names of the layer's."""
    if proj_size and not reads_of(cell).is_projectable(cell):
        raise ValueError(f"{cell!r} reads its first state, so a layer cannot project it: proj_size must be 0")
    reserved = set(LayerWeights._fields) & set(cell.params)
    if reserved:
        raise ValueError(f"{cell!r} names a parameter of its own as the layer names its weights: {sorted(reserved)}")
