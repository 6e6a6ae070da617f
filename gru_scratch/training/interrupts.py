"""The signals that ask a command to end: Ctrl-C, SIGTERM, and SIGHUP, which a terminal sends when it is closed.

Each ends a command as Ctrl-C does: what it has made is kept, and the exit status says which signal it was.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

Handler = Callable[[int, FrameType | None], Any]


class Interrupted(KeyboardInterrupt):
    """SIGTERM or SIGHUP, raised where Ctrl-C would raise a KeyboardInterrupt."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_status(error: KeyboardInterrupt) -> int:
    """128 and the number of the signal, as other commands have it."""
    return 128 + (error.number if isinstance(error, Interrupted) else signal.SIGINT)


class Wish:
    """Whether a signal has asked to stop, as a function; and the exit status for it."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self) -> bool:
        return self.number is not None

    @property
    def status(self) -> int:
        """The exit status of a stopped run: from this process's signal, or else from that of the first process."""
        return 128 + (signal.SIGINT if self.number is None else self.number)


@contextmanager
def handled(handler: Handler) -> Iterator[Callable[[], None]]:
    """Within the block, or until the function that it gets is called, `handler` handles these signals.

    One that is ignored (SIGHUP under `nohup`) stays so.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]

    def restore() -> None:
        for number in taken:
            signal.signal(number, before[number])

    for number in taken:
        signal.signal(number, handler)
    try:
        yield restore
    finally:
        restore()


@contextmanager
def raised() -> Iterator[None]:
    """Within the block a signal raises a KeyboardInterrupt, or an `Interrupted`, which is one."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else Interrupted(number)

    with handled(interrupt):
        yield


@contextmanager
def noted() -> Iterator[Wish]:
    """Within the block a first signal is only recorded; a second one acts as outside it."""
    wish = Wish()

    def note(number: int, frame: FrameType | None) -> None:
        wish.number = number
        restore()

    with handled(note) as restore:
        yield wish
