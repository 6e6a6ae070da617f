"""A check against this machine's memory before any is taken."""

from __future__ import annotations

import os


def machine_bytes() -> int | None:
    """All the memory of this machine; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def check_memory(what: str, needed: int) -> None:
    """ValueError, with both figures, if `what` needs more bytes at the least than this machine has."""
    there = machine_bytes()
    if there is not None and needed > there:
        figures = f"{needed / 2**30:,.1f} GiB of memory, and this machine has {there / 2**30:,.1f}"
        raise ValueError(f"{what} needs at least {figures}")
