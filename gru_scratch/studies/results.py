"""What a study leaves behind: a picture, and its numbers beside it as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from gru_scratch.text.files import write_atomically


def claim_folder(out: Path | None, name: str) -> Path:
    """Make the folder to write into: ``out``, new or empty, else the first free of runs/NAME, runs/NAME-2, ...

    Raises:
        ValueError: ``out`` holds something: what was there before is never written over; or it is no folder.
        OSError: it cannot be made.
    """
    if out is not None:
        if out.exists() and not out.is_dir():
            raise ValueError(f"expected a folder to write into, received {out}, which is none")
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise ValueError(f"{out} is not empty: give --out a new folder")
        return out
    number = 1
    while True:
        folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


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
    """What JSON has a word for."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
