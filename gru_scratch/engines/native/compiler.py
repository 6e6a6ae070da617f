"""C source as a loaded library: compiled once a machine, kept in the user's cache folder, checked whenever it is read.

A library's name is ``KEY-DIGEST.so``. KEY stands for all that it was made of: the source and the headers, the compiler
and its flags, the processor's instructions and the C library, so that machines may share a home folder. DIGEST is the
SHA-256 of the file itself: a damaged file is none, and is compiled anew. A new file gets its name at once, whole, by
renaming; processes that compile the same source at the same time each rename one, and either is good.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import platform
import shutil
import stat
import sys
import tempfile
import threading
import time
from pathlib import Path

from gru_scratch.engines.native.toolchain import FLAGS, CompilerError, Toolchain, ask_compiler, find_compiler, remember

__all__ = ["CACHE_VARIABLE", "HEADERS", "CompilerError", "load"]

CACHE_VARIABLE = "GRU_SCRATCH_CACHE"
"""The environment variable that names another folder for what this package keeps."""

HEADERS = Path(__file__).with_name("c")
"""The folder of the headers that a source may include."""

LONG_AGO = 3600.0
"""Seconds after which nobody works in a folder for temporary files any more."""

logger = logging.getLogger(__name__)


def load(source: str, flags: tuple[str, ...] = ()) -> ctypes.CDLL:
    """Compile C source, or find it compiled, and load it.

    A source is loaded once a process, and a failure is remembered: asking again costs nothing.

    Args:
        source: the text of one C file, which may include the headers of this package.
        flags: further flags for the compiler, such as ``-fsanitize=address``.

    Returns:
        The library; its functions run without Python's lock.

    Raises:
        CompilerError: there is no compiler, or it fails, or its work cannot be kept or loaded.
    """
    toolchain = ask_compiler(find_compiler())
    with _lock:
        return _load(source, flags, toolchain, cache_folder())


def cache_folder() -> Path:
    """Where compiled code is kept; the folder need not exist."""
    asked = os.environ.get(CACHE_VARIABLE)
    if asked:
        return Path(asked).absolute() / "native"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise CompilerError(f"there is no home folder to keep compiled code in: set {CACHE_VARIABLE}") from error
    if sys.platform == "darwin":
        base = home / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        base = base if base.is_absolute() else home / ".cache"  # a relative path shall be ignored, says the standard
    return base / "gru_scratch" / "native"


@remember
def _load(source: str, flags: tuple[str, ...], toolchain: Toolchain, folder: Path) -> ctypes.CDLL:
    key = _key(source, flags, toolchain)
    try:
        _make_private(folder)
        path = _find(folder, key) or _build(source, flags, toolchain, folder, key)
    except OSError as error:
        raise CompilerError(f"compiled code cannot be kept in {folder}: {error.strerror or error}") from error
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompilerError(f"compiled code cannot be loaded from {folder}: {error}") from error


def _key(source: str, flags: tuple[str, ...], toolchain: Toolchain) -> str:
    headers = [header.read_text(encoding="utf-8") for header in sorted(HEADERS.glob("*.h"))]
    machine = (sys.platform, platform.machine(), platform.libc_ver())
    made_of = (source, headers, toolchain.command, toolchain.description, toolchain.tuning, FLAGS, flags, machine)
    return hashlib.sha256(repr(made_of).encode()).hexdigest()[:32]


def _make_private(folder: Path) -> None:
    """Make the folder, and see that nobody else could have put a file into it: what it holds is run."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "posix":  # there, a user's folders are the user's own
        return
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise CompilerError(f"compiled code is not kept in {folder}: the folder belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CompilerError(f"compiled code is not kept in {folder}: others may write there (chmod 700 mends it)")


def _find(folder: Path, key: str) -> Path | None:
    """The library of a key whose content is what its name says."""
    for path in sorted(folder.glob(f"{key}-*{_suffix()}")):
        with contextlib.suppress(FileNotFoundError):
            if path == _path(folder, key, path.read_bytes()):
                return path
    return None


def _build(source: str, flags: tuple[str, ...], toolchain: Toolchain, folder: Path, key: str) -> Path:
    _clear_away(folder)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder, prefix="compiling-") as workplace:
        library = Path(workplace, "cell").with_suffix(_suffix())
        toolchain.compile(source, library, flags, HEADERS)
        path = _path(folder, key, library.read_bytes())
        os.replace(library, path)
    logger.info("compiling native code with %s took %.1f s", toolchain.name, time.perf_counter() - start)
    return path


def _clear_away(folder: Path) -> None:
    """Remove what compilations left that were killed, long enough ago that none of them can still run."""
    for left in folder.glob("compiling-*"):
        with contextlib.suppress(OSError):
            if left.stat().st_mtime < time.time() - LONG_AGO:
                shutil.rmtree(left)


def _path(folder: Path, key: str, library: bytes) -> Path:
    return folder / f"{key}-{hashlib.sha256(library).hexdigest()}{_suffix()}"


def _suffix() -> str:
    return ".dll" if os.name == "nt" else ".so"


_lock = threading.Lock()


def _renew_lock() -> None:
    """A child must not wait for a thread that only its parent has."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
