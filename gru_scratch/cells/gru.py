"""The gated recurrent unit, in both its forms: d2l section 9.1 (Cho et al., 2014)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell, Coefficients, Gates, PreActivations, State, through_sigmoid, through_tanh

if TYPE_CHECKING:
    from gru_scratch.engines.fused.forward import Sequence


class GRUState(NamedTuple):
    """The hidden state."""

    h: Tensor


class GRUEquations(Cell):
    """The two GRUs: they differ in where the reset gate acts on the candidate ``n`` (the book's ``H_tilde``)::

    r  = sigmoid(x W_xr + b_xr + h W_hr + b_hr)
    z  = sigmoid(x W_xz + b_xz + h W_hz + b_hz)
    n  = tanh(x W_xn + b_xn + r * (h W_hn + b_hn))        reset_after=True:  nn.GRU, cuDNN, Keras
    n  = tanh(x W_xn + b_xn + (r * h) W_hn + b_hn)        reset_after=False: the paper, d2l
    h' = z * h + (1 - z) * n
    """

    gates = ("r", "z", "n")
    states = GRUState

    def __init__(self, reset_after: bool = True) -> None:
        self.reset_after = reset_after

    @property
    def second_product(self) -> str | None:  # type: ignore[override]
        return None if self.reset_after else "n"

    def step(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[State, Gates]:
        r = torch.sigmoid(x.r + h.r)
        z = torch.sigmoid(x.z + h.z)
        n = torch.tanh(x.n + r * h.n)
        h_new = z * state.h + (1 - z) * n
        return GRUState(h_new), {"r": r, "z": z, "n": n, "hn": h.n}

    def before(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[Tensor, Gates]:
        r = torch.sigmoid(x.r + h.r)
        z = torch.sigmoid(x.z + h.z)
        return r * state.h, {"r": r, "z": z}

    def after(
        self, x: PreActivations, h: PreActivations, state: State, gates: Gates, product: Tensor, **params: Tensor
    ) -> tuple[State, Gates]:
        z = gates["z"]
        n = torch.tanh(x.n + product)
        h_new = z * state.h + (1 - z) * n
        return GRUState(h_new), {**gates, "n": n}

    @property
    def x_apart(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("n",) if self.reset_after else ()

    def derivative(self, gates: Gates, state: State, new: State, out: Gates) -> Coefficients:
        """By the chain rule from h' = z h + (1 - z) n:  ∂h'/∂z = h - n,  ∂h'/∂n = 1 - z,  ∂h'/∂h = z,  then through the
        sigmoid or the tanh of each. n passes r its share: through r * hn (reset after), or through the product's vector
        r * h (reset before), of which ∂/∂r = h and ∂/∂h = r.
        """
        r, z, n = gates["r"], gates["z"], gates["n"]
        d_z = through_sigmoid(state.h - n, z, out["z"])
        if self.reset_after:
            d_n = through_tanh(1 - z, n, out["x.n"])
            d_r = through_sigmoid(d_n * gates["hn"], r, out["r"])
            return {"h": {"r": d_r, "z": d_z, "n": torch.mul(d_n, r, out=out["n"]), "x.n": d_n, "h": z}}
        d_n = through_tanh(1 - z, n, out["n"])
        return {"h": {"z": d_z, "n": d_n, "h": z}, "vector": {"r": through_sigmoid(state.h, r, out["r"]), "h": r}}

    @property
    def buffers(self) -> tuple[int, ...]:  # type: ignore[override]
        return (3, 1) if self.reset_after else (2, 1)

    def in_place(self, sequence: Sequence) -> None:
        if self.reset_after:
            self._reset_after(sequence)
        else:
            self._reset_before(sequence)

    def _reset_after(self, sequence: Sequence) -> None:
        """All products of h are added to one buffer, where r, z and hn then are; n has a dense buffer of its own."""
        RZN, N = sequence.buffers
        H = sequence.hidden_size
        sequence.lay_out(RZN, project=slice(0, 2), hidden_bias=slice(0, 3))
        sequence.lay_out(N, project=slice(2, 3))
        W_h = sequence.recurrent(0, 3)
        views = (RZN, RZN[..., : 2 * H], RZN[..., :H], RZN[..., H : 2 * H], RZN[..., 2 * H :], N)
        states = (sequence.before[0], sequence.after[0])
        for rzn, rz, r, z, hn, n, h, h_new in zip(*map(sequence.steps, (*views, *states)), strict=True):
            W_h.add_to(rzn, h)
            rz.sigmoid_()
            n.addcmul_(r, hn).tanh_()
            torch.lerp(n, h, z, out=h_new)

    def _reset_before(self, sequence: Sequence) -> None:
        """r and z share a buffer; the product of r * h is added where n's input already lies."""
        RZ, N = sequence.buffers
        H = sequence.hidden_size
        sequence.lay_out(RZ, project=slice(0, 2), hidden_bias=slice(0, 2))
        sequence.lay_out(N, project=slice(2, 3), hidden_bias=slice(2, 3))
        W_rz, W_n = sequence.recurrent(0, 2), sequence.recurrent(2, 3)
        views = (RZ, RZ[..., :H], RZ[..., H:], N, sequence.before[0], sequence.after[0])
        for rz, r, z, n, h, h_new in zip(*map(sequence.steps, views), strict=True):
            W_rz.add_to(rz, h).sigmoid_()
            W_n.add_to(n, r * h).tanh_()
            torch.lerp(n, h, z, out=h_new)

    def kept_gates(self, state: State, gates: Tensor, n: Tensor) -> Gates:
        if self.reset_after:
            r, z, hn = gates.chunk(3, -1)
            return {"r": r, "z": z, "n": n, "hn": hn}
        r, z = gates.chunk(2, -1)
        return {"r": r, "z": z, "n": n, "vector": r * state.h}

    def in_place_step(
        self, x: Tensor, h: Tensor, state: State, multiply: Callable[[Tensor], Tensor]
    ) -> Callable[[], None]:
        """The same operations as in the loops above; n comes to be where its input lay."""
        H = state.h.shape[-1]
        x_rz, n = x[:, : 2 * H], x[:, 2 * H :]
        rz, hn = h[:, : 2 * H], h[:, 2 * H :]
        r, z = rz.chunk(2, -1)
        vector = torch.empty_like(state.h)

        def reset_after() -> None:
            rz.add_(x_rz).sigmoid_()
            n.addcmul_(r, hn).tanh_()
            torch.lerp(n, state.h, z, out=state.h)

        def reset_before() -> None:
            rz.add_(x_rz).sigmoid_()
            n.add_(multiply(torch.mul(r, state.h, out=vector))).tanh_()
            torch.lerp(n, state.h, z, out=state.h)

        return reset_after if self.reset_after else reset_before
