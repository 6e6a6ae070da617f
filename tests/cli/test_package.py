"""The package as a whole: names imported when they are asked for, and a wheel that can do what a clone can."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.paths import ROOT

import gru_scratch


def test_every_public_name_is_found() -> None:
    for name in gru_scratch.__all__:
        assert getattr(gru_scratch, name).__name__ == name
    assert set(gru_scratch.__all__) < set(dir(gru_scratch))
    assert gru_scratch.layers.GRU is gru_scratch.GRU
    with pytest.raises(AttributeError, match="module 'gru_scratch' has no attribute 'GRUU'"):
        _ = gru_scratch.GRUU


def test_the_package_alone_imports_no_pytorch() -> None:
    code = "import sys, gru_scratch; assert 'torch' not in sys.modules; from gru_scratch import *; GRU(2, 3)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built in a copy, without a warning about the project's own files."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("gru_scratch", "data"):
        shutil.copytree(ROOT / name, folder / "copy" / name, ignore=shutil.ignore_patterns("__pycache__", "*time*"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "copy")
    command = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--wheel-dir", ".", "./copy"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.exhaustive
def test_a_wheel_has_every_file(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packed = {name for name in names if name.startswith("gru_scratch/")}
    files = [path for path in (ROOT / "gru_scratch").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    tunes = [f"gru_scratch/data/tunes/{path.name}" for path in (ROOT / "data" / "tunes").iterdir()]
    data = ["gru_scratch/data/README.md", "gru_scratch/data/story.txt", *tunes]
    assert packed == {*data, *(path.relative_to(ROOT).as_posix() for path in files)}


@pytest.mark.exhaustive
def test_a_wheel_trains_generates_and_explores(wheel: Path, tmp_path: Path) -> None:
    """In a virtual environment of its own, which sees PyTorch and the others where they are, and no network."""
    subprocess.run([sys.executable, "-m", "venv", "here"], cwd=tmp_path, check=True, timeout=120)
    (site,) = tmp_path.glob("here/**/site-packages")
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site / "others.pth").write_text("\n".join(others))
    (tmp_path / "work").mkdir()
    bin = site.parents[2] / "bin" if os.name != "nt" else site.parents[1] / "Scripts"
    closed = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    unset = ("PYTHONPATH", "GRU_SCRATCH_DATA")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache"), **closed}

    def run(*command: object) -> str:
        done = subprocess.run(
            [str(bin / str(command[0])), *map(str, command[1:])],
            cwd=tmp_path / "work",
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("python", "-m", "pip", "install", "--no-deps", "--no-index", wheel)
    assert run("gru-scratch", "--version") == f"gru-scratch {gru_scratch.__version__}\n"
    where = run("python", "-c", "import gru_scratch; print(gru_scratch.__file__)")
    assert Path(where.strip()).is_relative_to(site)
    small = ["--num-hiddens", 8, "--max-tokens", 300, "--num-steps", 5, "--batch-size", 4, "--max-updates", 3]
    assert "the shipped story" in run("gru-scratch", "train", *small, "--out", "run")
    assert re.match("time traveller.{5}\n", run("gru-scratch", "generate", "run", "--length", 5))
    assert "in run/gates.html" in run("gru-scratch", "explore", "run", "--characters", 20)
    run("gru-scratch", "memory", "--cells", "gru", "--lengths", 3, "--updates", 2, "--seeds", 1, "--num-hiddens", 4)
