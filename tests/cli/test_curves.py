"""scripts/curves.py: several runs' losses in one picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.script_runs import train
from support.small_runs import small_run

from gru_scratch.text.corpus import Text
from gru_scratch.training.curve import RunLosses, draw_losses
from gru_scratch.training.folder import save_run, save_test

PNG = b"\x89PNG\r\n\x1a\n"
RECORDS = [{"minutes": m, "update": 9 * m, "held_out_loss": 3 - m} for m in (0.5, 1.0, 2.0)]


@pytest.fixture
def runs(tmp_path: Path, text: Text) -> list[Path]:
    folders = []
    for name, options in (("one", {"val_fraction": 0.01}), ("two", {"val_fraction": 0.01}), ("none", {})):
        trainer = small_run(text.path, **{"val_fraction": 0.0, **options})
        trainer.run()
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        save_run(folders[-1], trainer, None)
    save_test(folders[0], {"carried": 2.5})
    return folders


def test_two_runs_in_one_picture(tmp_path: Path, runs: list[Path]) -> None:
    printed = train(tmp_path, *runs[:2], "--out", "here/curves.png", script="curves.py")
    assert "here/curves.png" in printed
    assert (tmp_path / "here/curves.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing"], "there is no run folder missing"),
        (["none"], "has no held-out loss"),
        ([], "expected at least one run folder"),
    ],
)
def test_what_cannot_be_drawn(tmp_path: Path, runs: list[Path], arguments: list[str], said: str) -> None:
    printed = train(tmp_path, *arguments, script="curves.py", status=2)
    assert said in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "runs").exists()


def test_damaged_records_are_named(tmp_path: Path, runs: list[Path]) -> None:
    path = runs[0] / "metrics.jsonl"
    path.write_text(json.dumps(RECORDS[0]) + "\n")
    assert "metrics.jsonl" in train(tmp_path, runs[0], script="curves.py", status=2)


def test_a_star_and_any_name() -> None:
    plain = draw_losses([RunLosses("a", RECORDS, None)])
    assert draw_losses([RunLosses("a", RECORDS, 1.5)]) != plain
    assert draw_losses([RunLosses("a", RECORDS, None)], "update") != plain
    assert draw_losses([RunLosses("$a\udcff", RECORDS, None)]).startswith(PNG)
