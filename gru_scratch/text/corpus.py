"""Find, fetch and clean a text.

The default is *The Time Machine* (H. G. Wells, 1895) as in "Dive into Deep Learning". It is recognised by its SHA-1
sum: a file that differs, however little, is ignored. If it is neither on this machine nor to be downloaded from the
book's data host, the story that ships with the package replaces it, and the text's `notice` says so.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pooch

from gru_scratch.text.reading import BETWEEN_FILES, TextPath, read_text, split_lines, text_files, text_name

TIME_MACHINE_URL = "http://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt"
TIME_MACHINE_SHA1 = "090b5e7e70c295757f55df93cb0a180b9691891a"
TIME_MACHINE_FILE = "timemachine.txt"
SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
SHAKESPEARE_FILE = "tinyshakespeare.txt"
DATA_VARIABLE = "GRU_SCRATCH_DATA"
DOWNLOAD_SECONDS = 6.0


@dataclass(frozen=True)
class Source:
    """The files that hold a text. `notice` is as in `Text`."""

    name: str
    path: TextPath
    notice: str | None = None


@dataclass(frozen=True)
class Text:
    """A text as its files have it, and where it came from.

    `notice` is one line for the user (the shipped story replaces the book, a file was ignored), or None. The library
    does not print it; commands do.
    """

    name: str
    path: TextPath
    raw: str
    notice: str | None = None

    def tokens(self, kind: str = "char", *, raw: bool = False) -> Sequence[str]:
        """All tokens in one sequence: of the cleaned text as in the book, or with `raw` of the unchanged text.

        Character tokens come as a `str`, which is a sequence of them; word tokens as a list.
        """
        if kind == "char":
            return self.raw if raw else "".join(clean_lines(self.raw))
        if kind == "word":
            lines = [self.raw] if raw else clean_lines(self.raw)
            return [word for line in lines for word in line.split()]
        raise ValueError(f"expected the kind of token 'char' or 'word', received {kind!r}")


def clean_lines(text: str) -> list[str]:
    """The book's cleaning, line by line: lower case, with every run of other characters than letters as one space."""
    return [re.sub("[^A-Za-z]+", " ", line).strip().lower() for line in split_lines(text)]


def load_text(path: str | os.PathLike[str] | tuple[Path, ...] | None = None) -> Text:
    """The text at `path`, a file, a folder or several; without one, *The Time Machine*, or else the shipped story.

    Raises FileNotFoundError or ValueError in one sentence where a file is missing, empty, no file or not UTF-8 text.
    """
    source = find_text(path)
    raw = BETWEEN_FILES.join(map(read_text, text_files(source.path)))
    return Text(source.name, source.path, raw, source.notice)


def find_text(path: str | os.PathLike[str] | tuple[Path, ...] | None = None) -> Source:
    """Where a text is: at `path`; without one, where `load_text` reads.

    Raises what `text_files` raises.
    """
    if path is not None:
        place = path if isinstance(path, tuple) else Path(path)
        text_files(place)
        return Source(text_name(place), place)
    book = find_time_machine()
    notices = [f"passed over {place}: it is not the book's file (its SHA-1 sum differs)" for place in altered_files()]
    if book is not None:
        return Source("The Time Machine", book, "; ".join(notices) or None)
    notices.insert(
        0,
        "The Time Machine is not at hand and could not be downloaded: reading the shipped story instead; put it at "
        f"{download_folder() / TIME_MACHINE_FILE}, or set {DATA_VARIABLE} to a folder that has {TIME_MACHINE_FILE}",
    )
    return Source("the shipped story", story_path(), "; ".join(notices))


def find_time_machine(*, download: bool = True) -> Path | None:
    """An intact *Time Machine*: from $GRU_SCRATCH_DATA, from `download_folder()`, or by download into that folder."""
    for place in time_machine_places():
        if is_time_machine(place):
            return place
    return fetch_time_machine(download_folder()) if download else None


def altered_files() -> list[Path]:
    """Files in the places of The Time Machine whose SHA-1 sum differs."""
    return [place for place in time_machine_places() if place.is_file() and not is_time_machine(place)]


def is_time_machine(path: Path) -> bool:
    try:
        return path.is_file() and pooch.file_hash(str(path), alg="sha1") == TIME_MACHINE_SHA1
    except OSError:
        return False


def is_the_books(path: TextPath) -> bool:
    """Whether a file is The Time Machine, or the story that stands in for it: the texts that the book's way suits."""
    if isinstance(path, tuple) or path.is_dir() or path.stat().st_size > 1 << 20:
        return False
    return is_time_machine(path) or path.read_bytes() == story_path().read_bytes()


def time_machine_places() -> list[Path]:
    named = os.environ.get(DATA_VARIABLE)
    folders = [Path(named)] if named else []
    return [folder / TIME_MACHINE_FILE for folder in [*folders, download_folder()]]


def find_tiny_shakespeare() -> Path:
    """An intact Tiny Shakespeare: from $GRU_SCRATCH_DATA, from `download_folder()`, or by download into that folder.

    Raises FileNotFoundError, which says where to put it, if there is none.
    """
    named = os.environ.get(DATA_VARIABLE)
    for folder in [*([Path(named)] if named else []), download_folder()]:
        place = folder / SHAKESPEARE_FILE
        if place.is_file() and pooch.file_hash(str(place), alg="sha256") == SHAKESPEARE_SHA256:
            return place
    path = fetch(SHAKESPEARE_URL, f"sha256:{SHAKESPEARE_SHA256}", SHAKESPEARE_FILE, download_folder(), 60.0)
    if path is None:
        raise FileNotFoundError(
            f"Tiny Shakespeare is not at hand and could not be downloaded from {SHAKESPEARE_URL}: "
            f"put it at {download_folder() / SHAKESPEARE_FILE}"
        )
    return path


def fetch_time_machine(folder: Path, seconds: float = DOWNLOAD_SECONDS) -> Path | None:
    """Download the book into `folder`, or return None."""
    return fetch(TIME_MACHINE_URL, f"sha1:{TIME_MACHINE_SHA1}", TIME_MACHINE_FILE, folder, seconds)


def fetch(url: str, known_hash: str, name: str, folder: Path, seconds: float) -> Path | None:
    """Download a file into `folder`; None without a network or permission, for a wrong checksum, or after a time-out.

    pooch writes to a temporary name, compares the checksum, and only then renames; a damaged copy is replaced.
    Time-outs of sockets limit neither a name look-up nor a host with many dead addresses, so a thread limits the total
    time.
    """
    arrived: list[Path] = []

    def download() -> None:
        downloader = pooch.HTTPDownloader(timeout=seconds / 2)
        try:
            with quiet(pooch.get_logger()):
                path = pooch.retrieve(url, known_hash, fname=name, path=folder, downloader=downloader)
        except (OSError, ValueError):  # requests' errors are OSErrors; a wrong sum is a ValueError
            return
        arrived.append(Path(path))

    worker = threading.Thread(target=download, daemon=True)
    worker.start()
    worker.join(seconds)
    return arrived[0] if arrived else None


@contextmanager
def quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def download_folder() -> Path:
    """`data/` of the checkout that this package lies in; for an installed package, pooch's cache folder."""
    return checkout_data() or Path(pooch.os_cache("gru_scratch"))


def story_path() -> Path:
    """The shipped story: in `data/` of the checkout, or in the installed package, which contains `data/`."""
    folder = checkout_data() or Path(__file__).resolve().parents[1] / "data"
    return folder / "story.txt"


def checkout_data() -> Path | None:
    root = Path(__file__).resolve().parents[2]
    inside = (root / "pyproject.toml").is_file() and (root / "data").is_dir()
    return root / "data" if inside else None
