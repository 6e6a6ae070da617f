"""Gradient flow: against autograd's full Jacobian of the whole run, and through training."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gru_scratch.cells import CELLS, GRUEquations, RNNEquations, Zoneout, make_cell
from gru_scratch.engines import textbook
from gru_scratch.engines.trace import reads_of
from gru_scratch.engines.weights import LayerWeights
from gru_scratch.layers import Recurrent
from gru_scratch.studies.gradients.draw_gradients import draw_matrices, draw_starts, draw_training
from gru_scratch.studies.gradients.flow import Flow, gradient_flow, singular_values, spread_lags
from gru_scratch.studies.gradients.gradient_options import GradientOptions
from gru_scratch.studies.gradients.runs import STARTS, flow_at_start, pieces_of, watch_training
from gru_scratch.studies.gradients.watch import cell_of, first_tokens, model_flow
from gru_scratch.text.token_file import MappedTokens
from gru_scratch.training.build import build_model, get_weights
from gru_scratch.training.config import TrainConfig

CASES = {
    **{name: kind() for name, kind in CELLS.items()},
    "gru-reset-before": GRUEquations(reset_after=False),
    "zoneout": Zoneout(GRUEquations(), 0.3),
}
SMALL = GradientOptions(looks=(0, 2), span=9, sequences=2, num_hiddens=4, batch_size=3, num_steps=5)


def layer_of(name: str, proj_size: int = 0) -> tuple[Recurrent, LayerWeights, dict[str, Tensor]]:
    layer = Recurrent(CASES[name], 3, 4, proj_size=proj_size).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    ((parameters,),) = layer.layer_parameters()
    return layer, parameters.weights, dict(parameters.own)


@pytest.mark.parametrize("proj_size", [0, 2])
@pytest.mark.parametrize("name", CASES)
def test_flow_is_the_norm_of_autograds_jacobian_of_the_run(name: str, proj_size: int) -> None:
    if proj_size and not reads_of(CASES[name]).is_projectable(CASES[name]):
        with pytest.raises(ValueError, match="proj_size must be 0"):
            layer_of(name, proj_size)
        return
    layer, weights, own = layer_of(name, proj_size)
    cell, steps = layer.cell, 7
    inputs = torch.randn(steps, 2, 3, dtype=torch.float64)
    flow = gradient_flow(cell, weights, own, inputs, (7, 1, 4))
    assert flow.lags == (1, 4, 7)
    masks = cell.draw_masks((steps, 2, 4), False, weights.weight_hh)
    for k, norm, low, high in zip(flow.lags, flow.norms, flow.lowest, flow.highest, strict=True):
        norms = []
        for b in range(2):
            one = inputs[:, b : b + 1]
            ours = {n: mask[:, b : b + 1] for n, mask in masks.items()}
            start = cell.initial_state(1, 4, dtype=torch.float64)
            start = start._replace(**{start._fields[0]: start[0].new_zeros(1, proj_size or 4)})
            first = {n: mask[: steps - k] for n, mask in ours.items()}
            last = {n: mask[steps - k :] for n, mask in ours.items()}
            _, middle = textbook.run(cell, one[: steps - k], start, weights, own, first)
            sizes = [part.shape[1] for part in middle]

            def rest(
                flat: Tensor, one: Tensor = one, last: dict[str, Tensor] = last, sizes: list[int] = sizes
            ) -> Tensor:
                state = cell.states(*torch.split(flat, sizes, 1))
                _, end = textbook.run(cell, one[steps - k :], state, weights, own, last)  # noqa: B023 - called at once
                return torch.cat(tuple(end), 1)

            J = torch.autograd.functional.jacobian(rest, torch.cat(tuple(middle), 1).detach())
            norms.append(np.linalg.svd(J.squeeze().numpy(), compute_uv=False)[0])
        assert (low, high) == pytest.approx((min(norms), max(norms)), rel=1e-9)
        assert norm == pytest.approx(math.sqrt(norms[0] * norms[1]), rel=1e-9)


def test_symbols_flow_as_their_one_hot_vectors() -> None:
    layer, weights, own = layer_of("lstm")
    symbols = torch.randint(0, 3, (6, 2))
    one_hot = torch.nn.functional.one_hot(symbols, 3).double()
    of_symbols, of_vectors = (gradient_flow(layer.cell, weights, own, x, (1, 6)) for x in (symbols, one_hot))
    assert of_symbols.norms == pytest.approx(of_vectors.norms, rel=1e-12)


def test_a_linear_network_flows_as_the_powers_of_its_matrix() -> None:
    """relu with a positive state and positive weights is linear: the norm is that of W^k, over 500 steps."""
    W = torch.rand(4, 4, dtype=torch.float64) * 0.55
    weights = LayerWeights(torch.rand(4, 3, dtype=torch.float64), W)
    flow = gradient_flow(
        RNNEquations("relu"), weights, {}, torch.ones(500, 1, 3, dtype=torch.float64), spread_lags(500)
    )
    for k, norm in zip(flow.lags, flow.norms, strict=True):
        expected = float(np.linalg.norm(np.linalg.matrix_power(W.numpy(), k), 2))
        assert norm == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("factor", "norm"), [(1e-300, 0.0), (1e300, math.inf), (0.0, 0.0)])
def test_what_no_float_holds_is_nothing_or_infinite(factor: float, norm: float) -> None:
    weights = LayerWeights(torch.zeros(4, 3, dtype=torch.float64), factor * torch.eye(4, dtype=torch.float64))
    flow = gradient_flow(RNNEquations(), weights, {}, torch.zeros(3, 1, 3), (1, 2, 3))
    assert flow.norms == (pytest.approx(factor), norm, norm)


def test_the_plain_network_is_bounded_by_the_powers_of_its_largest_singular_value() -> None:
    layer, weights, own = layer_of("rnn")
    flow = gradient_flow(layer.cell, weights, own, torch.randn(20, 3, 3), spread_lags(20))
    sigma = singular_values(layer.cell, weights)["a"]
    assert all(high <= sigma**k * (1 + 1e-9) for k, high in zip(flow.lags, flow.highest, strict=True))


@pytest.mark.parametrize("lags", [(), (0,), (8,), (3, -1)])
def test_lags_out_of_range(lags: tuple[int, ...]) -> None:
    layer, weights, own = layer_of("gru")
    with pytest.raises(ValueError, match="from 1 to the 7 steps"):
        gradient_flow(layer.cell, weights, own, torch.randn(7, 1, 3), lags)


def test_singular_values_are_of_each_gates_block() -> None:
    layer, weights, _ = layer_of("lstm")
    found = singular_values(layer.cell, weights)
    assert list(found) == ["i", "f", "g", "o"]
    blocks = np.split(weights.weight_hh.detach().numpy(), 4)
    assert list(found.values()) == pytest.approx([np.linalg.svd(W, compute_uv=False)[0] for W in blocks])


@pytest.mark.parametrize("longest", [1, 2, 35, 500])
def test_spread_lags_rise_from_one_to_the_longest(longest: int) -> None:
    lags = spread_lags(longest)
    assert lags[0] == 1
    assert lags[-1] == longest
    assert list(lags) == sorted(set(lags))
    assert len(lags) <= 41


def test_no_longest_lag() -> None:
    with pytest.raises(ValueError, match="received 0"):
        spread_lags(0)


def test_pieces_are_spread_over_the_text() -> None:
    pieces = pieces_of(torch.arange(100), GradientOptions(span=10, sequences=3))
    assert pieces.shape == (10, 3)
    assert pieces[0].tolist() == [0, 45, 90]
    assert pieces[-1].tolist() == [9, 54, 99]
    with pytest.raises(ValueError, match="it has 9 characters, and a span needs 10"):
        pieces_of(torch.arange(9), GradientOptions(span=10))


def test_starts_differ_as_they_say() -> None:
    pieces = torch.randint(0, 6, (9, 2))
    looks = {way: flow_at_start("rnn", 6, pieces, way, 3, SMALL) for way in STARTS}
    plain, large, orthogonal = (look.singular_values["a"] for look in looks.values())
    assert large == pytest.approx(3 * plain)
    assert orthogonal == pytest.approx(1)


def test_training_is_watched_where_it_was_asked() -> None:
    corpus, pieces, done = torch.randint(0, 6, (40,)), torch.randint(0, 6, (9, 2)), []
    run = watch_training("lstm", corpus, pieces, 6, 0, 1.0, SMALL, done.append)
    assert [look.update for look in run.looks] == [0, 2]
    assert run.looks[0] != run.looks[1]
    assert len(run.losses) == len(run.gradient_norms) == 2
    assert sum(done) == 2
    again = watch_training("lstm", corpus, pieces, 6, 0, 1.0, SMALL)
    assert again == run


def test_clipping_acts_only_above_its_bound() -> None:
    corpus, pieces = torch.randint(0, 6, (40,)), torch.randint(0, 6, (9, 2))
    free, loose, tight = (watch_training("gru", corpus, pieces, 6, 0, clip, SMALL) for clip in (None, 1e3, 1e-3))
    assert free.losses == loose.losses
    assert free.gradient_norms == loose.gradient_norms
    assert free.losses[0] == tight.losses[0]
    assert free.losses[1] != tight.losses[1]


def test_a_run_that_cannot_go_on_says_where() -> None:
    corpus, pieces, done = torch.randint(0, 6, (40,)), torch.randint(0, 6, (9, 2)), []
    options = GradientOptions(looks=(0, 9), span=9, sequences=2, num_hiddens=4, batch_size=3, num_steps=5, lr=1e38)
    run = watch_training("rnn", corpus, pieces, 6, 0, None, options, done.append)
    assert run.stopped_at == len(run.losses) + 1 < 9
    assert [look.update for look in run.looks] == [0]
    assert sum(done) == 9
    assert draw_matrices([run]).startswith(b"\x89PNG")


def test_pictures_of_vanished_and_exploded_gradients() -> None:
    corpus, pieces = torch.randint(0, 6, (40,)), torch.randint(0, 6, (9, 2))
    runs = [watch_training("rnn", corpus, pieces, 6, 0, clip, SMALL) for clip in (1.0, None)]
    gone = Flow((1, 9), (1.0, 0.0), (1.0, 0.0), (1.0, 1e300))
    runs[0].looks[1] = type(runs[0].looks[1])(2, gone, runs[0].looks[1].singular_values)
    assert draw_training(runs).startswith(b"\x89PNG")
    starts = {"rnn": {way: [flow_at_start("rnn", 6, pieces, way, 0, SMALL)] for way in STARTS}}
    assert draw_starts(starts).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("span", 0),
        ("sequences", 0),
        ("looks", ()),
        ("looks", (-1,)),
        ("looks", (5, 3)),
        ("lr", 0.0),
        ("clip", math.inf),
        ("num_steps", 0),
    ],
)
def test_options_that_no_run_can_use(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        GradientOptions(**{name: value})  # type: ignore[arg-type]


def test_a_cell_of_ones_own_is_studied_too() -> None:
    assert make_cell(CASES["mgu"]).gates == ("f", "n")
    look = flow_at_start("mgu", 6, torch.randint(0, 6, (9, 2)), "as torch.nn", 0, SMALL)
    assert list(look.singular_values) == ["f", "n"]


CONFIGS = [
    TrainConfig(cell="gru", engine="textbook"),
    TrainConfig(cell="gru", engine="fused"),
    TrainConfig(cell="gru", engine="builtin"),
    TrainConfig(cell="lstm", engine="builtin", num_layers=2),
    TrainConfig(cell="peephole-lstm", engine="textbook", num_layers=2),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.cell}-{c.engine}-{c.num_layers}")
def test_a_models_top_layer_flows_as_finite_differences_say(config: TrainConfig) -> None:
    """Of the model itself: its state after 4 steps, against the top layer's state before them."""
    config = replace(config, num_hiddens=4, num_steps=6)
    model = build_model(config, 5, torch.device("cpu"))
    with torch.no_grad():
        for parameter in getattr(model, "params", None) or model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.5 * torch.randn_like(parameter))
    tokens = torch.randint(0, 5, (20,))
    layers = model_flow(cell_of(config, model), get_weights(config, model), tokens[:6].view(-1, 1), range(1, 7))
    assert [each.layer for each in layers] == list(range(config.num_layers))
    flow = layers[-1].flow
    assert flow.lags == (1, 2, 3, 4, 5, 6)

    def run(piece: Tensor, state: object) -> object:
        with torch.no_grad():
            return model(piece.view(1, -1), state)[1]

    def flat(state: object) -> list[Tensor]:
        parts = [state] if isinstance(state, Tensor) else list(state)  # type: ignore[call-overload]
        return [part if part.dim() == 2 else part[-1] for part in parts]

    middle = run(tokens[:2], model.begin_state(batch_size=1, device=torch.device("cpu")))
    rest = tokens[2:6]
    rows = []
    for part in range(len(flat(middle))):
        for unit in range(4):
            ends = []
            for sign in (-1, 1):
                moved = copy.deepcopy(middle)
                flat(moved)[part].data[0, unit] += sign * 1e-2
                ends.append(torch.cat(flat(run(rest, moved)), 1).detach()[0])
            rows.append((ends[1] - ends[0]) / 2e-2)
    expected = float(torch.linalg.matrix_norm(torch.stack(rows), ord=2))
    assert flow.norms[3] == pytest.approx(expected, rel=2e-2)


def test_first_tokens_of_a_text_in_memory_and_in_a_file(tmp_path: Path) -> None:
    numbers = np.arange(10, dtype=np.uint8)
    (tmp_path / "tokens").write_bytes(numbers.tobytes())
    for corpus in (torch.from_numpy(numbers), MappedTokens(tmp_path / "tokens", numbers.dtype)):
        assert first_tokens(corpus, 4).tolist() == [0, 1, 2, 3]
        assert first_tokens(corpus, 40).tolist() == list(range(10))
        assert first_tokens(corpus, 4).dtype == torch.int64
