"""What every test room shares: one seed a test, a text that is at hand, and the book's own package as a reference."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import settings
from support.book_package import NoAnimator, import_book

from gru_scratch.text import corpus

# Scripts run in folders of their own: a relative path would lead nowhere from there.
if corpus.DATA_VARIABLE in os.environ:
    os.environ[corpus.DATA_VARIABLE] = str(Path(os.environ[corpus.DATA_VARIABLE]).resolve())

# A slow first example (an import, a compilation) is no failure; the same examples every time.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")

# The matrices of tests are small: a second thread gains nothing, and costs much where other programs share the cores.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Every test draws from the same seed, so that a failure repeats."""
    torch.manual_seed(0)
    random.seed(0)


@pytest.fixture(autouse=True)
def _no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests read what is at hand: $GRU_SCRATCH_DATA, or else the shipped story."""
    monkeypatch.setattr(corpus, "fetch_time_machine", lambda folder: None)


@pytest.fixture
def signals_heard() -> Iterator[None]:
    """Children hear Ctrl-C and hangups: they ignore what their parent ignores, as under nohup or in the background."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def text() -> corpus.Text:
    """The text that `load_text()` reads with no network: the Time Machine where it is at hand, or else the story."""
    return corpus.load_text(corpus.find_time_machine(download=False) or corpus.story_path())


@pytest.fixture(scope="session")
def time_machine() -> corpus.Text:
    """The Time Machine itself, for checks of its own bytes."""
    path = corpus.find_time_machine(download=False)
    if path is None:
        pytest.skip(f"the Time Machine is not at hand: set {corpus.DATA_VARIABLE} to a folder that has timemachine.txt")
    return corpus.load_text(path)


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch, text: corpus.Text) -> ModuleType:
    """The package of the book, d2l 0.17.0, which reads the text of the tests and draws nothing."""
    module = import_book()
    monkeypatch.setattr(module, "download", lambda name: str(text.path))
    monkeypatch.setattr(module, "Animator", NoAnimator)
    monkeypatch.setattr(module, "use_svg_display", lambda: None)  # calls what IPython no longer has
    return module
