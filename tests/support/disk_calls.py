"""A disk whose requests a test can end: by a loss of power, or by an error."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest


def before_each(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
    """Call ``act`` with 1, 2, ... before each request to sync or to rename a file is carried out."""
    calls = 0

    def wrap(name: str) -> None:
        real = getattr(os, name)

        def wrapped(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            act(calls)
            return real(*args)

        monkeypatch.setattr(os, name, wrapped)

    wrap("fsync")
    wrap("replace")
