"""Options as a person meets them: the page of help, and a command line that is read without PyTorch."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from gru_scratch.training.config import GROUPS, TrainConfig, parse
from gru_scratch.training.options import RunOptions

WITHOUT_TORCH = """
import sys, types
from pathlib import Path
package = types.ModuleType("gru_scratch")  # whose own first lines are not the question here
package.__path__ = [str(Path(sys.argv.pop(1)))]
sys.modules["gru_scratch"] = package
from gru_scratch.training.config import parse
try:
    parse(sys.argv[1:], lambda folder: None)
finally:
    assert not {"torch", "matplotlib"} & sys.modules.keys()
"""
PACKAGE = Path(__file__).resolve().parents[2] / "gru_scratch"


def no_run(folder: Path) -> TrainConfig:
    raise AssertionError(folder)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    return help_of(None, monkeypatch, capsys)


def help_of(
    preset: TrainConfig | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **options: object
) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        parse(["--help"], no_run, preset, **{"prog": "gru-scratch train", **options})  # type: ignore[arg-type]
    assert ended.value.code == 0
    return capsys.readouterr().out


class TestHelp:
    def test_it_fits_eighty_columns(self, shown: str) -> None:
        assert max(map(len, shown.splitlines())) <= 80

    def test_its_groups(self, shown: str) -> None:
        titles = re.findall(r"([a-z-]+) options\b[^a-z]*$", shown, re.MULTILINE)
        assert titles == ["text", "model", "optimisation", "end-of-the-run", "folder", "machine"]
        assert shown.count("  gru-scratch train ") == 3

    def test_every_option_has_its_default_once(self, shown: str) -> None:
        lines = re.split(r"^\W{0,6}--(?=[a-z])", shown.partition("text options")[2], flags=re.MULTILINE)[1:]
        parts = [" ".join(re.sub("[│─╭╮╰╯]", " ", each).split()) for each in lines]
        assert len(parts) == sum(len(fields(group)) for group in GROUPS.values())
        for part in parts:
            assert part.count("(default: ") == 1, part
            assert "default: None" not in part

    def test_a_presets_defaults_are_the_presets(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        preset = TrainConfig(num_hiddens=77, minutes=4.5, min_lr=0.0)
        shown = help_of(
            preset, monkeypatch, capsys, description="A preset.", prog="preset", otherwise={"text": "Shakespeare"}
        )
        assert shown.startswith("usage: preset ")
        text = " ".join(re.sub("[│─╭╮╰╯]", " ", shown).split())
        for said in ("Hidden units. (default: 77)", "(default: Shakespeare)", "(default: 0.0)", "4.5)"):
            assert said in text


def test_help_and_options_are_read_without_pytorch() -> None:
    for arguments in (["--help"], ["--cell", "lstm", "--epochs", "3"]):
        command = [sys.executable, "-c", WITHOUT_TORCH, str(PACKAGE), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


class TestParsing:
    def test_every_option_reaches_the_config(self) -> None:
        words = ["--batch-size=3", "--no-compile", "--reset-after", "--max_tokens", "7", "--text", "a.txt"]
        config, folder, given = parse(words, no_run)
        assert config == TrainConfig(batch_size=3, reset_after=True, max_tokens=7, text=Path("a.txt"))
        assert folder is None
        assert given == {"batch_size", "compile", "reset_after", "max_tokens", "text"}

    def test_a_run_that_goes_on_has_its_own_options(self) -> None:
        """Among them what would have no effect in a new one."""
        made = TrainConfig(num_hiddens=7, epochs=3, weight_decay=0.1)
        words = ["--resume", "runs/a", "--epochs", "9", "--weight-decay", "0.1"]
        assert parse(words, lambda folder: made) == (replace(made, epochs=9), Path("runs/a"), frozenset())
        with pytest.raises(ValueError, match="a resumed run stays in its own folder, runs/a, received out b"):
            parse(["--resume", "runs/a", "--out", "b"], lambda folder: made)


def test_options_of_a_run_of_another_kind_are_checked_likewise() -> None:
    with pytest.raises(ValueError, match="optimizer must be one of sgd, adamw, received 'adam'"):
        RunOptions(optimizer="adam")  # type: ignore[arg-type]
    made = RunOptions(epochs=3, out=Path("runs/x"))
    assert RunOptions.from_json(made.to_json()) == made
    with pytest.raises(ValueError, match=r"a newer version of gru_scratch made this run: .* its option warp"):
        RunOptions.from_json({**made.to_json(), "warp": 9})
    with pytest.raises(ValueError, match="made with epochs 3, which may grow but not become 2"):
        RunOptions(epochs=2).check_goes_on(made.to_json())
