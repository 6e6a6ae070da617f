"""How every command starts and ends. What takes long to import is imported within, where Ctrl-C ends quietly too."""

from __future__ import annotations

import io
import os
import sys
from types import FrameType
from typing import NoReturn

from gru_scratch.training.interrupts import exit_status, handled, raised

BROKEN_PIPE = 141
"""128 and the number of SIGPIPE, as other commands have it; Windows does not know that signal."""


def main(name: str | None = None) -> NoReturn:
    """Run the command `name`, or without a name the one that the command line names, and exit with its status.

    The status is 2, with one line on stderr, for input that it cannot use or a file that it cannot read or write; 130
    for Ctrl-C, 143 for SIGTERM and 129 for SIGHUP; 141 where its output is no longer read.
    """
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows ? for what it lacks
    try:
        with handled(end_at_once):
            from gru_scratch.cli.commands import prepare, prepare_named

            work = prepare(sys.argv[1:]) if name is None else prepare_named(name, sys.argv[1:])
        with raised():
            status = work()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush at exit
        status = BROKEN_PIPE
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt as error:
        print("interrupted", file=sys.stderr)
        status = exit_status(error)
    sys.exit(status)


def open_closed_streams() -> None:
    """Open the null device for each standard stream that is closed, so that no file opened later takes its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # for as long as the process lives


def end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    """End the process while nothing is written yet: an import may swallow the exception."""
    os.write(2, b"interrupted\n")
    os._exit(128 + number)
