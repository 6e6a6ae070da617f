"""Long short-term memory: d2l section 9.2 (Hochreiter and Schmidhuber, 1997; forget gate: Gers et al., 2000)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell, Coefficients, Gates, PreActivations, State, through_sigmoid, through_tanh

if TYPE_CHECKING:
    from gru_scratch.sequence import Sequence


class LSTMState(NamedTuple):
    """The hidden state and the memory cell."""

    h: Tensor
    c: Tensor


class LSTMEquations(Cell):
    """``nn.LSTM``; the book's ``C_tilde`` is ``g``::

    i  = sigmoid(x W_xi + b_xi + h W_hi + b_hi)
    f  = sigmoid(x W_xf + b_xf + h W_hf + b_hf)
    g  = tanh   (x W_xg + b_xg + h W_hg + b_hg)
    o  = sigmoid(x W_xo + b_xo + h W_ho + b_ho)
    c' = f * c + i * g
    h' = o * tanh(c')
    """

    gates = ("i", "f", "g", "o")
    states = LSTMState
    projectable = True

    def step(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[State, Gates]:
        i = torch.sigmoid(x.i + h.i)
        f = torch.sigmoid(x.f + h.f)
        g = torch.tanh(x.g + h.g)
        o = torch.sigmoid(x.o + h.o)
        c_new = f * state.c + i * g
        h_new = o * torch.tanh(c_new)
        return LSTMState(h_new, c_new), {"i": i, "f": f, "g": g, "o": o}

    def derivative(self, gates: Gates, state: State, new: State, out: Gates) -> Coefficients:
        """h' = o tanh(c') gives o its share and passes the rest to c'; c' = f c + i g gives i, f, g and c theirs:
        ∂c'/∂i = g,  ∂c'/∂f = c,  ∂c'/∂g = i,  ∂c'/∂c = f,  then through the sigmoid or the tanh of each.
        """
        i, f, g, o = gates["i"], gates["f"], gates["g"], gates["o"]
        tanh_c = torch.tanh(new.c)
        return {
            "h": {"o": through_sigmoid(tanh_c, o, out["o"]), "new.c": through_tanh(o, tanh_c)},
            "c": {
                "i": through_sigmoid(g, i, out["i"]),
                "f": through_sigmoid(state.c, f, out["f"]),
                "g": through_tanh(i, g, out["g"]),
                "c": f,
            },
        }

    buffers = (4,)

    def in_place(self, sequence: Sequence) -> None:
        """All four gates come to be in one buffer, where their pre-activations were."""
        (IFGO,) = sequence.buffers
        H = sequence.hidden_size
        sequence.lay_out(IFGO, project=slice(0, 4), hidden_bias=slice(0, 4))
        W_h = sequence.recurrent(0, 4)
        tanh_c = torch.empty_like(sequence.before[1][0])
        views = (
            IFGO,
            IFGO[..., : 2 * H],
            IFGO[..., :H],
            IFGO[..., H : 2 * H],
            IFGO[..., 2 * H : 3 * H],
            IFGO[..., 3 * H :],
        )
        states = (*sequence.before, *sequence.after)
        for ifgo, i_f, i, f, g, o, h, c, h_new, c_new in zip(*map(sequence.steps, (*views, *states)), strict=True):
            W_h.add_to(ifgo, h)
            i_f.sigmoid_()
            g.tanh_()
            o.sigmoid_()
            torch.mul(f, c, out=c_new).addcmul_(i, g)
            torch.mul(o, torch.tanh(c_new, out=tanh_c[: len(c)]), out=h_new)

    def kept_gates(self, state: State, ifgo: Tensor) -> Gates:
        return dict(zip(self.gates, ifgo.chunk(4, -1), strict=True))

    def in_place_step(
        self, x: Tensor, h: Tensor, state: State, multiply: Callable[[Tensor], Tensor]
    ) -> Callable[[], None]:
        """The same operations as in the loop above, on buffers that stay."""
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
