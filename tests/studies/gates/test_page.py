"""The data of the gate page, read back without its own scripts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.page_cases import TEXT, VOCAB, explored
from support.page_reading import Array, read_page, unpack
from support.sample_cells import Stabilised
from torch import nn

from gru_scratch.cells import LSTMEquations
from gru_scratch.layers import LSTM, Recurrent
from gru_scratch.studies.gates.collect import Collected, Quantity
from gru_scratch.studies.gates.exploration import Exploration
from gru_scratch.studies.gates.features import correlations, features
from gru_scratch.studies.gates.page import build_page, check_out, scale, write_page


def values_of(quantity: dict[str, Any], length: int) -> tuple[Array, Array]:
    """Values (T, H) and the step of each unit."""
    codes = unpack(quantity["codes"], "u1", quantity["units"], length)
    least, most = (unpack(quantity[end], "<f4", quantity["units"], 1) for end in ("least", "most"))
    step = (most - least) / 254
    return (least + codes * step).T, step.T


@pytest.mark.parametrize(
    "layer",
    [
        lambda: LSTM(len(VOCAB), 7, 2),
        lambda: nn.GRU(len(VOCAB), 7),
        lambda: nn.RNN(len(VOCAB), 7, nonlinearity="relu"),
        lambda: nn.LSTM(len(VOCAB), 7, proj_size=3),
        lambda: Recurrent(Stabilised, len(VOCAB), 4),
    ],
)
def test_the_numbers_of_the_page_are_the_models(layer: Any) -> None:
    found = explored(layer(), TEXT[:12], scale=1.5)
    data, length = read_page(build_page(found, title="a", source="b")), 12
    assert [[q["name"] for q in each] for each in data["layers"]] == [[q.name for q in each] for each in found.layers]
    for packed_layer, layer_, follow_layer in zip(data["layers"], found.layers, found.follows, strict=True):
        for packed, quantity, follows in zip(packed_layer, layer_, follow_layer, strict=True):
            values, step = values_of(packed, length)
            assert np.all(np.abs(values - quantity.values.numpy()) <= 0.51 * step)
            varying = [k for k, feature in enumerate(found.features) if feature.varies]
            kept = unpack(packed["follows"], "<u2", len(varying), packed["units"]) / 65535 * 2 - 1
            assert np.all(np.abs(kept - follows[varying].numpy()) <= 1 / 65535)

    assert [data["vocabulary"][k] for k in unpack(data["tokens"], "<u4", length)] == list(TEXT[:12])
    targets = unpack(data["targets"], "<u4", length)
    assert np.array_equal(targets, found.targets)
    predictions = data["predictions"]
    tokens = unpack(predictions["tokens"], "<u4", length, predictions["each"])
    parts = unpack(predictions["probabilities"], "<u2", length, predictions["each"]) / 65535
    of_target = unpack(predictions["of_target"], "<u2", length) / 65535
    p = found.probabilities.numpy()
    assert np.all(np.abs(parts - np.take_along_axis(p, tokens.astype(int), 1)) <= 1 / 65535)
    assert np.all(np.abs(of_target - p[np.arange(length), targets]) <= 1 / 65535)
    assert np.array_equal(tokens[:, 0], p.argmax(1))

    span = data["influence"]["span"]
    largest = unpack(data["influence"]["largest"], "<f4", length, 1)
    shares = unpack(data["influence"]["shares"], "u1", length, span)
    assert np.all(np.abs(shares / 255 * largest - found.influence.numpy()) <= largest / 255)
    assert np.allclose(largest[:, 0], found.influence.amax(1))


@pytest.mark.parametrize(
    ("values", "kind", "low", "high"),
    [
        ([[0.0, 0.5], [0.2, 1.0]], "part", [0, 0], [1, 1]),
        ([[0.0, 3.0], [0.0, 0.0]], "amount", [0, 0], [3, 1]),
        ([[-0.5, 0.2], [0.1, 0.3]], "signed", [-1, -1], [1, 1]),
        ([[-4.0, 2.0], [0.1, 0.5]], "signed", [-4, -0.5], [4, 0.5]),
    ],
)
def test_scales(values: list[list[float]], kind: str, low: list[float], high: list[float]) -> None:
    found = scale(torch.tensor(values, dtype=torch.float64))
    assert (found[0], found[1].flatten().tolist(), found[2].flatten().tolist()) == (kind, low, high)


def test_the_ends_of_a_unit_are_exact_and_one_that_never_moves_too() -> None:
    """So of an output that ReLU holds at 0 the page says 0."""
    found = explored()
    for quantity in (q for layer in found.layers for q in layer):
        quantity.values[:, 0] = 0.3
    for packed, of_layer in zip(read_page(build_page(found, title="", source=""))["layers"], found.layers, strict=True):
        for quantity, expected in zip(packed, of_layer, strict=True):
            values = values_of(quantity, len(TEXT))[0]
            assert np.array_equal(values[:, 0], expected.values[:, 0])
            assert np.array_equal(values.min(0), expected.values.amin(0))
            assert np.allclose(values.max(0), expected.values.amax(0), rtol=1e-6)


def test_a_long_text_of_a_wide_lstm_fits_into_5_megabytes() -> None:
    length, units, vocabulary = 2000, 256, 65
    layer = [Quantity(name, name in "hc", torch.randn(length, units).sigmoid()) for name in "ifgohc"]
    text = ("the time machine by h g wells\n" * 100)[:length]
    found = features(text)
    exploration = Exploration(
        kind="char",
        tokens=torch.randint(vocabulary, (length,)),
        vocabulary=[chr(33 + k) for k in range(vocabulary)],
        collected=Collected(LSTMEquations(), [layer], [], torch.zeros(0)),
        features=found,
        follows=[[correlations(quantity.values, found) for quantity in layer]],
        probabilities=torch.randn(length, vocabulary).softmax(-1),
        targets=torch.randint(vocabulary, (length,)),
        influence=torch.rand(length, 100),
    )
    assert len(build_page(exploration, title="LSTM", source="a file").encode()) < 5_000_000


def test_the_page_is_one_file_that_asks_the_network_for_nothing() -> None:
    page = build_page(explored(), title="a", source="b")
    assert not re.search(r"https?:|//\w+\.|@import|url\(|\bsrc=|<link|fetch\(|XMLHttpRequest|import\(", page)
    assert not re.search(r"/\*(data|styles|scripts)\*/|<!--generator-->", page)
    assert page.count("</script>") == 2  # the text's own ends nothing


def test_a_page_replaces_an_older_page_and_nothing_else(tmp_path: Path) -> None:
    page = build_page(explored(), title="a", source="b")
    write_page(tmp_path / "page.html", page)
    write_page(tmp_path / "page.html", page.replace("<h1>", "<h1>2"))
    assert "<h1>2" in (tmp_path / "page.html").read_text("utf-8")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is there and is no page of this command: it is not written over"):
        write_page(tmp_path / "notes.txt", page)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(ValueError, match="received the folder"):
        check_out(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        check_out(tmp_path / "none" / "page.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "page.html"]
