"""Atomic writes, new folders, and locks that allow one writer at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import ModuleType, TracebackType
from typing import IO


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that at any moment `path` holds either all old or all new bytes."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that replaces `path` once it is complete and on the disk; after an error it is removed."""
    with written_aside(path) as file:
        yield file
    take_places([path])


@contextmanager
def written_aside(path: Path) -> Iterator[IO[bytes]]:
    """A file to write beside `path`, on the disk after the block; `take_places` then renames it."""
    try:
        with open(_aside(path), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:  # such as a full disk: a part of the file is of no use
        discard_aside([path])
        if isinstance(error, OSError) and error.filename is not None:
            error.filename = str(path)  # the name that the user knows
        raise


def take_places(paths: Iterable[Path]) -> None:
    """Rename the files written aside for `paths` of one folder, safely even against a loss of power."""
    paths = list(paths)
    try:
        for path in paths:
            os.replace(_aside(path), path)
    except OSError as error:
        discard_aside(paths)
        if error.filename2 is None:
            raise
        raise OSError(error.errno, error.strerror, error.filename2) from None  # without the temporary name
    if hasattr(os, "O_DIRECTORY"):  # where the system lets a folder be synced
        descriptor = os.open(paths[0].parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def discard_aside(paths: Iterable[Path]) -> None:
    """Remove the files written aside that have not been renamed."""
    for path in paths:
        _aside(path).unlink(missing_ok=True)


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def make_folder(out: Path | None, name: str, *, what: str = "folder", leftovers: Collection[str] = ()) -> Path:
    """Make `out`, or else the first of runs/NAME, runs/NAME-2, ... that does not exist, and check that it is writable.

    Args:
        out: the folder, new or empty: no file is ever overwritten.
        name: the name of the folder under runs/ if `out` is None.
        what: the name of the folder in messages.
        leftovers: names of files that may be there already.

    Raises:
        ValueError: `out` is not empty, or the folder cannot be made or written to.
    """
    folder = out or Path("runs") / name
    try:
        if out is None:
            folder = _first_free(folder)
        out_is_taken = not make_empty(folder, leftovers)
    except OSError as error:
        raise ValueError(f"cannot make the {what} {folder}: {error.strerror}") from error
    if out_is_taken:
        raise ValueError(f"the {what} {folder} is not empty: expected a new one")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"cannot write to the {what} {folder}: {error.strerror}") from error
    return folder


def make_empty(folder: Path, leftovers: Collection[str] = ()) -> bool:
    """Make a folder unless it exists; return whether it holds nothing but `leftovers`."""
    folder.mkdir(parents=True, exist_ok=True)
    return {path.name for path in folder.iterdir()} <= set(leftovers)


def _first_free(folder: Path) -> Path:
    """Make the first of FOLDER, FOLDER-2, ... that does not exist."""
    for number in count(1):
        free = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        with suppress(FileExistsError):
            free.mkdir(parents=True)
            return free
    raise AssertionError("numbers do not end")


class Lock:
    """A lock on a file or folder, which the system releases when the process ends, however it ends.

    On systems without such locks (Windows) it is always free, so that two runs may write to one folder at a time.
    """

    def __init__(self, path: Path) -> None:
        self._system = _posix_locks()
        self._descriptor = None if self._system is None else os.open(path, os.O_RDONLY)

    def take(self) -> bool:
        """Acquire the lock if it is free, and return whether it was."""
        return self._lock(wait=False)

    def wait(self) -> None:
        """Wait until the lock is free, and acquire it."""
        self._lock(wait=True)

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.release()

    def _lock(self, *, wait: bool) -> bool:
        if self._system is None or self._descriptor is None:
            return True
        try:
            self._system.flock(self._descriptor, self._system.LOCK_EX | (0 if wait else self._system.LOCK_NB))
        except BlockingIOError:
            return False
        return True


def _posix_locks() -> ModuleType | None:
    try:
        import fcntl
    except ImportError:
        return None
    return fcntl
