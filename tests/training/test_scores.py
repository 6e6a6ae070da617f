"""BLEU, F1 and the confusion matrix against independent values; the linear layer on counts; heat maps."""

from __future__ import annotations

import io
from types import ModuleType

import pytest
import sacrebleu
import torch
from matplotlib import image

from gru_scratch.training import heat_map
from gru_scratch.training.heat_map import draw_heat_map, without_font
from gru_scratch.training.linear_counts import linear_on_counts
from gru_scratch.training.scores import accuracy, bleu, confusion, exact_match, macro_f1

SAID = ["the cat sat on the mat", "a dog", "it is nine o'clock ."]
MEANT = [["the cat sat on a mat", "the cat is on the mat"], ["the dog"], ["it is nine o'clock ."]]


def test_bleu_is_sacrebleus() -> None:
    streams = [[each[0] for each in MEANT], ["the cat is on the mat", None, None]]
    assert bleu(SAID, MEANT) == sacrebleu.corpus_bleu(SAID, streams).score  # type: ignore[arg-type]
    chinese = [["一百零一"], ["二十"], ["三千五百"]]
    said = ["一百一十", "二十", "三千五百"]
    assert bleu(said, chinese, "char") == sacrebleu.corpus_bleu(said, [[c for (c,) in chinese]], tokenize="char").score
    assert bleu(["a b c d e"], [["a b c d e"]]) == pytest.approx(100)


def test_bleu_of_one_sentence_is_close_to_the_books(book: ModuleType) -> None:
    """The book's weighs n-grams otherwise; where all match, both are the brevity penalty alone."""
    said, meant = "he is at home now", "he is at home now with us"
    assert bleu([said], [[meant]]) / 100 == pytest.approx(book.bleu(said, meant, k=4), abs=1e-3)


def test_exact_matches() -> None:
    assert exact_match(SAID, MEANT) == pytest.approx(1 / 3)


def test_figures_of_a_confusion_matrix() -> None:
    said, labels = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 1, 1, 2, 2, 0])
    matrix = confusion(said, labels, 4)
    assert matrix.tolist() == [[1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]]
    assert accuracy(matrix) == pytest.approx(4 / 6)
    assert macro_f1(matrix) == pytest.approx((2 / 4 + 2 / 3 + 4 / 5 + 0) / 4)


def test_a_linear_layer_on_counts_sees_counts_and_no_order() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 6, (200, 9), generator=generator)
    by_count = [(row.tolist(), int((row == 0).sum() > (row == 1).sum())) for row in rows]
    matrix = linear_on_counts(by_count[:150], by_count[150:], 6, 2)
    assert accuracy(matrix) > 0.9
    assert int(matrix.sum()) == 50
    by_order = [(row.tolist(), int(row[0] < row[-1])) for row in rows]
    both = by_order + [(tokens[::-1], 1 - label) for tokens, label in by_order]
    assert accuracy(linear_on_counts(both, both, 6, 2)) == pytest.approx(0.5, abs=0.1)


def test_a_heat_map_is_as_large_as_its_names_need() -> None:
    small = draw_heat_map(torch.rand(2, 2), ["a", "b"], ["c", "$d$"], across="x", down="y", title="t", figures=True)
    large = draw_heat_map(torch.rand(40, 90), ["a"] * 40, ["word"] * 90, across="x", down="y", title="t")
    shapes = []
    for picture in (small, large):
        assert picture.startswith(b"\x89PNG")
        shapes.append(image.imread(io.BytesIO(picture)).shape[:2])
    assert shapes[0][0] < shapes[1][0] < 2000
    assert shapes[0][1] < shapes[1][1] < 2000


def test_boxes_are_no_font() -> None:
    assert not any("Last Resort" in name for name in heat_map._other_fonts().values())


def test_characters_without_a_font_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heat_map, "_other_fonts", dict)
    assert without_font("one 一二一\n") == "一二"
    assert without_font("façade") == ""
