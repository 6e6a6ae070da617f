"""Which C compiler there is, what it says of itself, and one run of it."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

TIME_LIMIT = 60.0
"""Seconds that one run of the compiler may take; a cell takes one or two, and zig about ten at its first use."""

FLAGS = (
    "-std=gnu11",
    "-O3",
    "-shared",
    "-fPIC",
    # Sums keep their order and NaN is a value like others, hence no -ffast-math; a product and a sum may be rounded
    # once, as one instruction, which is faster and nearer to the exact value. Named, because compilers differ in what
    # they do unasked. errno and floating-point traps are read by nobody, and would keep loops from being vectorised.
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
)

TUNINGS = (("-march=native",), ("-mcpu=native",), ())
"""How compilers are asked for this processor's own instructions; the first that a compiler takes is used."""


class CompilerError(RuntimeError):
    """There is no native code on this machine, and the message is the sentence that says why."""


class RejectedError(CompilerError):
    """A compiler ran, and did not take what it was given."""


@dataclass(frozen=True)
class Toolchain:
    """A compiler that answered."""

    command: tuple[str, ...]
    """The program and the arguments that always come first."""
    tuning: tuple[str, ...]
    """The flags that ask for this processor's instructions."""
    description: str
    """The macros it defines: its version, and the instructions that it will use."""

    @property
    def name(self) -> str:
        """The command as a person would type it."""
        return shlex.join(self.command)

    def compile(self, source: str, output: Path, flags: Sequence[str], include: Path) -> None:
        """Compile C source into a shared library.

        Args:
            source: the text of one file.
            output: the library to write, in a folder of its own, where temporary files go, too.
            flags: further flags, after :data:`FLAGS`.
            include: the folder of the source's own headers.
        """
        text = output.with_suffix(".c")
        text.write_text(source, encoding="utf-8")
        arguments = (*FLAGS, *self.tuning, *flags, f"-I{include}", str(text), "-o", str(output), "-lm")
        run(self.command, arguments, output.parent)
        if not output.is_file():
            raise CompilerError(f"the C compiler {self.name} reported success and wrote no library")


def find_compiler() -> tuple[str, ...]:
    """The command of the C compiler: ``$CC``, or else cc, gcc or clang, or else the package ziglang."""
    asked = shlex.split(os.environ.get("CC", ""), posix=os.name == "posix")
    if asked:
        program = shutil.which(asked[0])
        if program is None:
            raise CompilerError(f"CC names the C compiler {asked[0]!r}, and there is no such program")
        return (os.path.abspath(program), *asked[1:])
    for name in ("cc", "gcc", "clang"):
        program = shutil.which(name)
        if program is not None:
            return (os.path.abspath(program),)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc")
    raise CompilerError(
        "there is no C compiler: neither cc, gcc nor clang is on the PATH, CC is not set, "
        "and the package ziglang (pip install ziglang) is not installed"
    )


def remember(function: Callable[P, T]) -> Callable[P, T]:
    """Call a function once for each set of arguments; what it returned, or why it failed, is given again."""

    outcomes: dict[object, T | CompilerError] = {}

    @functools.wraps(function)
    def remembered(*args: P.args, **kwargs: P.kwargs) -> T:
        key = (args, tuple(kwargs.items()))
        if key not in outcomes:
            try:
                outcomes[key] = function(*args, **kwargs)
            except CompilerError as error:
                outcomes[key] = error
        outcome = outcomes[key]
        if isinstance(outcome, CompilerError):
            raise CompilerError(str(outcome))
        return outcome

    return remembered


@remember
def ask_compiler(command: tuple[str, ...]) -> Toolchain:
    """Let a compiler list its predefined macros, for the first tuning that it takes."""
    with contextlib.ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gru_scratch-")))
            empty = folder / "empty.c"
            empty.touch()
        except OSError as error:
            raise CompilerError(f"the C compiler has no folder for temporary files: {error.strerror}") from error
        for tuning in TUNINGS:
            try:
                macros = run(command, (*tuning, "-dM", "-E", str(empty)), folder)
            except RejectedError as error:
                reason = error
            else:
                return Toolchain(command, tuning, macros)
    raise reason


def run(command: Sequence[str], arguments: Sequence[str], folder: Path) -> str:
    """Run a compiler, with ``folder`` for its temporary files, and return what it printed.

    It runs in a process group of its own: a compiler starts further programs, and at the time limit, or when the user
    interrupts, all of them must end. Its output goes to a file, since a pipe stays open as long as any of them lives.
    """
    name = shlex.join(command)
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder)}
    with open(folder / "printed", "w+b") as printed, open(folder / "errors", "w+b") as errors:
        try:
            process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise CompilerError(f"the C compiler {name} does not start: {error.strerror}") from error
        try:
            code = process.wait(TIME_LIMIT)
        except subprocess.TimeoutExpired as error:
            raise CompilerError(f"the C compiler {name} did not end within {TIME_LIMIT:g} seconds") from error
        finally:
            _end(process)
        printed.seek(0)
        errors.seek(0)
        if code:
            message = _first_error(errors.read().decode(errors="replace"))
            how = f"was ended by signal {-code}" if code < 0 else f"failed with exit status {code}"
            raise RejectedError(f"the C compiler {name} {how}" + (f": {message}" if message else ""))
        return printed.read().decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs, and all that it started."""
    if process.poll() is not None:
        return
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _first_error(text: str) -> str:
    """The line of a compiler's messages that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[-1] if lines else "")
