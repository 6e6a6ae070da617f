"""One writer at a time, also where several processes want to be it."""

from __future__ import annotations

import os
import sys
from pathlib import Path


class Lock:
    """A lock on a file or folder, which the system lets go of when the process ends, however it ends.

    `take` says whether it was free; `wait` waits until it is. On Windows, which has no such locks, it is always free.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = None if sys.platform == "win32" else os.open(path, os.O_RDONLY)

    def take(self) -> bool:
        return self._lock(wait=False)

    def wait(self) -> None:
        self._lock(wait=True)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _lock(self, *, wait: bool) -> bool:
        if sys.platform == "win32" or self._descriptor is None:
            return True
        import fcntl

        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True
