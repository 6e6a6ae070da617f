"""How every command starts and ends. What takes long to import is imported within, where Ctrl-C ends quietly too."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
BROKEN_PIPE = 141
"""128 and the number of a signal, SIGINT and SIGPIPE, as other commands have it; Windows does not know the second."""


def main(name: str | None = None) -> NoReturn:
    """Run the command `name`, or without one that which the command line names, and exit with its status.

    2 and one line on stderr for input it cannot use, or a file it cannot read or write; 130 for Ctrl-C; 141 where its
    output is no longer read.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows ? for what it lacks
    try:
        with interrupts_end_at_once():
            from gru_scratch.cli.commands import prepare, prepare_named

            work = prepare(sys.argv[1:]) if name is None else prepare_named(name, sys.argv[1:])
        status = work()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush at exit
        status = BROKEN_PIPE
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)


@contextmanager
def interrupts_end_at_once() -> Iterator[None]:
    """Within the block, in which nothing is written, Ctrl-C ends the process: an import may swallow the exception."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        os.write(2, b"interrupted\n")
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
