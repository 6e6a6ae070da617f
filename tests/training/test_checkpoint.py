"""A run folder is whole at every moment, and damage to it is noticed."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from support.disk_calls import before_each
from support.paths import ROOT

from gru_scratch.text.corpus import Text
from gru_scratch.text.files import write_atomically
from gru_scratch.training.build import build_model, get_weights
from gru_scratch.training.checkpoint import (
    MANIFEST,
    Snapshot,
    pack_snapshot,
    read_manifest,
    read_snapshot,
    read_verified,
    write_files,
)
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.curve import draw_curve
from gru_scratch.training.data import read_run_text
from gru_scratch.training.folder import create_folder, load_run, save_run
from gru_scratch.training.text_task import TextTask
from gru_scratch.training.trainer import Trainer

CPU = torch.device("cpu")
WRITTEN = [
    "best.safetensors",
    "config.json",
    "curve.png",
    "manifest.json",
    "metrics.jsonl",
    "model.safetensors",
    "sample.txt",
    "state",
]


class PowerCutError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def trainer(text: Text) -> Trainer[TextTask]:
    config = TrainConfig(
        text=text.path, num_hiddens=6, batch_size=4, num_steps=7, max_tokens=200, epochs=2, val_fraction=0.001
    )
    run_text = read_run_text(config)
    return Trainer(TextTask(config, build_model(config, len(run_text.vocab), CPU), run_text, CPU))


@pytest.fixture
def run_folder(trainer: Trainer[TextTask], tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    trainer.run(save=lambda: save_run(folder, trainer, "time traveller\n"))
    return folder


def cut_power_at(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Let the process end at its `call`-th request to sync or to rename a file, before it is carried out."""

    def act(count: int) -> None:
        if count == call:
            raise PowerCutError

    before_each(monkeypatch, act)


class TestWriting:
    def test_atomic_writing_leaves_the_old_or_the_new(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        write_atomically(path, b"old")
        for call, content in ((1, b"old"), (2, b"old"), (3, b"new")):
            with pytest.MonkeyPatch.context() as patch:
                cut_power_at(patch, call)
                with pytest.raises(PowerCutError):
                    write_atomically(path, b"new")
            assert path.read_bytes() == content

    def test_several_files_are_what_the_manifest_says_wherever_writing_stops(self, tmp_path: Path) -> None:
        old = {"a": b"a1", "b": b"b1"}
        new = {"a": b"a2", "b": b"b2"}
        stops = 0
        for call in range(1, 30):
            folder = tmp_path / str(call)
            folder.mkdir()
            write_files(folder, old)
            with pytest.MonkeyPatch.context() as patch:
                cut_power_at(patch, call)
                try:
                    write_files(folder, new)
                except PowerCutError:
                    stops += 1
            for name in old:
                assert read_verified(folder, name) in (old[name], new[name])
            write_files(folder, new)
            assert {name: read_verified(folder, name) for name in new} == new
            assert not list(folder.glob("*.tmp"))
        assert stops > 5

    def test_the_files_of_a_run(self, run_folder: Path, trainer: Trainer[TextTask]) -> None:
        assert sorted(path.name for path in run_folder.iterdir()) == sorted([*WRITTEN, "vocab.json"])
        assert set(read_manifest(run_folder)) == {*WRITTEN, "vocab.json"} - {"state", MANIFEST}
        lines = (run_folder / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == trainer.state.history
        config = json.loads((run_folder / "config.json").read_text())
        assert config["options"]["num_hiddens"] == 6
        expected = {
            "vocab_size": len(trainer.task.text.vocab),
            "engine": trainer.task.engine,
            "reset_after": False,
            "cell_file": None,
        }
        assert config["model"] == expected
        assert (run_folder / "curve.png").read_bytes().startswith(b"\x89PNG")

    def test_a_run_that_is_ended_at_any_moment_of_saving_can_be_read(
        self, trainer: Trainer[TextTask], tmp_path: Path
    ) -> None:
        folder = tmp_path / "run"
        folder.mkdir()
        save_run(folder, trainer, "")
        for call in range(1, 40):
            with pytest.MonkeyPatch.context() as patch:
                cut_power_at(patch, call)
                try:
                    trainer.state.history.append({"epoch": call, "train_perplexity": 2.0})
                    save_run(folder, trainer, str(call))
                except PowerCutError:
                    pass
                else:
                    break
            load_run(folder, CPU)
            read_snapshot(folder / "state")
        else:
            pytest.fail("saving never came to its end")
        assert call > 10


class TestCreateFolder:
    def test_default_names_are_numbered(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        made = [create_folder(TrainConfig()) for _ in range(3)]
        assert [str(path) for path in made] == ["runs/gru", "runs/gru-2", "runs/gru-3"]

    def test_an_empty_folder_is_taken_and_one_that_holds_something_is_not(self, tmp_path: Path) -> None:
        out = tmp_path / "a" / "b"
        assert create_folder(TrainConfig(out=out)) == out
        assert create_folder(TrainConfig(out=out)) == out
        (out / "mine").write_text("precious")
        with pytest.raises(ValueError, match="is not empty"):
            create_folder(TrainConfig(out=out))
        assert [path.name for path in out.iterdir()] == ["mine"]


class TestSnapshot:
    def test_there_and_back(self, tmp_path: Path) -> None:
        snapshot = Snapshot({"a": torch.randn(3, 2).T, "b": torch.arange(3)}, {"x": [1, 2.5, None], "y": "é"})
        path = tmp_path / "state"
        path.write_bytes(pack_snapshot(snapshot))
        back = read_snapshot(path)
        assert back.record == snapshot.record
        assert all(torch.equal(back.tensors[name], tensor) for name, tensor in snapshot.tensors.items())

    def test_any_flipped_byte_and_any_cut_is_noticed(self, tmp_path: Path) -> None:
        content = pack_snapshot(Snapshot({"a": torch.randn(5)}, {"x": 1}))
        path = tmp_path / "state"
        for i in range(len(content)):
            path.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
            with pytest.raises(ValueError, match="damaged"):
                read_snapshot(path)
            path.write_bytes(content[:i])
            with pytest.raises(ValueError, match="damaged"):
                read_snapshot(path)


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


class TestReading:
    def test_the_model_that_was_saved(self, run_folder: Path, trainer: Trainer[TextTask]) -> None:
        run = load_run(run_folder, CPU)
        assert run.config == trainer.config
        assert run.vocab.idx_to_token == trainer.task.text.vocab.idx_to_token
        X = torch.randint(5, (2, 4))
        scores = [m(X, m.begin_state(batch_size=2, device=CPU))[0] for m in (run.model, trainer.task.model)]
        assert torch.equal(*scores)

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"no run folder .*nowhere"):
            load_run(tmp_path / "nowhere", CPU)
        (tmp_path / "file").touch()
        with pytest.raises(ValueError, match="expected a run folder, received the file"):
            load_run(tmp_path / "file", CPU)
        with pytest.raises(ValueError, match=r"not a finished run folder: it has no manifest\.json"):
            load_run(tmp_path, CPU)

    @pytest.mark.parametrize("name", ["manifest.json", "config.json", "vocab.json", "model.safetensors"])
    def test_a_file_that_is_missing_cut_short_or_altered(self, run_folder: Path, name: str) -> None:
        path = run_folder / name
        content = path.read_bytes()
        for cut in (0, 1, 8, len(content) // 2, len(content) - 2):
            path.write_bytes(content[:cut])
            with pytest.raises(ValueError, match=f"{name}.* is damaged|is damaged.*{name}"):
                load_run(run_folder, CPU)
        path.unlink()
        with pytest.raises(ValueError, match=f"it has no {name}"):
            load_run(run_folder, CPU)

    @pytest.mark.parametrize("name", WRITTEN)
    def test_a_flipped_byte_is_noticed_or_harmless(self, run_folder: Path, name: str) -> None:
        path = run_folder / name
        content = path.read_bytes()
        good = load_run(run_folder, CPU)
        for i in random.sample(range(len(content)), min(20, len(content))):
            path.write_bytes(content[:i] + bytes([content[i] ^ 4]) + content[i + 1 :])
            try:
                run = load_run(run_folder, CPU)
            except ValueError:
                continue
            assert run.config == good.config
            assert run.vocab.idx_to_token == good.vocab.idx_to_token
            weights = [get_weights(each.config, each.model) for each in (run, good)]
            assert all(torch.equal(p, q) for p, q in zip(*(w.values() for w in weights), strict=True))

    def test_a_pickle_in_place_of_weights_is_refused_and_never_executed(self, run_folder: Path, tmp_path: Path) -> None:
        witness = tmp_path / "witness"
        content = pickle.dumps(Bomb(witness))
        (run_folder / "model.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match="damaged"):
            load_run(run_folder, CPU)
        # Under a manifest that vouches for it, too.
        write_files(run_folder, {"model.safetensors": content})
        with pytest.raises(ValueError, match="is not a safetensors file"):
            load_run(run_folder, CPU)
        assert not witness.exists()
        pickle.loads(content)
        assert witness.exists()

    def test_files_that_do_not_belong_together(self, run_folder: Path) -> None:
        def put(name: str, change: Any) -> None:
            value = json.loads((run_folder / name).read_text())
            change(value)
            write_files(run_folder, {name: json.dumps(value).encode()})

        put("config.json", lambda value: value["options"].update(num_hiddens=7))
        with pytest.raises(
            ValueError, match=r"another model's: expected rnn.weight_ih_l0 \(21, 28\), received \(18, 28\)"
        ):
            load_run(run_folder, CPU)
        put("config.json", lambda value: value["options"].update(colour="red"))
        with pytest.raises(ValueError, match="colour"):
            load_run(run_folder, CPU)
        put("config.json", lambda value: value.pop("options"))
        with pytest.raises(ValueError, match="has no 'options'"):
            load_run(run_folder, CPU)
        put("config.json", lambda value: value.update(format=99))
        with pytest.raises(ValueError, match="of format 99"):
            load_run(run_folder, CPU)


SAVES_FOR_EVER = """
import sys
from pathlib import Path
import torch
from gru_scratch.training.build import build_model
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.data import read_run_text
from gru_scratch.training.folder import save_run
from gru_scratch.training.text_task import TextTask
from gru_scratch.training.trainer import Trainer

folder, text = map(Path, sys.argv[1:])
config = TrainConfig(text=text, num_hiddens=6, batch_size=4, num_steps=7, max_tokens=200, epochs=10**6, val_fraction=0)
run_text = read_run_text(config)
device = torch.device("cpu")
trainer = Trainer(TextTask(config, build_model(config, len(run_text.vocab), device), run_text, device))

def save() -> None:
    save_run(folder, trainer, "")
    print("saved", flush=True)

trainer.run(save=save, save_seconds=0.0)
"""


@pytest.mark.parametrize("attempt", [0, *(pytest.param(k, marks=pytest.mark.exhaustive) for k in (1, 2))])
def test_killed_while_it_saves(tmp_path: Path, text: Text, attempt: int) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SAVES_FOR_EVER, str(tmp_path), str(text.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "saved\n"
        time.sleep(random.Random(attempt).uniform(0.05, 0.4))
        process.send_signal(signal.SIGKILL)
    run = load_run(tmp_path, CPU)
    snapshot = read_snapshot(tmp_path / "state")
    assert snapshot.record["options"] == run.config.to_json()
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) <= snapshot.record["epoch"]


class TestCurve:
    def test_it_is_drawn_for_every_history(self) -> None:
        record = {"epoch": 1, "train_perplexity": 3.0, "held_out_perplexity": 4.0}
        for history in ([], [record], [record, {**record, "epoch": 2, "train_perplexity": None}]):
            assert draw_curve(history, "a run").startswith(b"\x89PNG")
