"""One run on every engine: the same losses, the same parameters on disk, and one going on where another stopped."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.own_cell import OWN_CELL
from torch import Tensor, nn

from gru_scratch.cells import CELLS, CellFile
from gru_scratch.engines import choice
from gru_scratch.layers import GRU, LSTM, Recurrent
from gru_scratch.models.language import RNNModel, RNNModelScratch
from gru_scratch.text.corpus import Text
from gru_scratch.training.build import build_model, count_parameters, find_cell_file, get_weights, set_weights
from gru_scratch.training.checkpoint import write_files
from gru_scratch.training.config import TrainConfig, parse
from gru_scratch.training.data import read_run_text
from gru_scratch.training.engine import kept_engine
from gru_scratch.training.folder import load_run, read_state, save_run
from gru_scratch.training.text_task import TextTask
from gru_scratch.training.trainer import Trainer

CPU = torch.device("cpu")
SMALL = TrainConfig(batch_size=4, num_steps=7, num_hiddens=12, epochs=4, max_tokens=300, val_fraction=0.001)


def small_run(text: Text, kept_engine: str | None = None, **options: Any) -> Trainer[TextTask]:
    config = dataclasses.replace(SMALL, text=text.path, **options)
    run_text = read_run_text(config)
    torch.manual_seed(config.seed)
    cell_file = find_cell_file(config)
    model = build_model(config, len(run_text.vocab), CPU, cell_file)
    return Trainer(TextTask(config, model, run_text, CPU, cell_file, kept_engine=kept_engine))


def no_run(folder: Path) -> TrainConfig:
    raise AssertionError(folder)


def losses(trainer: Trainer[TextTask]) -> list[float]:
    assert trainer.run()
    return [record["train_loss"] for record in trainer.state.history]


def weights_of(trainer: Trainer[TextTask]) -> dict[str, Tensor]:
    return trainer.task.weights()


@pytest.fixture
def own_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("cells.py").write_text(OWN_CELL)
    return "cells.py:MGUCell"


class TestTheBooksModels:
    @pytest.mark.parametrize("sampling", ["sequential", "random"])
    @pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
    def test_textbook_and_fused_give_the_same_losses(self, text: Text, cell: str, sampling: str) -> None:
        textbook = small_run(text, cell=cell, engine="textbook", sampling=sampling, num_hiddens=32)
        fused = small_run(text, cell=cell, engine="fused", sampling=sampling, num_hiddens=32)
        assert isinstance(textbook.task.model, RNNModelScratch)
        assert isinstance(fused.task.model, RNNModel)
        assert count_parameters(textbook.task.model) == count_parameters(fused.task.model)
        for name, weight in weights_of(textbook).items():
            assert torch.equal(weight, weights_of(fused)[name])
        assert losses(textbook) == pytest.approx(losses(fused), rel=1e-6)
        assert textbook.state.history[-1]["held_out_loss"] == pytest.approx(
            fused.state.history[-1]["held_out_loss"], rel=1e-6
        )
        assert textbook.state.history[-1]["train_loss"] < textbook.state.history[0]["train_loss"] - 0.01
        for name, weight in weights_of(textbook).items():
            torch.testing.assert_close(weight, weights_of(fused)[name], rtol=1e-4, atol=1e-6)
        assert not weights_of(fused)["rnn.bias_hh_l0"].any()

    def test_two_biases_become_one(self) -> None:
        config = dataclasses.replace(SMALL, cell="lstm")
        source = build_model(dataclasses.replace(config, engine="builtin"), 5, CPU)
        assert isinstance(source, RNNModel)
        X = torch.randint(5, (3, 9))
        expected, _ = source(X, source.begin_state(batch_size=3, device=CPU))
        for engine in ("fused", "textbook"):
            ours = dataclasses.replace(config, engine=engine)  # type: ignore[arg-type]
            model = build_model(ours, 5, CPU)
            set_weights(ours, model, source.state_dict())
            assert not get_weights(ours, model)["rnn.bias_hh_l0"].any()
            scores, _ = model(X, model.begin_state(batch_size=3, device=CPU))
            torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-6)


class TestOtherModels:
    @pytest.mark.parametrize("cell", [*CELLS, "own"])
    def test_textbook_and_fused_give_the_same_losses(self, text: Text, own_cell: str, cell: str) -> None:
        options = {"cell": own_cell if cell == "own" else cell, "num_layers": 2, "epochs": 2, "max_tokens": 100}
        textbook, fused = (small_run(text, engine=engine, **options) for engine in ("textbook", "fused"))
        assert [run.task.model.rnn.engine for run in (textbook, fused)] == ["textbook", "fused"]  # type: ignore[union-attr]
        assert losses(textbook) == pytest.approx(losses(fused), rel=1e-5)
        assert list(weights_of(textbook)) == list(weights_of(fused))

    def test_a_gru_that_resets_after_is_the_builtin_one(self, text: Text) -> None:
        runs = [
            small_run(text, cell="gru", engine="fused", reset_after=True),
            small_run(text, cell="gru", engine="textbook", reset_after=True),
            small_run(text, cell="gru", engine="builtin"),
        ]
        ours = runs[0].task.model
        assert isinstance(ours, RNNModel)
        assert isinstance(ours.rnn, GRU)
        assert ours.rnn.reset_after
        curves = [losses(run) for run in runs]
        assert curves[0] == pytest.approx(curves[2], rel=1e-6)
        assert curves[1] == pytest.approx(curves[2], rel=1e-6)

    def test_kinds_of_models(self) -> None:
        def layer(**options: Any) -> Any:
            model = build_model(dataclasses.replace(SMALL, **options), 5, CPU)
            assert isinstance(model, RNNModel)
            return model.rnn

        assert isinstance(layer(cell="lstm", num_layers=2), LSTM)
        assert not layer(cell="gru", num_layers=2).reset_after
        assert type(layer(cell="gru", num_layers=3, engine="builtin")) is nn.GRU
        assert layer(cell="gru", num_layers=3, engine="builtin").num_layers == 3
        assert isinstance(layer(cell="cifg"), Recurrent)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"engine": "builtin", "reset_after": False}, "cannot reset before the product: nn.GRU's reset gate acts"),
            ({"engine": "builtin", "cell": "mgu"}, "cells rnn, gru, lstm of torch.nn alone, received mgu"),
            ({"engine": "builtin", "cell": "f.py:C"}, "cells rnn, gru, lstm of torch.nn alone, received f.py:C"),
            ({"cell": "lstm", "reset_after": True}, "reset_after is an option of the cell gru; the cell is lstm"),
            ({"num_layers": 0}, "num_layers must be at least 1, received 0"),
            (
                {"cell": "gr"},
                "layer-norm-gru, layer-norm-lstm, min-gru, min-lstm, path/to/file.py:ClassName, received 'gr'",
            ),
        ],
    )
    def test_what_no_engine_can(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            build_model(dataclasses.replace(SMALL, **options), 5, CPU)


class TestGoingOn:
    @pytest.mark.parametrize(
        ("cell", "layers", "first", "second"),
        [
            ("gru", 1, "textbook", "fused"),
            ("gru", 1, "fused", "textbook"),
            ("lstm", 1, "textbook", "fused"),
            ("lstm", 2, "builtin", "fused"),
            ("lstm", 2, "fused", "builtin"),
            ("rnn", 2, "textbook", "builtin"),
            ("gru", 2, "fused", "textbook"),
        ],
    )
    def test_a_run_goes_on_under_another_engine(
        self, text: Text, cell: str, layers: int, first: str, second: str
    ) -> None:
        """From the middle of an epoch, with its carried state."""
        whole = small_run(text, cell=cell, num_layers=layers, engine=first)
        start = small_run(text, cell=cell, num_layers=layers, engine=first)
        stops = iter([False] * 12 + [True] * 2)
        assert not start.run(should_stop=lambda: next(stops))
        assert start.state.batch > 0
        rest = small_run(text, cell=cell, num_layers=layers, engine=second)
        rest.restore(start.snapshot())
        assert losses(whole) == pytest.approx(losses(rest), rel=1e-5)

    def test_a_run_does_not_go_on_where_its_reset_gate_would_act_elsewhere(self, text: Text) -> None:
        book, builtin = small_run(text), small_run(text, engine="builtin")
        for run, other in ((book, builtin), (builtin, book)):
            with pytest.raises(ValueError, match="the run was made with reset_after"):
                run.restore(other.snapshot())
        after = small_run(text, reset_after=True)
        after.restore(builtin.snapshot())

    def test_a_folder_is_read_under_another_engine_or_refused(self, text: Text, tmp_path: Path) -> None:
        def said(trainer: Trainer[TextTask], engine: Any) -> str:
            folder = tmp_path / trainer.task.config.folder_name
            folder.mkdir(exist_ok=True)
            save_run(folder, trainer, "")
            try:
                model = load_run(folder, CPU, engine=engine).model
            except ValueError as error:
                return str(error)
            X = torch.randint(20, (2, 5))
            mine, theirs = (m(X, m.begin_state(batch_size=2, device=CPU))[0] for m in (model, trainer.task.model))
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
            return "read"

        assert said(small_run(text, cell="gru"), "textbook") == "read"
        assert said(small_run(text, cell="lstm"), "builtin") == "read"
        assert said(small_run(text, cell="gru", engine="builtin"), "fused") == "read"
        assert said(small_run(text, cell="gru", engine="builtin"), "textbook") == "read"
        assert "cannot reset before the product" in said(small_run(text, cell="gru"), "builtin")
        assert "received mgu" in said(small_run(text, cell="mgu"), "builtin")


class TestTheEngineThatRan:
    def test_it_is_noted_beside_what_was_asked(self, text: Text, tmp_path: Path) -> None:
        run = small_run(text, engine="auto")
        assert run.task.engine == run.task.model.rnn.engine != "auto"  # type: ignore[union-attr]
        save_run(tmp_path, run, "")
        described = json.loads((tmp_path / "config.json").read_text())
        assert (described["options"]["engine"], described["model"]["engine"]) == ("auto", run.task.engine)
        assert read_state(tmp_path).record["engine"] == run.task.engine
        noted = [small_run(text, engine=engine).task.engine for engine in ("textbook", "fused", "builtin")]
        assert noted == ["textbook", "fused", "builtin"]

    def test_a_run_keeps_to_it_unless_another_is_asked_for(self, text: Text) -> None:
        auto = dataclasses.replace(SMALL, text=text.path)
        identity = {"options": auto.to_json(), "engine": "textbook"}
        assert kept_engine(auto, identity) == "textbook"
        assert kept_engine(dataclasses.replace(auto, engine="fused"), identity) is None
        assert kept_engine(auto, {"options": auto.to_json()}) is None  # of an earlier version
        run = small_run(text, kept_engine="textbook")
        assert run.task.engine == run.task.model.rnn.engine == "textbook"  # type: ignore[union-attr]

    def test_one_that_is_not_to_be_had_is_refused_with_what_to_do(
        self, text: Text, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(choice, "native_refusal", lambda *layer: "there is no C compiler")
        with pytest.raises(ValueError, match="there is no C compiler; --engine auto takes"):
            small_run(text, engine="native")
        with pytest.raises(ValueError, match="no C compiler; the run was made with native; --engine fused goes on"):
            small_run(text, kept_engine="native")
        assert small_run(text).task.engine == "fused"
        assert small_run(text, cell="lstm").task.engine == "builtin"

    def test_folders_are_named_by_what_was_asked(self) -> None:
        names = [TrainConfig(engine=engine).folder_name for engine in ("auto", "textbook")]  # type: ignore[arg-type]
        assert names == ["gru", "gru-textbook"]

    def test_the_environment_replaces_the_default_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GRU_SCRATCH_ENGINE", "textbook")
        assert parse([], no_run)[0].engine == "textbook"
        assert parse(["--engine", "fused"], no_run)[0].engine == "fused"
        assert parse(["--resume", "runs/a"], lambda folder: TrainConfig(engine="fused"))[0].engine == "fused"
        monkeypatch.setenv("GRU_SCRATCH_ENGINE", "warp")
        with pytest.raises(ValueError, match="received 'warp', from the environment variable GRU_SCRATCH_ENGINE"):
            parse([], no_run)

    def test_a_native_run_is_read_without_a_compiler(self, text: Text, tmp_path: Path) -> None:
        save_run(tmp_path, small_run(text), "")
        described = json.loads((tmp_path / "config.json").read_text())
        described["options"]["engine"] = "native"
        write_files(tmp_path, {"config.json": json.dumps(described).encode()})
        assert load_run(tmp_path, CPU).config.engine == "auto"


class TestCellsOfOnesOwn:
    @pytest.fixture
    def folder(self, text: Text, own_cell: str, tmp_path: Path) -> Path:
        trainer = small_run(text, cell=own_cell, epochs=1)
        trainer.run()
        folder = tmp_path / "run"
        folder.mkdir()
        save_run(folder, trainer, "")
        return folder

    def test_the_file_is_recorded(self, folder: Path, tmp_path: Path) -> None:
        recorded = json.loads((folder / "config.json").read_text())["model"]["cell_file"]
        assert recorded == dataclasses.asdict(CellFile.find("cells.py:MGUCell"))
        assert recorded["path"] == str(tmp_path / "cells.py")

    def test_it_is_read_from_wherever_one_is(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder)
        assert type(load_run(folder, CPU).model.rnn.cell).__name__ == "MGUCell"  # type: ignore[union-attr]

    def test_a_file_that_has_changed_or_gone(self, folder: Path, tmp_path: Path) -> None:
        path = tmp_path / "cells.py"
        path.write_text(OWN_CELL + "\n")
        with pytest.raises(ValueError, match="has changed: expected the SHA-256"):
            load_run(folder, CPU)
        assert load_run(folder, CPU, cell=f"{path}:MGUCell")
        path.rename(tmp_path / "moved.py")
        with pytest.raises(FileNotFoundError, match=r"cells\.py"):
            load_run(folder, CPU)
        assert load_run(folder, CPU, cell=f"{tmp_path / 'moved.py'}:MGUCell")

    def test_code_in_the_run_folder_is_never_executed(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "executed").unlink(missing_ok=True)
        inside = folder / "cells.py"
        inside.write_text(OWN_CELL + "# another")
        with pytest.raises(ValueError, match="lies in the run folder"):
            load_run(folder, CPU, cell=f"{inside}:MGUCell")
        (tmp_path / "cells.py").unlink()
        (tmp_path / "cells.py").symlink_to(inside)
        with pytest.raises(ValueError, match="lies in the run folder"):
            load_run(folder, CPU)
        assert not (tmp_path / "executed").exists()

    def test_a_run_does_not_go_on_with_other_equations(self, text: Text, own_cell: str) -> None:
        snapshot = small_run(text, cell=own_cell).snapshot()
        small_run(text, cell=own_cell).restore(snapshot)
        Path("cells.py").write_text(OWN_CELL + "\n")
        with pytest.raises(ValueError, match=r"the cell of the run, MGUCell of .*cells.py, has changed"):
            small_run(text, cell=own_cell).restore(snapshot)

    def test_a_shipped_cell_needs_no_file(self, text: Text, tmp_path: Path, own_cell: str) -> None:
        save_run(tmp_path, small_run(text), "")
        with pytest.raises(ValueError, match=r"has the shipped cell gru, which needs no file, received 'cells"):
            load_run(tmp_path, CPU, cell=own_cell)
