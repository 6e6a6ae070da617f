"""Bars of tunes in ABC notation: those that ship, and broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.paths import ROOT

from gru_scratch.text.abc import Bars, count_bars, split_tunes

TUNES = sorted((ROOT / "data" / "tunes").glob("*.abc"))


@pytest.mark.parametrize("path", TUNES, ids=lambda path: path.stem)
def test_every_bar_of_a_shipped_tune_adds_up(path: Path) -> None:
    (tune,) = split_tunes(path.read_text())
    assert count_bars(tune) == Bars(16, 16)
    assert count_bars(tune).all_right


def test_one_note_more_or_less_is_one_bar_less() -> None:
    tune = TUNES[0].read_text()
    assert count_bars(tune.replace("C8 |]", "C8 z |]")) == Bars(15, 16)
    assert count_bars(tune.replace("C8 |]", "C7 |]")) == Bars(15, 16)
    assert not count_bars(tune.replace("C8 |]", "C7 |]")).all_right


@pytest.mark.parametrize(
    "music",
    [
        "C2 D2 E2 F2",
        "|: c'8 :|",
        "^C,4 __d4",
        "z4 x4",
        "[CEG]4 [ce]4",
        "(3CDE F2 G2 A2",
        "(6CDEFGA (2BB B3",
        "C>D E<F G4",
        "C3/2 D/ E// E// F/2 G5",
        '"Am"A4 !trill!~B2- (B2',
        "{gf}e8 % zzz",
        "[M:3/4] C6",
        "[L:1/4] C4",
    ],
)
def test_lengths_that_add_up(music: str) -> None:
    assert count_bars(f"M:4/4\nL:1/8\nK:C\n{music} |]\n") == Bars(1, 1)


@pytest.mark.parametrize("music", ["C7", "C9", "C8 ?", "(5CDEFG C6", "C0/0 C8", "C8 (3", "<C8", "C8 >", "?"])
def test_lengths_that_do_not(music: str) -> None:
    assert count_bars(f"M:4/4\nL:1/8\nK:C\n{music} |]\n") == Bars(0, 1)


def test_meters_and_units() -> None:
    assert count_bars("M:C\nK:C\nC8|1 C8 :|2 C8 |]") == Bars(3, 3)
    assert count_bars("M:C|\nL:1/4\nK:C\nC4 | C3 ||") == Bars(1, 2)
    assert count_bars("M:2/4\nK:C\nC8 |") == Bars(1, 1), "without L:, a sixteenth in a meter below 3/4"
    assert count_bars("K:C\nC8 | C8 |") == Bars(0, 2)
    assert count_bars("M:4/4\nL:x\nK:C\nC8 |\nM:6/8\nC6 |") == Bars(2, 2)
    assert count_bars("X:1\nM:4/4\n") == Bars(0, 0)
    assert not count_bars("").all_right


def test_tunes_of_a_text() -> None:
    assert split_tunes("4 |]\n\nX:1\nK:C\nC |]\n\nX:2\nK:G\nG") == ["X:1\nK:C\nC |]\n", "X:2\nK:G\nG\n"]
    assert split_tunes("no tune") == []
