"""Files that are whole or not there, folders that are free, and one writer at a time."""

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
    """Write `content` to `path` so that at any moment `path` holds all of the old bytes or all of the new."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which takes the place of `path` once it is whole and on the disk, or else is gone again."""
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
    except BaseException as error:  # a full disk: the part that fitted is of no use
        discard_aside([path])
        if isinstance(error, OSError) and error.filename is not None:
            error.filename = str(path)  # whoever reads the message asked for this name
        raise


def take_places(paths: Iterable[Path]) -> None:
    """Rename what was written aside for files of one folder, so that it lasts through a loss of power."""
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
    """Remove what was written aside and has not taken its place."""
    for path in paths:
        _aside(path).unlink(missing_ok=True)


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def make_folder(out: Path | None, name: str, *, what: str = "folder", leftovers: Collection[str] = ()) -> Path:
    """Make `out`, new or empty, else the first free of runs/NAME, runs/NAME-2, ..., to which files can be written.

    Args:
        out: the folder that is asked for; what was there before is never written over.
        name: of the folder under runs/ where none is asked for.
        what: the folder is called in messages.
        leftovers: names of files that may be there already.

    Raises:
        ValueError: `out` holds anything, or the folder cannot be made or written to.
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
    """Make a folder unless it is there; whether it holds nothing else than `leftovers`."""
    folder.mkdir(parents=True, exist_ok=True)
    return {path.name for path in folder.iterdir()} <= set(leftovers)


def _first_free(folder: Path) -> Path:
    """Make the first of FOLDER, FOLDER-2, ... that nobody else makes first."""
    for number in count(1):
        free = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        with suppress(FileExistsError):
            free.mkdir(parents=True)
            return free
    raise AssertionError("numbers do not end")


class Lock:
    """A lock on a file or folder, which the system lets go of when the process ends, however it ends.

    `take` says whether it was free; `wait` waits until it is. Systems without such locks (Windows) have none here: it
    is always free, and two runs that write to one folder at a time are then not kept from it.
    """

    def __init__(self, path: Path) -> None:
        self._system = _posix_locks()
        self._descriptor = None if self._system is None else os.open(path, os.O_RDONLY)

    def take(self) -> bool:
        """Take it if it is free; whether it was."""
        return self._lock(wait=False)

    def wait(self) -> None:
        """Take it as soon as it is free."""
        self._lock(wait=True)

    def release(self) -> None:
        """Let go of it."""
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
