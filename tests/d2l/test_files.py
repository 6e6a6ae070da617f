"""Downloads: what is at hand comes first, a wrong sum is fetched anew, and archives are unpacked."""

from __future__ import annotations

import hashlib
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gru_scratch import d2l
from gru_scratch.d2l import files
from gru_scratch.text import corpus


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which its files can be fetched."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def test_a_file_is_fetched_unless_it_is_there(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(corpus.DATA_VARIABLE, raising=False)
    folder, address = served
    (folder / "a.txt").write_bytes(b"new")
    place = tmp_path / "data" / "a.txt"
    for before in (None, b"old", b"new"):
        if before is not None:
            place.write_bytes(before)
        assert Path(files.download(address + "a.txt", tmp_path / "data", sha1(b"new"))).samefile(place)
        assert place.read_bytes() == b"new"


def test_data_at_hand_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(corpus.DATA_VARIABLE, str(tmp_path))
    (tmp_path / "mine.txt").write_bytes(b"mine")
    monkeypatch.setitem(d2l.DATA_HUB, "mine", ("http://127.0.0.1:1/mine.txt", sha1(b"mine")))
    assert d2l.download("mine", cache_dir="elsewhere") == str(tmp_path / "mine.txt")
    (tmp_path / "fra-eng").mkdir()
    assert d2l.download_extract("fra-eng") == str(tmp_path / "fra-eng")


def test_an_archive_is_fetched_and_unpacked(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(corpus.DATA_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path / "served")
    folder, address = served
    with zipfile.ZipFile(folder / "some.zip", "w") as archive:
        archive.writestr("some/a.txt", "a")
    monkeypatch.setitem(d2l.DATA_HUB, "some", (address + "some.zip", sha1((folder / "some.zip").read_bytes())))
    assert Path(d2l.download_extract("some"), "a.txt").read_text() == "a"
    assert Path(d2l.download_extract("some", "some"), "a.txt").read_text() == "a"


def test_archives_are_unpacked_where_they_lie_or_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with tarfile.open(tmp_path / "some.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.txt", "inside.txt")
    files.extract(tmp_path / "some.tar.gz")
    files.extract(tmp_path / "some.tar.gz", tmp_path / "other")
    assert (tmp_path / "inside.txt").read_text() == (tmp_path / "other" / "inside.txt").read_text() == "a"


def test_what_is_neither_address_nor_archive_is_refused() -> None:
    with pytest.raises(ValueError, match=r"an address or one of time_machine, fra-eng, received 'ptb'"):
        d2l.download("ptb")
    with pytest.raises(ValueError, match=r"expected a \.zip, \.tar or \.tar\.gz file, received a\.rar"):
        files.extract("a.rar")
