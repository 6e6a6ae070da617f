"""scripts/shakespeare.py: the preset runs from end to end, and reads its test text once."""

from __future__ import annotations

import json
from pathlib import Path

from support.script_runs import train

from gru_scratch.text.corpus import Text

SMALL = ["--minutes", "None", "--max-updates", "4", "--num-hiddens", "6", "--batch-size", "4", "--num-steps", "7"]


def test_the_preset_on_a_small_model(tmp_path: Path, text: Text) -> None:
    options = ["--text", text.path, "--cleaning", "raw", *SMALL, "--out", "run"]
    printed = train(tmp_path, *options, script="shakespeare.py")
    tested = json.loads((tmp_path / "run/test.json").read_text())
    assert f"test loss {tested['carried']:.4f} nats (best parameters, {tested['tokens']:,} tokens" in printed
    assert f"test loss {tested['windows']:.4f} nats in windows of 64" in printed
    used = json.loads((tmp_path / "run/config.json").read_text())["options"]
    assert (used["optimizer"], used["keep"], used["schedule"]) == ("adamw", "best", "cosine")
    whole = len(text.path.read_text(encoding="utf-8"))
    assert abs(tested["tokens"] - 0.1 * whole) <= 1


def test_a_text_that_is_all_put_aside(tmp_path: Path, text: Text) -> None:
    options = ["--text", text.path, *SMALL, "--test-fraction", "1"]
    printed = train(tmp_path, *options, script="shakespeare.py", status=2)
    assert "test_fraction must be at least 0 and below 1" in printed
    assert "Traceback" not in printed


def test_what_the_preset_has_and_what_is_given(tmp_path: Path, text: Text) -> None:
    """Without a held-out part the preset keeps the last parameters; who asks for the best is told that none are."""
    options = ["--text", text.path, *SMALL, "--val-fraction", "0", "--optimizer", "sgd", "--out", "run"]
    printed = train(tmp_path, *options, "--keep", "best", script="shakespeare.py", status=2)
    assert "keep best needs a held-out part, received val_fraction 0" in printed
    assert "nats (last parameters, " in train(tmp_path, *options, script="shakespeare.py")
    assert "interrupted" not in train(tmp_path, "--resume", "run", "--max-updates", 6, script="shakespeare.py")
