"""Commands run in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.script_runs import RunScript, in_this_process


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> RunScript:
    """Run a file of scripts/ as a user does, in an empty working folder: (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    return in_this_process(monkeypatch, capsys)
