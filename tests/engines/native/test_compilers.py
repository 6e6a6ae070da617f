"""The exam by other compilers than the one that other tests take, and by one that watches memory."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

HERE = Path(__file__).parent

COMPILERS = {
    "gcc": ("gcc",),
    "clang": ("clang",),
    "zig": ("zig", "cc"),
    "ziglang": (sys.executable, "-m", "ziglang", "cc"),
}

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-unused-function", "-Wno-sign-compare")

SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


def command_of(compiler: str) -> tuple[str, ...]:
    """The command of a compiler of this machine; else the test is skipped."""
    command = COMPILERS[compiler]
    if compiler == "ziglang" and importlib.util.find_spec("ziglang") is None:
        pytest.skip("the package ziglang is not installed")
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not on the PATH")
    return command


def sit_exam(folder: Path, command: tuple[str, ...], flags: tuple[str, ...], **environment: str) -> None:
    """The small exam in a process of its own, compiled by a command with further flags."""
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests", HERE)))
    settings = {"PYTHONPATH": paths, "GRU_SCRATCH_CACHE": str(folder), "CC": shlex.join(command), **environment}
    program = [sys.executable, str(HERE / "small_exam.py"), *flags]
    result = subprocess.run(
        program, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, timeout=1800
    )
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-4000:]
    assert result.stdout.count("agrees") >= 10


@pytest.mark.exhaustive
@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_exam_by_each_compiler_without_a_warning(compiler: str, tmp_path: Path) -> None:
    sit_exam(tmp_path, command_of(compiler), WARNINGS)


@pytest.mark.exhaustive
def test_no_cell_reads_or_writes_outside_its_buffers(tmp_path: Path) -> None:
    """Its library watches memory, and so must the process that loads it, from its start."""
    (compiler,) = command_of("gcc")
    runtime = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip(f"{compiler} has no address sanitizer")
    watched = {"LD_PRELOAD": str(Path(runtime).resolve()), "ASAN_OPTIONS": "detect_leaks=0"}
    sit_exam(tmp_path, (compiler,), SANITIZERS, **watched)
