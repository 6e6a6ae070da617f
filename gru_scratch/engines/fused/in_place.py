"""Engine "fused": the book's cells over time in place, each equation written over the numbers that it reads.

A step then allocates nothing, and what backward reads lies where the loop left it. All other cells run by their own
``step``; these loops are held to theirs by a test.

Legend: ``B`` batch, ``H`` hidden size, ``T`` steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell, Gates, State
from gru_scratch.cells.gru import GRUEquations
from gru_scratch.cells.lstm import LSTMEquations
from gru_scratch.cells.rnn import RNNEquations
from gru_scratch.engines.fused.sequence import Sequence

Step = Callable[[], None]
"""One step, on buffers that stay where they are."""


class Seen(NamedTuple):
    """What a stretch of the loop's buffers holds, for the cell's derivative."""

    gates: Gates
    products: Mapping[str, Tensor]
    vectors: Mapping[str, Tensor]


class Loop(NamedTuple):
    """The loop of one cell."""

    buffers: tuple[int, ...]
    """The widths, in gates, of the buffers (T, B, width * H) that it fills and backward reads."""
    forward: Callable[[Sequence], None]
    seen: Callable[..., Seen]
    """``seen(state, *buffers)``, of a stretch of the buffers and the states before its steps."""
    step: Callable[..., Step]
    """``step(x, h, state, multiply)`` gives a function that makes one step: whenever it is called, ``x`` (B, G * H) and
    ``h``, the first product, hold numbers to be written over, and ``state`` becomes the new state. ``multiply(vector)``
    is the second product."""


def loop_of(cell: Cell) -> Loop | None:
    """The loop in place of a cell with a derivative by hand; None for one that runs by its equations."""
    step: Any = type(cell).step
    if cell.derivative is None:
        return None
    if step is GRUEquations.step:
        return GRU_RESET_AFTER if cell.options()["reset_after"] else GRU_RESET_BEFORE
    if step is LSTMEquations.step:
        return LSTM
    if step is RNNEquations.step:
        return RNN_TANH if cell.options()["nonlinearity"] == "tanh" else RNN_RELU
    return None


def _gru_reset_after(sequence: Sequence) -> None:
    """All products of h are added to one buffer, where r, z and the product of n then are; n has a dense buffer."""
    RZN, N = sequence.buffers
    H, weights = sequence.hidden_size, sequence.weights
    sequence.lay_out(RZN, project=slice(0, 2), hidden_bias=weights.bias_hh)
    sequence.lay_out(N, project=slice(2, 3))
    W_h = sequence.recurrent(weights.weight_hh)
    views = (RZN, RZN[..., : 2 * H], RZN[..., :H], RZN[..., H : 2 * H], RZN[..., 2 * H :], N)
    states = sequence.starts(0), sequence.steps(sequence.after[0])
    for rzn, rz, r, z, hn, n, h, h_new in zip(*map(sequence.steps, views), *states, strict=True):
        W_h.add_to(rzn, h)
        rz.sigmoid_()
        n.addcmul_(r, hn).tanh_()
        torch.lerp(n, h, z, out=h_new)


def _seen_reset_after(state: State, gates: Tensor, n: Tensor) -> Seen:
    r, z, hn = gates.chunk(3, -1)
    return Seen({"r": r, "z": z, "n": n}, {"r": r, "z": z, "n": hn}, {})


def _gru_reset_before(sequence: Sequence) -> None:
    """r and z share a buffer; the product of r * h is added where n's input already lies."""
    RZ, N = sequence.buffers
    H, weights = sequence.hidden_size, sequence.weights
    W_rz, W_n = torch.split(weights.weight_hh, [2 * H, H])
    b_rz, b_n = (None, None) if weights.bias_hh is None else torch.split(weights.bias_hh, [2 * H, H])
    sequence.lay_out(RZ, project=slice(0, 2), hidden_bias=b_rz)
    sequence.lay_out(N, project=slice(2, 3), hidden_bias=b_n)
    times_W_rz, times_W_n = sequence.recurrent(W_rz), sequence.recurrent(W_n)
    views = (RZ, RZ[..., :H], RZ[..., H:], N)
    states = sequence.starts(0), sequence.steps(sequence.after[0])
    for rz, r, z, n, h, h_new in zip(*map(sequence.steps, views), *states, strict=True):
        times_W_rz.add_to(rz, h).sigmoid_()
        times_W_n.add_to(n, r * h).tanh_()
        torch.lerp(n, h, z, out=h_new)


def _seen_reset_before(state: State, gates: Tensor, n: Tensor) -> Seen:
    r, z = gates.chunk(2, -1)
    return Seen({"r": r, "z": z, "n": n}, {"r": r, "z": z, "n": n}, {"W.n": r * state.h})


def _gru_step(reset_after: bool) -> Callable[..., Step]:
    """The same operations as in the loops above; n comes to be where its input lay."""

    def make(x: Tensor, h: Tensor, state: State, multiply: Callable[[Tensor], Tensor]) -> Step:
        H = state.h.shape[-1]
        x_rz, n = x[:, : 2 * H], x[:, 2 * H :]
        rz, hn = h[:, : 2 * H], h[:, 2 * H :]
        r, z = rz.chunk(2, -1)
        vector = torch.empty_like(state.h)

        def step() -> None:
            rz.add_(x_rz).sigmoid_()
            if reset_after:
                n.addcmul_(r, hn).tanh_()
            else:
                n.add_(multiply(torch.mul(r, state.h, out=vector))).tanh_()
            torch.lerp(n, state.h, z, out=state.h)

        return step

    return make


def _lstm(sequence: Sequence) -> None:
    """The gates come to be where their pre-activations were; but g in a dense buffer, of which tanh is quicker."""
    IFGO, G, TANH_C = sequence.buffers
    H, weights = sequence.hidden_size, sequence.weights
    sequence.lay_out(IFGO, project=slice(0, 4), hidden_bias=weights.bias_hh)
    W_h = sequence.recurrent(weights.weight_hh)
    i_f_g_o = (IFGO[..., k * H : (k + 1) * H] for k in range(4))
    views = map(sequence.steps, (IFGO, *i_f_g_o, G, TANH_C))
    states = sequence.starts(0), sequence.starts(1), *map(sequence.steps, sequence.after)
    for ifgo, i, f, a_g, o, g, tanh_c, h, c, h_new, c_new in zip(*views, *states, strict=True):
        W_h.add_to(ifgo, h)
        g.copy_(a_g).tanh_()
        ifgo.sigmoid_()
        torch.mul(f, c, out=c_new).addcmul_(i, g)
        torch.mul(o, torch.tanh(c_new, out=tanh_c), out=h_new)


def _seen_lstm(state: State, ifgo: Tensor, g: Tensor, tanh_c: Tensor) -> Seen:
    i, f, _, o = ifgo.chunk(4, -1)
    gates = {"i": i, "f": f, "g": g, "o": o}
    return Seen({**gates, "tanh_c": tanh_c}, gates, {})


def _lstm_step(x: Tensor, h: Tensor, state: State, multiply: Callable[[Tensor], Tensor]) -> Step:
    """The same equations as in the loop above; each gate comes to be where its pre-activation was."""
    i_f, (i, f, g, o) = h[:, : h.shape[1] // 2], h.chunk(4, -1)
    tanh_c = torch.empty_like(state.c)

    def step() -> None:
        h.add_(x)
        i_f.sigmoid_()
        g.tanh_()
        o.sigmoid_()
        state.c.mul_(f).addcmul_(i, g)
        torch.mul(o, torch.tanh(state.c, out=tanh_c), out=state.h)

    return step


def _rnn(activate: Any) -> Callable[[Sequence], None]:
    """The pre-activations are laid where the states go, and become the states there."""

    def forward(sequence: Sequence) -> None:
        H_new = sequence.after[0]
        sequence.lay_out(H_new, project=slice(0, 1), hidden_bias=sequence.weights.bias_hh)
        W_hh = sequence.recurrent(sequence.weights.weight_hh)
        for h, h_new in zip(sequence.starts(0), sequence.steps(H_new), strict=True):
            activate(W_hh.add_to(h_new, h))

    return forward


def _rnn_step(activate: Any) -> Callable[..., Step]:
    def make(x: Tensor, h: Tensor, state: State, multiply: Callable[[Tensor], Tensor]) -> Step:
        return lambda: state.h.copy_(activate(h.add_(x)))

    return make


def _seen_rnn(state: State) -> Seen:
    return Seen({}, {"a": state.h}, {})


GRU_RESET_AFTER = Loop((3, 1), _gru_reset_after, _seen_reset_after, _gru_step(reset_after=True))
GRU_RESET_BEFORE = Loop((2, 1), _gru_reset_before, _seen_reset_before, _gru_step(reset_after=False))
LSTM = Loop((4, 1, 1), _lstm, _seen_lstm, _lstm_step)
RNN_TANH = Loop((), _rnn(Tensor.tanh_), _seen_rnn, _rnn_step(Tensor.tanh_))
RNN_RELU = Loop((), _rnn(Tensor.relu_), _seen_rnn, _rnn_step(Tensor.relu_))
