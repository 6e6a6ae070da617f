"""What the gate page says in words: features of a text, who follows them, and gates as their cell describes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from gru_scratch import cells
from gru_scratch.cells import Cell, GRUEquations, LSTMEquations, RNNEquations, Zoneout
from gru_scratch.layers import Recurrent
from gru_scratch.models.language import RNNModel
from gru_scratch.studies.gates.collect import collect
from gru_scratch.studies.gates.features import Feature, correlations, features
from gru_scratch.studies.gates.words import describe


def test_features_of_a_text() -> None:
    text = "He’s “so, óut”\n'a' b.\n\n"
    found = {feature.name: "".join(str(int(x)) for x in feature.values) for feature in features(list(text))}
    lines = found.pop("position in line")
    assert found == {
        # text:           He’s “so, óut”/'a' b.//
        "word ends": "00010001000010001001000",
        "between words": "00001100110001110110111",
        "position in word": "12340012001230001001000",
        "inside quotes": "00000011111110000000000",
        "vowels": "01000001001100001000000",
    }
    assert lines == "".join(map(str, [*range(1, 15), 0, 1, 2, 3, 4, 5, 6, 0, 0]))


def test_straight_quotes_open_and_close_and_a_blank_line_ends_a_quotation() -> None:
    inside = next(f for f in features(list('a"b"c"d\n\ne"f')) if f.name == "inside quotes")
    assert "".join(str(int(x)) for x in inside.values) == "001000110001"


def test_a_text_of_one_line_has_no_lines_to_follow() -> None:
    varies = {feature.name: feature.varies for feature in features(list("time traveller"))}
    assert varies == {
        "word ends": True,
        "between words": True,
        "position in word": True,
        "inside quotes": False,
        "position in line": False,
        "vowels": True,
    }


def test_correlations_are_numpys_and_0_where_nothing_varies() -> None:
    units = torch.randn(40, 7)
    units[:, 3] = 0.1  # constant, and its mean is not exact in binary
    wanted = [Feature(name, "", torch.randn(40, dtype=torch.float64)) for name in "ab"]
    wanted.append(Feature("c", "", torch.full((40,), 0.3, dtype=torch.float64)))
    found = correlations(units, wanted)
    assert found.shape == (3, 7)
    for f in range(2):
        for u in range(7):
            expected = 0.0 if u == 3 else np.corrcoef(wanted[f].values, units[:, u].double())[0, 1]
            assert float(found[f, u]) == pytest.approx(expected, abs=1e-12)
    assert found[2].eq(0).all()
    assert correlations(units, []).shape == (0, 7)


class OwnState(NamedTuple):
    h: Tensor


class OwnCell(Cell):
    """A cell of one's own::

    f  = sigmoid(x W_xf + b_xf)        the paper's k
    """

    gates = ("f",)
    states = OwnState


def test_equations_are_those_of_the_docstring() -> None:
    assert describe(GRUEquations(True), "n", False).equation.startswith("n = tanh(x W_xn + b_xn + r * (h W_hn + b_hn))")
    assert describe(GRUEquations(False), "n", False).equation == (
        "n = tanh(x W_xn + b_xn + (r * h) W_hn + b_hn)   (the paper, d2l)"
    )
    assert describe(LSTMEquations(), "c", True).equation == "c' = f * c + i * g"
    assert describe(RNNEquations("relu"), "h", True).equation == "h' = tanh(a)   (or max(a, 0))"
    assert describe(OwnCell(), "f", False).equation == "f = sigmoid(x W_xf + b_xf)   (the paper's k)"
    assert describe(OwnCell(), "f", False).title == "gate f"
    assert describe(OwnCell(), "h", True).equation == ""
    assert describe(OwnCell(), "h", True).words == "A state of OwnCell, as its step returns it."


@pytest.mark.parametrize("name", cells.CELLS)
def test_every_gate_of_a_shipped_cell_is_explained(name: str) -> None:
    cell = cells.make_cell(cells.CELLS[name])
    for layer in collect(RNNModel(Recurrent(cell, 4, 3), 4), torch.tensor([1, 3])).layers:
        for quantity in layer:
            described = describe(cell, quantity.name, quantity.is_state)
            assert "as its step returns it" not in described.words
            zoned = describe(Zoneout(cell, 0.1), quantity.name, quantity.is_state)
            assert zoned.equation == described.equation
            assert zoned.words.endswith("Zoneout mixes in some of its old value.") == quantity.is_state
