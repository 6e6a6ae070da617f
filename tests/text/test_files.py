"""Files, folders and locks, also on systems that lack what POSIX has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gru_scratch.text.files import Lock, make_folder, replacing, write_atomically

IMPORT_ALL = """
import pkgutil, signal, sys
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGPIPE", "SIGKILL", "SIGUSR1"):
    vars(signal).pop(name, None)
import gru_scratch
for module in pkgutil.walk_packages(gru_scratch.__path__, "gru_scratch."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
from pathlib import Path
from gru_scratch.text.files import Lock
with Lock(Path(".")) as first, Lock(Path(".")) as second:
    assert first.take() and second.take()
"""


def test_every_module_is_imported_without_what_only_posix_has(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no such locks")
def test_one_holds_the_lock(tmp_path: Path) -> None:
    with Lock(tmp_path) as first, Lock(tmp_path) as second:
        assert first.take()
        assert not second.take()
        first.release()
        assert second.take()


def test_what_fails_within_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def interrupted() -> None:
        with replacing(path) as file:
            file.write(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    for path in (tmp_path / "file", tmp_path / "nowhere" / "file"):
        with pytest.raises(OSError, match=r"file'$") as error:
            write_atomically(path, b"new")
        assert ".tmp" not in str(error.value)


class TestFolders:
    def test_numbers_are_added_to_names_that_are_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        made = [make_folder(None, "study") for _ in range(3)]
        assert made == [Path("runs/study"), Path("runs/study-2"), Path("runs/study-3")]
        assert all(folder.is_dir() for folder in made)

    def test_one_that_is_asked_for_is_new_or_empty(self, tmp_path: Path) -> None:
        assert make_folder(tmp_path / "a" / "b", "study") == tmp_path / "a" / "b"
        assert make_folder(tmp_path / "a" / "b", "study") == tmp_path / "a" / "b"
        (tmp_path / "a" / "b" / "state.tmp").touch()
        assert make_folder(tmp_path / "a" / "b", "study", leftovers=["state.tmp"])
        with pytest.raises(ValueError, match=r"the run folder .*b is not empty: expected a new one"):
            make_folder(tmp_path / "a" / "b", "study", what="run folder")

    def test_one_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ValueError, match=r"cannot make the folder .*file/x: Not a directory"):
            make_folder(tmp_path / "file" / "x", "study")
