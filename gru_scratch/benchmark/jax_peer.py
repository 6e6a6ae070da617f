"""Against JAX, which compiles any cell too: the same model, loss and gradients by a jitted ``lax.scan``.

    python -m gru_scratch.benchmark.jax_peer --threads 2

Both take tokens, run the recurrence from the same weights, score by a linear layer, and return the mean cross-entropy
and the gradient of every parameter. They are held to each other before they are timed, in turn, in one process.

Legend: ``T`` steps, ``B`` batch, ``H`` hidden size, ``V`` vocabulary.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gru_scratch.benchmark.machine import describe_machine
from gru_scratch.benchmark.models import ModelKind, Programs, model_kinds
from gru_scratch.benchmark.report import difference_text, markdown, ratio_text
from gru_scratch.benchmark.setting import SIX_SETTINGS, Setting
from gru_scratch.benchmark.timing import Budget, WallClock, in_turn, paired_ratio
from gru_scratch.training.hardware import threads_at_hand

TOLERANCE = 1e-4
"""Of the largest difference between two gradients over the largest magnitude: float32, sums of other orders."""

HEADER = ("setting", "model", "JAX, ms", "native, ms", "times as fast", "loss differs", "gradients differ", "compiled")

MISSING = "this comparison needs the package jax: pip install 'gru_scratch[jax]'"


def cell_kinds() -> dict[str, ModelKind]:
    """The models that are compared, by the name of their cell here."""
    return {"lstm": model_kinds("lstm")[0], "gru": model_kinds("gru")[0], "mgu": model_kinds("mgu")[0]}


def steps(jax: Any) -> dict[str, Callable[..., Any]]:
    """One step of each cell on the input's pre-activations: ``(weight (G * H, H), bias, states, x) -> states``."""
    np, sigmoid, tanh = jax.numpy, jax.nn.sigmoid, jax.numpy.tanh

    def lstm(weight: Any, bias: Any, states: Any, x: Any) -> Any:
        h, c = states
        i, f, g, o = np.split(x + h @ weight.T + bias, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c

    def gru(weight: Any, bias: Any, states: Any, x: Any) -> Any:
        (h,) = states
        (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(x, 3, axis=-1), np.split(h @ weight.T + bias, 3, axis=-1)
        z = sigmoid(x_z + h_z)
        n = tanh(x_n + sigmoid(x_r + h_r) * h_n)
        return (z * h + (1 - z) * n,)

    def mgu(weight: Any, bias: Any, states: Any, x: Any) -> Any:
        (h,) = states
        (x_f, x_n), (W_f, W_n), (b_f, b_n) = np.split(x, 2, axis=-1), np.split(weight, 2), np.split(bias, 2)
        f = sigmoid(x_f + h @ W_f.T + b_f)
        n = tanh(x_n + (f * h) @ W_n.T + b_n)
        return ((1 - f) * h + f * n,)

    return {"lstm": lstm, "gru": gru, "mgu": mgu}


def training_step(jax: Any, cell: str, setting: Setting) -> Any:
    """``(weights by name, tokens (T, B), targets (T * B,)) -> (loss, gradients by name)``, jitted."""
    np, step = jax.numpy, steps(jax)[cell]
    states = 2 if cell == "lstm" else 1

    def loss(weights: Mapping[str, Any], tokens: Any, targets: Any) -> Any:
        x = weights["rnn.weight_ih_l0"].T[tokens] + weights["rnn.bias_ih_l0"]  # (T, B, G * H)

        def advance(carried: Any, x_t: Any) -> Any:
            new = step(weights["rnn.weight_hh_l0"], weights["rnn.bias_hh_l0"], carried, x_t)
            return new, new[0]

        start = (np.zeros((setting.batch_size, setting.num_hiddens), np.float32),) * states
        _, outputs = jax.lax.scan(advance, start, x)
        scores = outputs.reshape(-1, setting.num_hiddens) @ weights["linear.weight"].T + weights["linear.bias"]
        chosen = np.take_along_axis(jax.nn.log_softmax(scores), targets[:, None], axis=-1)
        return -chosen.mean()

    return jax.jit(jax.value_and_grad(loss))


def compare_cell(jax: Any, name: str, cell: str, setting: Setting, seconds: float) -> tuple[str, ...]:
    """A line of the table, under :data:`HEADER`.

    Raises:
        ValueError: losses or gradients do not agree.
    """
    programs = Programs(cell_kinds()[cell], setting, torch.device("cpu"))
    ours, theirs = programs.build("native"), training_step(jax, cell, setting)
    weights = {key: jax.numpy.asarray(value.numpy()) for key, value in programs.weights.items()}
    tokens, targets = (jax.numpy.asarray(t.numpy()) for t in (programs.batch.X.T.contiguous(), programs.batch.y))
    start = time.perf_counter()
    loss, gradients = jax.block_until_ready(theirs(weights, tokens, targets))
    compiled = time.perf_counter() - start
    expected = ours.values()
    of_loss = abs(float(loss) - float(expected.pop("loss")))
    of_gradients = max(_difference(torch.tensor(jax.device_get(gradients[k])), d) for k, d in expected.items())
    if not max(of_loss, of_gradients) <= TOLERANCE:
        raise ValueError(f"{cell} at {name}: losses differ by {of_loss:.1e}, gradients by {of_gradients:.1e}")
    actions: dict[str, Callable[[], object]] = {
        "jax": lambda: jax.block_until_ready(theirs(weights, tokens, targets)),
        "native": ours,
    }
    samples = in_turn(actions, WallClock(), Budget(seconds))
    medians = [1000 * statistics.median(samples[key]) for key in actions]
    ratio = ratio_text(paired_ratio(samples["jax"], samples["native"]))
    differences = difference_text(of_loss), difference_text(of_gradients)
    return name, cell, *(f"{m:.1f}" for m in medians), ratio, *differences, f"{compiled:.1f} s"


def _difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m gru_scratch.benchmark.jax_peer", description=__doc__)
    cells = ("lstm", "gru", "mgu")
    parser.add_argument("--only", nargs="+", choices=tuple(SIX_SETTINGS), default=list(SIX_SETTINGS), help="settings")
    parser.add_argument("--cells", nargs="+", choices=cells, default=cells, help="cells")
    parser.add_argument(
        "--threads", type=int, default=threads_at_hand(), help="cores that both may use; by default all there are"
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="for each line of the table")
    options = parser.parse_args(given)
    if not 1 <= options.threads <= threads_at_hand():
        parser.error(
            f"threads must be from 1 to {threads_at_hand()}, the cores that are there, received {options.threads}"
        )
    return options


def main(given: Sequence[str] | None = None) -> int:
    """Print the table; the exit status."""
    options = arguments(given)
    if importlib.util.find_spec("jax") is None:
        sys.stderr.write(f"{MISSING}\n")
        return 1
    if hasattr(os, "sched_setaffinity"):  # before it is imported: JAX takes a thread for each core that it may use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    torch.set_num_threads(options.threads)
    os.environ["JAX_PLATFORMS"] = "cpu"
    jax = importlib.import_module("jax")
    lines = []
    for name in options.only:
        for cell in options.cells:
            sys.stderr.write(f"{name}: {cell}\n")
            lines.append(compare_cell(jax, name, cell, SIX_SETTINGS[name], options.seconds))
    machine = describe_machine(torch.device("cpu"))
    versions = f"JAX {jax.__version__}, PyTorch {torch.__version__}"
    where = f"{machine['processor']}, {options.threads} threads, load before {machine['load_before']}, {versions}"
    sys.stdout.write(f"{markdown(HEADER, lines)}\n\n{where}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
