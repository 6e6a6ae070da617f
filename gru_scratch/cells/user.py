"""Cells by name, and cells from a user's own file: ``path/to/file.py:MGUCell``."""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, MappingProxyType, ModuleType

from gru_scratch.cells.base import Cell
from gru_scratch.cells.cifg import CIFGEquations
from gru_scratch.cells.gru import GRUEquations
from gru_scratch.cells.layer_norm import LayerNormGRUEquations, LayerNormLSTMEquations
from gru_scratch.cells.lstm import LSTMEquations
from gru_scratch.cells.mgu import MGUEquations
from gru_scratch.cells.minimal import MinGRUEquations, MinLSTMEquations
from gru_scratch.cells.peephole import PeepholeLSTMEquations
from gru_scratch.cells.rnn import RNNEquations

CELLS: Mapping[str, type[Cell]] = MappingProxyType(
    {
        "rnn": RNNEquations,
        "gru": GRUEquations,
        "lstm": LSTMEquations,
        "mgu": MGUEquations,
        "cifg": CIFGEquations,
        "peephole-lstm": PeepholeLSTMEquations,
        "layer-norm-gru": LayerNormGRUEquations,
        "layer-norm-lstm": LayerNormLSTMEquations,
        "min-gru": MinGRUEquations,
        "min-lstm": MinLSTMEquations,
    }
)
"""The shipped cells by their names on a command line."""


def resolve_cell(name_or_path: str) -> type[Cell]:
    """The class of a shipped cell, by name, or of your own cell, by ``path/to/file.py:ClassName``.

    Raises:
        ValueError: no shipped cell has that name; or as :func:`load_cell`.
        FileNotFoundError: there is no such file.
    """
    if name_or_path in CELLS:
        return CELLS[name_or_path]
    if is_path(name_or_path):
        return load_cell(name_or_path)
    raise ValueError(
        f"unknown cell {name_or_path!r}: expected {', '.join(CELLS)}, or your own as path/to/file.py:ClassName"
    )


def is_path(name_or_path: str) -> bool:
    """Whether ``name_or_path`` means a file, not a shipped cell."""
    return name_or_path not in CELLS and any(mark in name_or_path for mark in (":", "/", "\\", ".py"))


def load_cell(spec: str) -> type[Cell]:
    """Import the file of ``path/to/file.py:ClassName``, executing its code, and return the class.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no class is named, the file cannot be imported, or it has no cell of that name.
    """
    return CellFile.find(spec).load()


@dataclass(frozen=True)
class CellFile:
    """A cell in a user's file, as a run folder records it."""

    path: str
    """The absolute path of the file."""
    name: str
    """The name of the class."""
    sha256: str
    """The SHA-256 of the file's bytes."""

    @classmethod
    def find(cls, spec: str) -> CellFile:
        """Record the file of ``path/to/file.py:ClassName`` as it is now; nothing is executed.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: no class is named, or the path is not that of a file.
        """
        path, colon, name = spec.rpartition(":")
        if not (colon and path and name.isidentifier()):
            file = spec.removesuffix(":")
            raise ValueError(f"expected a cell as path/to/file.py:ClassName, received {spec!r}: name a class of {file}")
        return cls(str(Path(path).resolve()), name, _sha256(_read(Path(path))))

    def load(self) -> type[Cell]:
        """Import the file, executing its code, and return the class.

        Raises:
            FileNotFoundError: the file is gone.
            ValueError: it has changed since it was recorded, cannot be imported, or has no such cell.
        """
        content = _read(Path(self.path))
        if _sha256(content) != self.sha256:
            raise ValueError(
                f"{self.path} has changed: expected the SHA-256 {self.sha256[:12]}…, received {_sha256(content)[:12]}…"
            )
        module = _import(self.path, content)
        named = getattr(module, self.name, None)
        if isinstance(named, type) and issubclass(named, Cell) and named is not Cell:
            return named
        cells = [name for name, x in vars(module).items() if isinstance(x, type) and x.__module__ == module.__name__]
        cells = [name for name in cells if issubclass(getattr(module, name), Cell)]
        has = f"it has {', '.join(cells)}" if cells else "it has no subclass of gru_scratch.Cell"
        what = "no class" if not isinstance(named, type) else "no cell"
        raise ValueError(f"{self.name} is {what} of {self.path}: {has}")


class _Source(importlib.abc.InspectLoader):
    """Executes the bytes whose SHA-256 was computed: the file is not read again, and no cached byte code is used."""

    def __init__(self, path: str, content: bytes) -> None:
        self.path, self.content = path, content

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self.content)

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.content, self.path)


def _import(path: str, content: bytes) -> ModuleType:
    """The module of a file, imported once for a path and its content, so that its classes stay the same objects.

    Raises:
        ValueError: the file raised an exception.
    """
    name = f"gru_scratch_cell_{_sha256(path.encode() + content)[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_loader(name, _Source(path, content), origin=path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = path
    sys.modules[name] = module
    try:
        _Source(path, content).exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        message = " ".join(str(error).split())
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        where = f" in line {lines[-1]}" if lines else ""
        raise ValueError(f"importing {path} raised {type(error).__name__}{where}: {message}") from error
    return module


def _read(path: Path) -> bytes:
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path} to load a cell from")
    if not path.is_file():
        raise ValueError(f"expected a Python file to load a cell from, received {path}, which is no file")
    return path.read_bytes()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
