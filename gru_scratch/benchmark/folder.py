"""The folder that a comparison is written into."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path


def new_folder(out: Path | None, name: str) -> Path:
    """Make `out`, new or empty, else the first free of runs/NAME, runs/NAME-2, ..., and make sure it can be written to.

    Raises:
        ValueError: `out` holds anything, for what was there before is never written over; or it cannot be written to.
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
