"""Cells in NumPy, a loop each, written from the equations of their papers: an independent reference."""

from __future__ import annotations

import numpy as np
from support.one_layer import OneLayer


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


class Numbers:
    """A layer's numbers in NumPy, by gate: ``x[gate]`` is x W_x + b_x for all steps, ``h(gate, v)`` is v W_h + b_h."""

    def __init__(self, layer: OneLayer) -> None:
        W_x, W_h, b_x, b_h = (w.detach().numpy() for w in layer.weights[:4])
        names, X = layer.cell.gates, layer.inputs.detach().numpy()
        stack = zip(*(np.split(w, len(names)) for w in (W_x, W_h, b_x, b_h)), strict=True)
        self.by_name = dict(zip(names, stack, strict=True))
        self.x = {name: X @ W_xg.T + b_xg for name, (W_xg, _, b_xg, _) in self.by_name.items()}
        self.state = [s.detach().numpy() for s in layer.state]
        self.params = {name: p.detach().numpy() for name, p in layer.params.items()}
        self.masks = {name: m.numpy() for name, m in layer.masks.items()}
        self.steps = len(X)

    def h(self, gate: str, vector: np.ndarray) -> np.ndarray:
        _, W_hg, _, b_hg = self.by_name[gate]
        return vector @ W_hg.T + b_hg


def mgu(g: Numbers) -> list[np.ndarray]:
    """Zhou et al. (2016), equations 7 to 9."""
    (h,), outputs = g.state, []
    for t in range(g.steps):
        f = sigmoid(g.x["f"][t] + g.h("f", h))
        h_tilde = np.tanh(g.x["n"][t] + g.h("n", f * h))
        h = (1 - f) * h + f * h_tilde
        outputs.append(h)
    return outputs


def cifg(g: Numbers) -> list[np.ndarray]:
    """Greff et al. (2017), section 5, item CIFG, in terms of f."""
    (h, c), outputs = g.state, []
    for t in range(g.steps):
        f, o = (sigmoid(g.x[k][t] + g.h(k, h)) for k in "fo")
        c = f * c + (1 - f) * np.tanh(g.x["g"][t] + g.h("g", h))
        h = o * np.tanh(c)
        outputs.append(h)
    return outputs


def peephole(g: Numbers) -> list[np.ndarray]:
    """Gers et al. (2002), section 3; Graves (2013), equations 7 to 11."""
    (h, c), outputs = g.state, []
    for t in range(g.steps):
        i = sigmoid(g.x["i"][t] + g.h("i", h) + g.params["w_ci"] * c)
        f = sigmoid(g.x["f"][t] + g.h("f", h) + g.params["w_cf"] * c)
        c = f * c + i * np.tanh(g.x["g"][t] + g.h("g", h))
        o = sigmoid(g.x["o"][t] + g.h("o", h) + g.params["w_co"] * c)
        h = o * np.tanh(c)
        outputs.append(h)
    return outputs


def layer_norm(a: np.ndarray, gain: np.ndarray, shift: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """Ba et al. (2016), equation 3, over the last axis."""
    deviation = np.sqrt(a.var(-1, keepdims=True) + eps)
    return (a - a.mean(-1, keepdims=True)) / deviation * gain.reshape(-1) + shift.reshape(-1)


def layer_norm_lstm(g: Numbers) -> list[np.ndarray]:
    """Ba et al. (2016), equations 20 to 22."""
    (h, c), outputs, p = g.state, [], g.params
    for t in range(g.steps):
        x = np.concatenate([g.x[k][t] for k in "ifgo"], -1)
        hs = np.concatenate([g.h(k, h) for k in "ifgo"], -1)
        a = layer_norm(x, p["gain_x"], p["shift_x"]) + layer_norm(hs, p["gain_h"], p["shift_h"])
        i, f, candidate, o = np.split(a, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
        h = sigmoid(o) * np.tanh(layer_norm(c, p["gain_c"], p["shift_c"]))
        outputs.append(h)
    return outputs


def layer_norm_gru(g: Numbers) -> list[np.ndarray]:
    """Ba et al. (2016), the supplement's GRU, with z for the paper's 1 - z."""
    (h,), outputs, p = g.state, [], g.params
    for t in range(g.steps):
        x = np.concatenate([g.x[k][t] for k in "rz"], -1)
        hs = np.concatenate([g.h(k, h) for k in "rz"], -1)
        a = layer_norm(x, p["gain_x"][:2], p["shift_x"][:2]) + layer_norm(hs, p["gain_h"][:2], p["shift_h"][:2])
        r, z = np.split(sigmoid(a), 2, -1)
        x_n = layer_norm(g.x["n"][t], p["gain_x"][2], p["shift_x"][2])
        h_n = layer_norm(g.h("n", h), p["gain_h"][2], p["shift_h"][2])
        h = z * h + (1 - z) * np.tanh(x_n + r * h_n)
        outputs.append(h)
    return outputs


def zoned_gru(g: Numbers) -> list[np.ndarray]:
    """The GRU of nn.GRU with zoneout."""
    (h,), outputs = g.state, []
    for t in range(g.steps):
        r, z = (sigmoid(g.x[k][t] + g.h(k, h)) for k in "rz")
        n = np.tanh(g.x["n"][t] + r * g.h("n", h))
        h = np.where(g.masks["zoneout_h"][t] == 1, h, z * h + (1 - z) * n)
        outputs.append(h)
    return outputs


def zoned_lstm(g: Numbers) -> list[np.ndarray]:
    """Krueger et al. (2017), section 3.2: the new h comes from the c that is not yet zoned out."""
    (h, c), outputs = g.state, []
    for t in range(g.steps):
        i, f, o = (sigmoid(g.x[k][t] + g.h(k, h)) for k in "ifo")
        c_new = f * c + i * np.tanh(g.x["g"][t] + g.h("g", h))
        h_new = o * np.tanh(c_new)
        h = np.where(g.masks["zoneout_h"][t] == 1, h, h_new)
        c = np.where(g.masks["zoneout_c"][t] == 1, c, c_new)
        outputs.append(h)
    return outputs
