"""Cells by name and from a user's own file."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.paths import ROOT

from gru_scratch.cells import (
    CELLS,
    Cell,
    CellFile,
    GRUEquations,
    MGUEquations,
    is_path,
    load_cell,
    make_cell,
    resolve_cell,
)
from gru_scratch.cells.base import Registry
from gru_scratch.check import check_cell
from gru_scratch.layers import Recurrent
from gru_scratch.training.build import build_model
from gru_scratch.training.config import TrainConfig

MGU = """
from __future__ import annotations
from typing import NamedTuple
import torch
from gru_scratch import Cell

class MGUState(NamedTuple):
    h: torch.Tensor

class MGUCell(Cell):
    gates = ("f", "n")
    states = MGUState

    def step(self, x, W, state):
        f = torch.sigmoid(x.f + W.f(state.h))
        n = torch.tanh(x.n + W.n(f * state.h))
        return MGUState((1 - f) * state.h + f * n), {"f": f, "n": n}

class NeedsSize(MGUCell):
    def __init__(self, size): self.size = size

number = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my cells.py"
    path.write_text(MGU)
    return path


def test_a_cell_of_a_file_is_right_and_trains_as_the_shipped_one(file):
    cell = load_cell(f"{file}:MGUCell")
    assert issubclass(cell, Cell)
    assert cell.__name__ == "MGUCell"
    check_cell(cell)
    torch.manual_seed(0)
    own = Recurrent(cell, 4, 6)
    shipped = Recurrent(MGUEquations, 4, 6)
    shipped.load_state_dict(own.state_dict())
    x = torch.randn(5, 2, 4)
    torch.testing.assert_close(own(x)[0], shipped(x)[0])


def test_the_cell_of_the_readme_is_right(tmp_path):
    readme = (ROOT / "README.md").read_text()
    section = readme.split("## A cell of your own\n")[1].split("\n## ")[0]
    path = tmp_path / "mgu.py"
    path.write_text(section.split("```python\n")[1].split("```")[0])
    cell = load_cell(f"{path}:MGUCell")
    check_cell(cell)
    own = Recurrent(cell, 28, 6, num_layers=2, bidirectional=True)
    shipped = Recurrent(MGUEquations, 28, 6, num_layers=2, bidirectional=True)
    shipped.load_state_dict(own.state_dict())
    x = torch.randn(5, 2, 28)
    torch.testing.assert_close(own(x)[0], shipped(x)[0])


def test_names_are_those_of_the_shipped_cells():
    assert resolve_cell("gru") is GRUEquations
    assert resolve_cell("mgu") is MGUEquations
    for name, cell in CELLS.items():
        assert not is_path(name)
        check_cell(cell)
    with pytest.raises(
        ValueError, match=r"^unknown cell 'grux': expected rnn, gru, lstm, mgu, cifg, .*file\.py:ClassName"
    ):
        resolve_cell("grux")
    with pytest.raises(ValueError, match="unknown cell ''"):
        resolve_cell("")


def test_a_name_or_a_path_is_resolved(file, monkeypatch):
    assert resolve_cell(f"{file}:MGUCell") is load_cell(f"{file}:MGUCell")
    monkeypatch.chdir(file.parent)
    assert load_cell("my cells.py:MGUCell") is load_cell(f"{file}:MGUCell")


def test_the_same_file_gives_the_same_class_and_a_changed_one_another(file):
    """So that a cell is registered once, and its new equations are not taken for the old ones."""
    registry = Registry()
    first = load_cell(f"{file}:MGUCell")
    assert registry.key(first()) == registry.key(load_cell(f"{file}:MGUCell")())
    file.write_text(MGU.replace("torch.tanh", "torch.sin"))
    changed = load_cell(f"{file}:MGUCell")
    assert changed is not first
    assert registry.key(changed()) != registry.key(first())
    x = torch.randn(5, 2, 4)
    one, other = Recurrent(first, 4, 6), Recurrent(changed, 4, 6)
    other.load_state_dict(one.state_dict())
    assert not torch.allclose(one(x)[0], other(x)[0])


def test_the_record_of_a_file_goes_through_json_and_refuses_a_changed_file(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    record = CellFile.find("my cells.py:MGUCell")
    assert record.path == str(file)
    assert len(record.sha256) == 64
    again = CellFile(**json.loads(json.dumps(dataclasses.asdict(record))))
    assert again == record
    assert again.load() is load_cell(f"{file}:MGUCell")
    file.write_text(MGU + "\n")
    with pytest.raises(ValueError, match=f"{file} has changed: expected the SHA-256 {record.sha256[:12]}…, received "):
        again.load()
    file.unlink()
    with pytest.raises(FileNotFoundError, match=f"there is no file {file}"):
        again.load()


def test_recording_a_file_executes_nothing(tmp_path):
    path = tmp_path / "loud.py"
    path.write_text("raise RuntimeError('executed')")
    assert CellFile.find(f"{path}:X").name == "X"


def test_a_run_checks_a_users_cell_before_it_trains(file):
    file.write_text(MGU.replace("W.n(f * state.h)", "W.n(f * state.h).softmax(-1)"))
    config = TrainConfig(cell=f"{file}:MGUCell", engine="fused", num_hiddens=4)
    with pytest.raises(
        ValueError, match=r"is not right:\n- units mix: the new h of one unit changes with the product of W\.n"
    ):
        build_model(config, 5, torch.device("cpu"))
    with pytest.raises(ValueError, match="NeedsSize cannot be made without arguments"):
        build_model(replace(config, cell=f"{file}:NeedsSize"), 5, torch.device("cpu"))


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("{folder}/none.py:MGUCell", FileNotFoundError, r"^there is no file .*none\.py to load a cell from$"),
        ("{folder}:MGUCell", ValueError, "^expected a Python file to load a cell from, received .*, which is no file$"),
        ("{file}", ValueError, r"received '.*my cells\.py': name a class of .*my cells\.py$"),
        ("{file}:", ValueError, r"name a class of .*my cells\.py$"),
        ("{file}:two words", ValueError, "^expected a cell as path/to/file.py:ClassName, received"),
        (":MGUCell", ValueError, "^expected a cell as path/to/file.py:ClassName, received ':MGUCell'"),
        ("{file}:GRUCell", ValueError, r"^GRUCell is no class of .*my cells\.py: it has MGUCell, NeedsSize$"),
        ("{file}:number", ValueError, "^number is no class of .*: it has MGUCell, NeedsSize$"),
        ("{file}:MGUState", ValueError, "^MGUState is no cell of .*: it has MGUCell, NeedsSize$"),
        ("{file}:Cell", ValueError, "^Cell is no cell of .*: it has MGUCell, NeedsSize$"),
    ],
)
def test_what_names_no_cell_is_refused(file, spec, error, message):
    with pytest.raises(error, match=message):
        resolve_cell(spec.format(file=file, folder=file.parent))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\nraise RuntimeError('no\\nluck')", r"raised RuntimeError in line 2: no luck$"),
        (
            "import nothing_of_that_name",
            "raised ModuleNotFoundError in line 1: No module named 'nothing_of_that_name'$",
        ),
        ("def f(:\n", "raised SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "raised SystemExit in line 1: 3$"),
        ("x = '\0'", r"raised (SyntaxError|ValueError): "),
        ("x = 1", "^X is no class of .*: it has no subclass of gru_scratch.Cell$"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_in_one_line(tmp_path, source, message):
    path = tmp_path / "broken.py"
    path.write_text(source)
    modules = set(sys.modules)
    with pytest.raises(ValueError, match=message) as error:
        load_cell(f"{path}:X")
    assert "\n" not in str(error.value)
    if "raised" in message:
        assert not {name for name in set(sys.modules) - modules if name.startswith("gru_scratch_cell")}
        path.write_text(MGU)  # mended, it is imported
        assert load_cell(f"{path}:MGUCell")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "binary.py"
    path.write_bytes(b"\xff\xfe\x00\x9f")
    with pytest.raises(ValueError, match=r"importing .* raised (SyntaxError|ValueError)"):
        load_cell(f"{path}:X")


def test_a_class_that_needs_arguments_is_refused_where_it_is_made(file):
    with pytest.raises(ValueError, match=r"^NeedsSize cannot be made without arguments: .*'size'"):
        make_cell(load_cell(f"{file}:NeedsSize"))
