"""Compiled code is kept, checked and loaded; where it cannot be, one sentence says why. No test needs permissions to
stop it, since the administrator, whom nothing stops, runs tests, too."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT

from gru_scratch.engines.native import compiler, toolchain
from gru_scratch.engines.native.compiler import CACHE_VARIABLE, CompilerError, cache_folder, load

SOURCE = "int answer(void) { return 42; }\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, for a compiler of the test's own choice."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path / "cache" / "native"


@pytest.fixture
def real_compiler() -> str:
    """A compiler that works."""
    try:
        return toolchain.find_compiler()[0]
    except CompilerError as error:
        pytest.skip(str(error))


@pytest.fixture
def fake_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A shell script in place of the compiler, which says of itself what is asked, and then fails as the test wants."""
    if os.name != "posix":
        pytest.skip("the compilers of these tests are shell scripts")

    def write(compile_: str, ask: str = "echo '#define __VERSION__ \"1\"'") -> Path:
        script = tmp_path / "fake-cc"
        script.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin\ncase "$*" in *-dM*) {ask};; *) {compile_};; esac\n')
        script.chmod(0o755)
        monkeypatch.setenv("CC", str(script))
        return script

    return write


@pytest.fixture
def as_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what this process has loaded, whenever it asks."""
    monkeypatch.setattr(compiler, "_load", compiler._load.__wrapped__)


def reason(source: str = SOURCE) -> str:
    """The sentence that says why there is no native code."""
    with pytest.raises(CompilerError) as caught:
        load(source)
    return str(caught.value)


# ---------------------------------------------------------------------------------------------- compiled, kept, loaded


@pytest.mark.usefixtures("real_compiler")
def test_a_source_is_compiled_once_and_loaded_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="gru_scratch"):
        library = load(SOURCE)
        assert library.answer() == 42
        assert load(SOURCE) is library
    (record,) = caplog.records
    assert re.fullmatch(r"compiling native code with .+ took \d+\.\d s", record.getMessage())
    assert len(list(folder.iterdir())) == 1


@pytest.mark.usefixtures("real_compiler", "as_new_process")
def test_another_process_finds_it_compiled(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(SOURCE)
    kept = {path: path.stat() for path in folder.iterdir()}
    with caplog.at_level(logging.INFO, logger="gru_scratch"):
        assert load(SOURCE).answer() == 42
    assert not caplog.records
    assert {path: path.stat() for path in folder.iterdir()} == kept


@pytest.mark.usefixtures("real_compiler")
def test_the_folder_is_the_users_alone(folder: Path) -> None:
    load(SOURCE)
    if os.name == "posix":
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("real_compiler", "as_new_process")
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data + b"\0"])
def test_a_damaged_file_is_compiled_again(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    load(SOURCE)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.unlink()  # the library is loaded: its file must not change under it
    path.write_bytes(damage(whole))
    assert load(SOURCE).answer() == 42
    assert path.read_bytes() == whole


@pytest.mark.usefixtures("real_compiler")
def test_source_flags_and_compiler_each_have_a_library_of_their_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, real_compiler: str
) -> None:
    source = "#ifndef ANSWER\n#define ANSWER 1\n#endif\nint answer(void) { return ANSWER; }\n"
    assert load(source).answer() == 1
    assert load(source, ("-DANSWER=2",)).answer() == 2
    assert load(source + "\n").answer() == 1
    monkeypatch.setenv("CC", f"{real_compiler} -DANSWER=3")
    assert load(source).answer() == 3
    assert len(list(folder.iterdir())) == 4


@pytest.mark.usefixtures("real_compiler")
def test_the_processor_and_the_headers_are_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = toolchain.Toolchain(("cc",), (), "#define __AVX2__ 1")
    other = toolchain.Toolchain(("cc",), (), "#define __AVX512F__ 1")
    keys = [compiler._key(SOURCE, (), one), compiler._key(SOURCE, (), other)]
    monkeypatch.setattr(compiler, "HEADERS", tmp_path)
    keys.append(compiler._key(SOURCE, (), one))
    assert len(set(keys)) == 3


def test_a_compiler_that_does_not_know_this_processor_is_asked_for_less(
    fake_compiler: Callable[..., Path], real_compiler: str
) -> None:
    refuse = 'case "$*" in *native*) echo "error: unknown processor" >&2; exit 1;; esac'
    fake_compiler(f'{real_compiler} "$@"', ask=f'{refuse}; {real_compiler} "$@"')
    assert load(SOURCE).answer() == 42


def start(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_two_processes_at_once(folder: Path, fake_compiler: Callable[..., Path], real_compiler: str) -> None:
    """Each compiles something of its own, as compilers may that write the time into a library."""
    sign = 'for word; do case $word in *.so) echo $$ >> "$word";; esac; done'
    fake_compiler(f'sleep 1; {real_compiler} "$@" && {sign}')
    processes = [
        start(
            f"""
from gru_scratch.engines.native import compiler
print("ready", flush=True)
input()
print(compiler.load({SOURCE!r}).answer())
"""
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=120)[0] for process in processes] == ["42\n", "42\n"]
    assert [path.suffix for path in folder.iterdir()] == [".so", ".so"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.usefixtures("real_compiler")
def test_a_child_loads_while_a_thread_of_its_parent_compiles() -> None:
    script = f"""
import os, threading
from gru_scratch.engines.native import compiler
library = compiler.load({SOURCE!r})
compiler._lock.acquire()  # as a thread does that the child will not have
child = os.fork()
if not child:
    os._exit(compiler.load({SOURCE!r}).answer() + compiler.load({SOURCE + "/* another */"!r}).answer())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert start(script).communicate(timeout=120)[0] == "84\n"


@pytest.mark.usefixtures("real_compiler")
def test_what_a_killed_process_left_is_cleared_away(folder: Path) -> None:
    old, new = folder / "compiling-old", folder / "compiling-new"
    for left in (old, new):
        left.mkdir(parents=True)
        (left / "cell.c").touch()
    folder.chmod(0o700)
    two_hours_ago = time.time() - 7200
    os.utime(old, (two_hours_ago, two_hours_ago))
    assert load(SOURCE).answer() == 42
    assert not old.exists()
    assert new.exists()


# -------------------------------------------------------------------------------------------------- compilers that fail


def test_no_compiler_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    assert reason().startswith("there is no C compiler: neither cc, gcc nor clang is on the PATH, CC is not set")


def test_the_wheel_of_zig_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: object())
    assert toolchain.find_compiler() == (sys.executable, "-m", "ziglang", "cc")


def test_a_compiler_that_was_asked_for_is_not_replaced_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O1")
    assert reason() == "CC names the C compiler 'no-such-compiler', and there is no such program"


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (
            "echo 'cell.c:1: error: what is this' >&2; exit 3",
            "failed with exit status 3: cell.c:1: error: what is this",
        ),
        ("echo 'No space left on device' >&2; exit 1", "failed with exit status 1: No space left on device"),
        ("exit 1", "failed with exit status 1"),
        ("kill -9 $$", "was ended by signal 9"),
        ("exit 0", "reported success and wrote no library"),
    ],
)
def test_a_compiler_that_fails(folder: Path, fake_compiler: Callable[..., Path], behaviour: str, expected: str) -> None:
    script = fake_compiler(behaviour)
    assert reason() == f"the C compiler {script} {expected}"
    assert list(folder.iterdir()) == []


def test_a_compiler_that_cannot_even_say_what_it_is(fake_compiler: Callable[..., Path]) -> None:
    script = fake_compiler("exit 0", ask="echo 'error: broken installation' >&2; exit 1")
    assert reason() == f"the C compiler {script} failed with exit status 1: error: broken installation"


def test_a_compiler_that_is_no_program(fake_compiler: Callable[..., Path]) -> None:
    script = fake_compiler("exit 0")
    script.write_bytes(b"\x7fELF and then nothing")
    assert reason() == f"the C compiler {script} does not start: Exec format error"


def test_a_library_that_is_none(fake_compiler: Callable[..., Path], folder: Path) -> None:
    fake_compiler('for o; do case $o in *.so) echo nonsense > "$o";; esac; done')
    assert reason().startswith(f"compiled code cannot be loaded from {folder}: ")


def test_a_compiler_that_hangs_is_ended_with_all_that_it_started(
    fake_compiler: Callable[..., Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "TIME_LIMIT", 0.5)
    script = fake_compiler(f"sleep 1000 & echo $! > {tmp_path}/child; wait")
    start = time.perf_counter()
    assert reason() == f"the C compiler {script} did not end within 0.5 seconds"
    assert time.perf_counter() - start < 10
    assert list(folder.iterdir()) == []
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not runs(child):
            break
        time.sleep(0.05)
    assert not runs(child)


def runs(process: int) -> bool:
    """Whether a process lives; one that ended and whose parent never asked is dead, too."""
    stat = Path(f"/proc/{process}/stat")
    if stat.exists():
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_failure_is_remembered(fake_compiler: Callable[..., Path], tmp_path: Path) -> None:
    fake_compiler(f"echo once >> {tmp_path}/calls; exit 1")
    assert reason() == reason()
    assert (tmp_path / "calls").read_text() == "once\n"


# ---------------------------------------------------------------------------------------------------- folders that fail


def test_a_folder_where_others_may_write(folder: Path, fake_compiler: Callable[..., Path]) -> None:
    fake_compiler("exit 1")
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert reason() == f"compiled code is not kept in {folder}: others may write there (chmod 700 mends it)"


def test_a_folder_of_another_user(
    folder: Path, fake_compiler: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_compiler("exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert reason() == f"compiled code is not kept in {folder}: the folder belongs to another user"


def test_a_file_in_place_of_the_folder(folder: Path, fake_compiler: Callable[..., Path]) -> None:
    fake_compiler("exit 1")
    folder.parent.mkdir()
    folder.touch()
    assert reason() == f"compiled code cannot be kept in {folder}: File exists"


@pytest.mark.parametrize(
    ("module", "function", "number"),
    [("tempfile", "mkdtemp", errno.EROFS), ("os", "replace", errno.ENOSPC), ("os", "replace", errno.EACCES)],
)
def test_a_folder_that_takes_no_file(
    folder: Path,
    fake_compiler: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    function: str,
    number: int,
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number))

    fake_compiler('for o; do case $o in *.so) echo nonsense > "$o";; esac; done')
    toolchain.ask_compiler(toolchain.find_compiler())
    monkeypatch.setattr(f"{module}.{function}", fail)
    assert reason() == f"compiled code cannot be kept in {folder}: {os.strerror(number)}"


def test_no_room_for_temporary_files(fake_compiler: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    fake_compiler("exit 0")
    monkeypatch.setattr("tempfile.mkdtemp", fail)
    assert reason() == "the C compiler has no folder for temporary files: No usable temporary directory found"


@pytest.mark.usefixtures("real_compiler")
def test_a_folder_from_which_no_code_may_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> None:
        raise OSError(f"{path}: failed to map segment from shared object")

    monkeypatch.setattr(ctypes, "CDLL", fail)
    assert re.fullmatch(
        f"compiled code cannot be loaded from {folder}: .+: failed to map segment from shared object", reason()
    )


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no folder that nobody can write to")
@pytest.mark.usefixtures("real_compiler")
def test_a_folder_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "/proc/self/none")
    assert reason().startswith("compiled code cannot be kept in /proc/self/none/native: ")


@pytest.mark.skipif(sys.platform != "linux", reason="the standard is that of Linux' desktops")
def test_where_the_folder_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "gru_scratch" / "native"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "gru_scratch" / "native"


def test_no_home(monkeypatch: pytest.MonkeyPatch, fake_compiler: Callable[..., Path]) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    fake_compiler("exit 0")
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setattr(Path, "home", fail)
    assert reason() == f"there is no home folder to keep compiled code in: set {CACHE_VARIABLE}"
