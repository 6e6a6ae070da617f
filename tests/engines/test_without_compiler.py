"""The engines and layers on a machine that has no C compiler."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

PROGRAM = "import sys; sys.modules['ziglang'] = None; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
"""Pytest, where the compiler that comes as a package is not installed either."""


@pytest.mark.exhaustive
def test_engines_and_layers_work_without_a_compiler(tmp_path: Path) -> None:
    """All else passes; what compiles is skipped, and says so."""
    (tmp_path / "empty").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "CC"}
    environment |= {"PATH": str(tmp_path / "empty"), "GRU_SCRATCH_CACHE": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    command = [sys.executable, "-c", PROGRAM, "-q", "-rs", "-p", "no:cacheprovider", "tests/engines", "tests/layers"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:]
    reasons = re.findall(r"^SKIPPED \[\d+\] \S+ (.*)$", result.stdout, re.MULTILINE)
    assert reasons
    assert {reason for reason in reasons if not reason.startswith("there is no C compiler: ")} == set()
    assert not (tmp_path / "cache").exists()
