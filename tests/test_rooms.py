"""The one-way rule: a room imports only from the rooms before it, so that the package can be read from the first on.

And private names of PyTorch stand in one file.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT

PACKAGE = ROOT / "gru_scratch"

ROOMS = (
    "scratch",
    "text",
    "cells",
    "engines",
    "convert",
    "layers",
    "check",
    "models",
    "training",
    "generate",
    "export",
    "studies",
    "benchmark",
    "d2l",
    "cli",
)
"""In the order in which they are built on each other. A new room takes its place here."""

OUTSIDE = ("__init__", "__main__")
MAY_IMPORT_ALL = (*OUTSIDE, "d2l", "cli")
IMPORTS_NOTHING = ("scratch",)


def room_of(path: Path) -> str:
    """The room that a file belongs to: a folder of the package, or a file in it."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(source: str) -> Iterator[str]:
    """Modules that a file imports when it runs, wherever in the file; `if TYPE_CHECKING:` is for types alone."""
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{name.name}" for name in node.names)
        waiting.extend(ast.iter_child_nodes(node))


def violations(room: str, source: str) -> list[str]:
    """What a file of `room` imports against the rule."""
    found = []
    for module in imports(source):
        top, _, rest = module.partition(".")
        if not top:
            found.append(f"{room} imports {module}: name the package, so that the reader sees the room")
        if top != "gru_scratch" or room in MAY_IMPORT_ALL:
            continue
        target = rest.partition(".")[0]
        if target not in ROOMS:
            found.append(f"{room} imports {module}, which is no room")
        elif target != room and (room in IMPORTS_NOTHING or ROOMS.index(target) > ROOMS.index(room)):
            found.append(f"{room} imports {module}, which does not come before it")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_before_it(path: Path) -> None:
    room = room_of(path)
    assert room in (*ROOMS, *OUTSIDE), f"{room} has no place in the order of rooms"
    assert violations(room, path.read_text()) == []


def private_names(source: str) -> list[str]:
    """The names below `torch` that a file imports or reads, and that PyTorch keeps to itself."""
    read = (_dotted(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute))
    names = {name for name in (*imports(source), *read) if name.split(".")[0] in ("torch", "nn", "F")}
    return sorted(name for name in names if re.search(r"\._(?!_)", name))


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def test_private_names_of_pytorch_stand_in_one_file() -> None:
    files = {str(path.relative_to(PACKAGE)): path.read_text() for path in PACKAGE.rglob("*.py")}
    del files["engines/torch_private.py"]
    assert {path: names for path, text in files.items() if (names := private_names(text))} == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f():\n    from torch._dynamo import config, reset", ["torch._dynamo.config", "torch._dynamo.reset"]),
        ("import torch._inductor", ["torch._inductor"]),
        ("from torch._C import _profiler", ["torch._C._profiler"]),
        ("x = torch._C._dispatch_keys(y).z", ["torch._C", "torch._C._dispatch_keys"]),
        ("torch.sum(self._x); nn.Module.__call__; self._torch.x", []),
    ],
)
def test_private_names_are_noticed(source: str, expected: list[str]) -> None:
    assert private_names(source) == expected


@pytest.mark.parametrize("path", sorted((PACKAGE / "scratch").glob("[a-z]*.py")), ids=lambda path: path.name)
def test_a_file_of_scratch_can_be_taken_home(path: Path) -> None:
    """It needs Python and PyTorch, and not even its neighbours."""
    tops = {module.partition(".")[0] for module in imports(path.read_text())}
    assert tops <= {"__future__", "torch"} | set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("room", "source", "expected"),
    [
        ("text", "from gru_scratch.models.language import RNNModel", 1),
        ("models", "from gru_scratch.text.vocab import Vocab", 0),
        ("models", "def f():\n    import gru_scratch.training.loop", 1),
        ("models", "from gru_scratch import text, generate", 1),
        ("scratch", "from gru_scratch.text.vocab import Vocab", 1),
        ("training", "from .loop import train", 1),
        ("text", "from gru_scratch import RNNModel", 1),
        ("text", "import gru_scratch", 1),
        ("cells", "if TYPE_CHECKING:\n    from gru_scratch.engines.textbook import X", 0),
        ("cells", "if TYPE_CHECKING:\n    pass\nelse:\n    from gru_scratch.engines.textbook import X", 1),
        ("d2l", "from gru_scratch.studies import page", 0),
        ("text", "import torch\nfrom pathlib import Path", 0),
    ],
)
def test_the_rule_notices(room: str, source: str, expected: int) -> None:
    assert len(violations(room, source)) == expected
