"""What a study or a comparison leaves behind: its folder, pictures, and the numbers beside them as JSON."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from itertools import count
from pathlib import Path
from typing import Any

from gru_scratch.text.files import write_atomically


def claim_folder(out: Path | None, name: str) -> Path:
    """Make the folder to write into: ``out``, new or empty, else the first free of runs/NAME, runs/NAME-2, ...

    Raises:
        ValueError: ``out`` is not empty, since nothing is ever written over, or cannot be written to.
    """
    if out is not None:
        return _make(out)
    for number in count(1):
        folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
        if not folder.exists():
            return _make(folder)
    raise AssertionError("numbers do not end")


def _make(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
        if not taken:
            with tempfile.TemporaryFile(dir=folder):
                pass
    except OSError as error:
        raise ValueError(f"cannot write to the folder {folder}: {error.strerror}") from error
    if taken:
        raise ValueError(f"the folder {folder} is not empty: expected a new one")
    return folder


def remove_if_empty(folder: Path) -> None:
    """Leave nothing behind where nothing was written."""
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def save_study(folder: Path, name: str, numbers: Mapping[str, Any], pictures: Mapping[str, bytes]) -> list[Path]:
    """Write NAME.json, and a PNG under each picture's name; return their paths."""
    paths = []
    for file, content in {f"{name}.json": to_json(numbers), **{f"{n}.png": p for n, p in pictures.items()}}.items():
        write_atomically(folder / file, content)
        paths.append(folder / file)
    return paths


def to_json(value: Any) -> bytes:
    """Dataclasses as objects, paths as strings, infinities and NaN as null."""
    return (json.dumps(plain(value), indent=1, allow_nan=False) + "\n").encode()


def plain(value: Any) -> Any:
    """The value in types that JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
