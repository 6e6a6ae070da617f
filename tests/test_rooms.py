"""The one-way rule: a room imports only from the rooms before it, so that the package can be read from the first on."""

from __future__ import annotations

import ast
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
