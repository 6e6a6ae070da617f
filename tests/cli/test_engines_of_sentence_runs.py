"""A run on sentences keeps to the engine that it began on, as a run on a text does, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.script_runs import RunScript

from gru_scratch.cli import train_classifier, train_translator
from gru_scratch.engines import choice
from gru_scratch.training.checkpoint import read_snapshot
from gru_scratch.training.classification_task import load_classifier
from gru_scratch.training.translation_task import load_translator

SMALL = ["--num-hiddens", 6, "--embedding", 4, "--batch-size", 16]
COMMANDS = {
    "train_translator": (train_translator, load_translator, [*SMALL, "--num-pairs", 40]),
    "train_classifier": (train_classifier, load_classifier, SMALL),
}


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "native_refusal", lambda *layer: "there is no C compiler")


@pytest.mark.parametrize("script", COMMANDS)
@pytest.mark.usefixtures("no_compiler")
class TestTheEngineThatRan:
    def test_it_is_noted_beside_what_was_asked_and_kept_to(
        self, in_process: RunScript, tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, load, options = COMMANDS[script]
        status, out, _ = in_process(script, *options, "--max-updates", 1, "--out", "run")
        assert status == 0
        assert ", engine fused (asked: auto)" in out
        described = json.loads((tmp_path / "run" / "config.json").read_text())
        assert (described["options"]["engine"], described["engine"]) == ("auto", "fused")
        assert read_snapshot(tmp_path / "run" / "state").record["engine"] == "fused"
        monkeypatch.undo()  # a compiler is there again
        monkeypatch.chdir(tmp_path)
        resumed = ["--resume", "run", "--max-updates"]
        assert ", engine fused (asked: auto)" in in_process(script, *resumed, 2)[1]
        assert ", engine textbook\n" in in_process(script, *resumed, 3, "--engine", "textbook")[1]
        assert load(tmp_path / "run", torch.device("cpu")).config.engine == "textbook"

    def test_one_that_is_not_to_be_had_is_refused_with_what_to_do(
        self, in_process: RunScript, tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        command, _, options = COMMANDS[script]
        status, out, err = in_process(script, *options, "--engine", "native", "--out", "run")
        assert (status, out) == (2, "")
        assert err.endswith("there is no C compiler; --engine auto takes the fastest that can\n")
        assert not any(tmp_path.iterdir())
        assert in_process(script, *options, "--max-updates", 1, "--out", "run")[0] == 0
        monkeypatch.setattr(command, "kept_engine", lambda config, identity: "native")
        before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
        status, out, err = in_process(script, "--resume", "run", "--max-updates", 2)
        assert (status, out) == (2, "")
        assert err.endswith("no C compiler; the run was made with native; --engine fused goes on under another\n")
        assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before

    def test_what_was_trained_on_native_code_is_read_without_a_compiler(
        self, in_process: RunScript, tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, load, options = COMMANDS[script]
        with monkeypatch.context() as compiler:
            compiler.setattr(choice, "native_refusal", lambda *layer: None)
            compiler.setitem(choice.RUNS, "native", choice.RUNS["fused"])
            assert in_process(script, *options, "--engine", "native", "--max-updates", 1, "--out", "run")[0] == 0
        model = load(tmp_path / "run", torch.device("cpu")).model
        assert model.training is False
        assert {each.engine for each in model.modules() if hasattr(each, "engine")} == {"auto"}
