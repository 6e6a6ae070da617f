"""What all scripts share: how a command ends."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn


def as_typed(argument: str) -> str:
    """The characters of an argument in UTF-8, also where the locale knows none of them."""
    try:
        argument.encode()
    except UnicodeEncodeError:  # bytes that Python could not read came as lone surrogates
        return os.fsencode(argument).decode(errors="surrogateescape")
    return argument


def run_command(command: Callable[[], int]) -> NoReturn:
    """Run `command` and exit with its status.

    2 and one line on stderr for input it cannot use, or a file it cannot read or write; 130 for Ctrl-C; 141, as other
    commands, where its output is no longer read.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows ? for what it lacks
    try:
        status = command()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush at exit
        status = 128 + signal.SIGPIPE
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)
