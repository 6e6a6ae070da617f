"""Ctrl-C as a wish to stop, heard between two updates, so that no update is cut in half."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Within the block, Ctrl-C makes the given function return True; a second one interrupts as it always does."""
    wishes = []

    def note(number: int, frame: FrameType | None) -> None:
        wishes.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(wishes)
    finally:
        signal.signal(signal.SIGINT, before)
