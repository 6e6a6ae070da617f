"""Initial values: what is drawn, and that a larger bias of the carrying gate makes every cell remember for longer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gru_scratch import GRU, LSTM, Recurrent, RNNModel
from gru_scratch.cells import CELLS, Cell, Zoneout, make_cell
from gru_scratch.layers.initial import add_forget_bias, initialise, initialise_layer

CARRYING = [name for name, cell in CELLS.items() if cell.carry is not None]
BIAS = 2.0


def derivative_one_step_on(layer: Any, cell: Cell) -> Tensor:
    """Of the carrying state of each unit by itself a step before, (B, H)."""
    torch.manual_seed(1)
    H, which = layer.hidden_size, cell.states._fields.index(cell.carry.state)  # type: ignore[union-attr]
    starts = [torch.randn(1, 5, H, dtype=torch.float64, requires_grad=True) for _ in cell.states._fields]
    x = torch.randn(1, 5, 3, dtype=torch.float64)
    _, end = layer(x, starts[0] if len(starts) == 1 else tuple(starts))
    ends = [end] if len(starts) == 1 else list(end)
    rows = [torch.autograd.grad(ends[which][0, :, i].sum(), starts[which], retain_graph=True)[0] for i in range(H)]
    return torch.stack([row[0, :, i] for i, row in enumerate(rows)], 1)


def check_that_it_remembers_longer(layer: Any, cell: Cell) -> None:
    with torch.no_grad():
        for name, param in layer.named_parameters():
            if name.startswith("weight_hh"):
                param.mul_(0.1)  # what a unit does to itself on other ways than the carrying gate's is small
    before = derivative_one_step_on(layer, cell)
    add_forget_bias(layer, BIAS)
    after = derivative_one_step_on(layer, cell)
    assert (after > before).all()
    assert after.mean() > before.mean() + 0.1


@pytest.mark.parametrize("name", CARRYING)
def test_a_larger_carry_bias_remembers_longer(name: str) -> None:
    torch.manual_seed(0)
    layer = Recurrent(CELLS[name], 3, 4, engine="textbook").double()
    check_that_it_remembers_longer(layer, layer.cell)


@pytest.mark.parametrize(("layer", "name"), [(nn.GRU, "gru"), (nn.LSTM, "lstm"), (GRU, "gru"), (LSTM, "lstm")])
def test_the_layers_of_torch_and_the_drop_ins_go_by_their_cells(layer: Any, name: str) -> None:
    torch.manual_seed(0)
    check_that_it_remembers_longer(layer(3, 4).double(), make_cell(CELLS[name]))


def test_a_wrapped_cell_carries_as_the_one_within() -> None:
    torch.manual_seed(0)
    layer = Recurrent(Zoneout(make_cell(CELLS["mgu"]), 0.0), 3, 4, engine="textbook").double()
    check_that_it_remembers_longer(layer, layer.cell)


@pytest.mark.parametrize(
    "layer", [nn.RNN(3, 4), Recurrent(CELLS["rnn"], 3, 4), Recurrent(CELLS["layer-norm-gru"], 3, 4)]
)
def test_a_cell_in_which_no_gate_carries_is_refused(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match="forget_bias needs a cell in which a gate carries the state"):
        add_forget_bias(layer, 1.0)


def test_every_layer_of_a_model_gets_the_bias() -> None:
    model = RNNModel(nn.LSTM(5, 4, num_layers=2), 5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    add_forget_bias(model, 1.5)
    for name, value in model.state_dict().items():
        expected = before[name].clone()
        if "bias_ih" in name:
            expected[4:8] += 1.5  # i, f, g, o
        torch.testing.assert_close(value, expected)


def test_orthogonal_of_a_model() -> None:
    model = RNNModel(GRU(6, 4, num_layers=2), 5, embedding_size=6)
    initialise(model, "orthogonal")
    weights = model.state_dict()
    for layer in (0, 1):
        for block in weights[f"rnn.weight_hh_l{layer}"].split(4):
            torch.testing.assert_close(block @ block.T, torch.eye(4), rtol=0, atol=1e-5)
        for block in weights[f"rnn.weight_ih_l{layer}"].split(4):
            assert block.abs().max() <= (6 / sum(block.shape)) ** 0.5
        assert not weights[f"rnn.bias_ih_l{layer}"].any()
    assert not weights["linear.bias"].any()
    assert 0.1 < weights["embedding.weight"].std() < 0.8


def test_the_books_and_a_cells_own_parameters() -> None:
    layer = Recurrent(CELLS["layer-norm-lstm"], 30, 40)
    initialise(layer, "book")
    assert layer.weight_ih_l0.detach().std() == pytest.approx(0.01, rel=0.1)
    assert (layer.gain_x_l0 == 1).all()
    assert not layer.bias_hh_l0.any()


def test_chrono_spreads_the_spans_of_units() -> None:
    layer = Recurrent(CELLS["mgu"], 3, 2000)
    initialise_layer(layer, "torch", "chrono", 200)
    spans = (-(layer.bias_ih_l0 + layer.bias_hh_l0)[:2000]).detach().exp()  # MGU's gate overwrites where it is open
    assert 1 <= float(spans.min()) < 3
    assert 198 < float(spans.max()) <= 200.001


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plain", "zero", 3), "weights must be 'book', 'orthogonal' or 'torch', received 'plain'"),
        (("torch", "two", 3), "received 'two'"),
        (("torch", "one", 0), "received 0"),
    ],
)
def test_initial_values_that_there_are_not(arguments: tuple[Any, Any, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        initialise_layer(Recurrent(CELLS["gru"], 3, 4), *arguments)
