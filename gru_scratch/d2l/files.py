"""Downloads as the pages ask for them; $GRU_SCRATCH_DATA comes first, so that they run without a network, too."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pooch

from gru_scratch.text.corpus import DATA_VARIABLE, TIME_MACHINE_SHA1, TIME_MACHINE_URL
from gru_scratch.text.pairs import FRA_ENG_SHA1, FRA_ENG_URL

DATA_URL = TIME_MACHINE_URL.removesuffix("timemachine.txt")
"""Where the book's files are."""
DATA_HUB = {
    "time_machine": (TIME_MACHINE_URL, TIME_MACHINE_SHA1),
    "fra-eng": (FRA_ENG_URL, FRA_ENG_SHA1),
}
"""Address and SHA-1 sum of a file by its name; a page may add its own."""


def download(url: str, folder: str | os.PathLike[str] = "../data", sha1_hash: str | None = None) -> str:
    """The path of the file at `url`, or of one of `DATA_HUB` by its name.

    It is that of $GRU_SCRATCH_DATA or of `folder` where one with this SHA-1 sum is there, else it is fetched into
    `folder`.
    """
    if not url.startswith("http"):
        if url not in DATA_HUB:
            raise ValueError(f"expected an address or one of {', '.join(DATA_HUB)}, received {url!r}")
        url, sha1_hash = DATA_HUB[url]
    name = url.rpartition("/")[2]
    at_hand = Path(os.environ.get(DATA_VARIABLE) or folder) / name
    if sha1_hash and at_hand.is_file() and hashlib.sha1(at_hand.read_bytes()).hexdigest() == sha1_hash:
        return str(at_hand)
    return str(pooch.retrieve(url, sha1_hash and f"sha1:{sha1_hash}", fname=name, path=folder))


def extract(filename: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None) -> None:
    """Unpack a .zip, .tar or .tar.gz file into `folder`, or where it lies."""
    if not str(filename).endswith((".zip", ".tar", ".gz")):
        raise ValueError(f"expected a .zip, .tar or .tar.gz file, received {filename}")
    safely: dict[str, Any] = {} if str(filename).endswith(".zip") else {"filter": "data"}
    shutil.unpack_archive(filename, Path(filename).parent if folder is None else folder, **safely)


def download_extract(name: str, folder: str | None = None) -> str:
    """The folder that a downloaded archive unpacks to: `folder` beside it, or the one that is called as it is."""
    unpacked = Path(os.environ.get(DATA_VARIABLE, "")) / (folder or name)
    if os.environ.get(DATA_VARIABLE) and unpacked.is_dir():
        return str(unpacked)
    archive = Path(download(name))
    extract(archive)
    return str(archive.parent / folder if folder else archive.with_suffix(""))
