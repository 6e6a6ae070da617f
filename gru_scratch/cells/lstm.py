"""Long short-term memory: d2l section 9.2 (Hochreiter and Schmidhuber, 1997; forget gate: Gers et al., 2000)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell, Coefficients, Gates, PreActivations, State, through_sigmoid, through_tanh

if TYPE_CHECKING:
    from gru_scratch.engines.fused.forward import Sequence


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
        tanh_c = gates["tanh_c"] if "tanh_c" in gates else torch.tanh(new.c)  # the loop in place has kept it
        return {
            "h": {"o": through_sigmoid(tanh_c, o, out["o"]), "new.c": through_tanh(o, tanh_c)},
            "c": {
                "i": through_sigmoid(g, i, out["i"]),
                "f": through_sigmoid(state.c, f, out["f"]),
                "g": through_tanh(i, g, out["g"]),
                "c": f,
            },
        }

    buffers = (4, 1, 1)

    def in_place(self, sequence: Sequence) -> None:
        """The gates come to be where their pre-activations were; but g in a dense buffer, of which tanh is quicker."""
        IFGO, G, TANH_C = sequence.buffers
        H = sequence.hidden_size
        sequence.lay_out(IFGO, project=slice(0, 4), hidden_bias=slice(0, 4))
        W_h = sequence.recurrent(0, 4)
        i_f_g_o = (IFGO[..., k * H : (k + 1) * H] for k in range(4))
        views = (IFGO, *i_f_g_o, G, TANH_C, *sequence.before, *sequence.after)
        for ifgo, i, f, a_g, o, g, tanh_c, h, c, h_new, c_new in zip(*map(sequence.steps, views), strict=True):
            W_h.add_to(ifgo, h)
            g.copy_(a_g).tanh_()
            ifgo.sigmoid_()
            torch.mul(f, c, out=c_new).addcmul_(i, g)
            torch.mul(o, torch.tanh(c_new, out=tanh_c), out=h_new)

    def kept_gates(self, state: State, ifgo: Tensor, g: Tensor, tanh_c: Tensor) -> Gates:
        i, f, _, o = ifgo.chunk(4, -1)
        return {"i": i, "f": f, "g": g, "o": o, "tanh_c": tanh_c}

    def in_place_step(
        self, x: Tensor, h: Tensor, state: State, multiply: Callable[[Tensor], Tensor]
    ) -> Callable[[], None]:
        """The same equations as in the loop above, on buffers that stay; each gate where its pre-activation was."""
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
