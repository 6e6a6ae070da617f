"""What all scripts share: how a command ends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn


def run_command(command: Callable[[], int]) -> NoReturn:
    """Run `command` and exit with its status.

    2 and one line on stderr for input it cannot use, or a file it cannot read or write; 130 for Ctrl-C.
    """
    try:
        status = command()
        sys.stdout.flush()
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)
