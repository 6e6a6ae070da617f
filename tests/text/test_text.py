"""Finding, cleaning and numbering a text: against the book's package, and what happens when there is no such text."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copy, copytree
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.book_package import import_book
from support.paths import ROOT

from gru_scratch.text import corpus
from gru_scratch.text.corpus import Text, clean_lines, fetch_time_machine, find_time_machine, load_text, story_path
from gru_scratch.text.vocab import Vocab, count_corpus, tokenize

BOOK_BYTES = b"The Time Machine,\r\nby H. G. Wells [1898]\n" * 50


# ------------------------------------------------------------------------------------------------ against the book


@given(st.text(alphabet=st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("aZ \r\n\x0b\x85\u2028"))))
def test_cleaning_is_the_books_on_any_text(text: str) -> None:
    book = import_book()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder, "text.txt")
        path.write_bytes(text.encode())
        patch.setattr(book, "download", lambda name: str(path))
        assert clean_lines(text) == book.read_time_machine()


def test_corpus_and_vocabulary_are_the_books(book: ModuleType, text: Text) -> None:
    book_corpus, book_vocab = book.load_corpus_time_machine()
    tokens = text.tokens()
    vocab = Vocab(tokens)
    assert "".join(tokens) == "".join(book.read_time_machine())
    assert vocab.encode(tokens).tolist() == book_corpus
    assert vocab.idx_to_token == book_vocab.idx_to_token
    assert vocab.token_to_idx == book_vocab.token_to_idx
    assert vocab.token_freqs == book_vocab.token_freqs


def test_word_tokens_are_the_books(book: ModuleType, text: Text) -> None:
    words = [word for line in book.tokenize(book.read_time_machine()) for word in line]
    assert text.tokens("word") == words
    ours, theirs = Vocab(text.tokens("word"), min_freq=2), book.Vocab(words, min_freq=2)
    assert ours.idx_to_token == theirs.idx_to_token
    assert ours.encode(words).tolist() == theirs[words]


@pytest.mark.parametrize("kind", ["word", "char"])
def test_tokenize_is_the_books(book: ModuleType, kind: str) -> None:
    lines = ["the time machine", "", " by  h g wells "]
    assert tokenize(lines, kind) == book.tokenize(lines, kind)


@given(
    tokens=st.one_of(
        st.lists(st.text(max_size=2)),
        st.lists(st.lists(st.text(max_size=1))),
        st.lists(st.tuples(st.text(), st.text())),
    ),
    min_freq=st.integers(0, 3),
    reserved=st.none() | st.lists(st.text(max_size=2) | st.just("<unk>")),
)
def test_vocab_is_the_books(tokens: list[object], min_freq: int, reserved: list[str] | None) -> None:
    book = import_book()
    ours, theirs = Vocab(tokens, min_freq, reserved), book.Vocab(tokens, min_freq, reserved)
    assert ours.idx_to_token == theirs.idx_to_token
    assert ours.token_to_idx == theirs.token_to_idx
    assert ours.token_freqs == theirs.token_freqs
    assert count_corpus(tokens) == book.count_corpus(tokens)
    assert len(ours) == len(theirs)
    assert ours.unk == theirs.unk == 0
    queries = [*tokens, "not there", [["a", "b"], ("<unk>",)]]
    assert ours[queries] == theirs[queries]
    indices = list(range(len(ours)))
    assert ours.to_tokens(indices) == theirs.to_tokens(indices)
    assert ours.to_tokens(len(ours) - 1) == theirs.to_tokens(len(ours) - 1)


def test_the_time_machine_is_the_one_of_the_book(time_machine: Text) -> None:
    tokens = time_machine.tokens()
    vocab = Vocab(tokens)
    assert len(time_machine.raw) == 178_979
    assert len(clean_lines(time_machine.raw)) == 3221
    assert clean_lines(time_machine.raw)[:1] == ["the time machine by h g wells"]
    assert len(tokens) == 170_580
    assert vocab.idx_to_token[:10] == ["<unk>", " ", "e", "t", "a", "i", "n", "o", "s", "h"]
    assert len(vocab) == 28


# ------------------------------------------------------------------------------------------------ vocabulary


@given(st.text(), st.text())
def test_encode_numbers_each_character(known: str, text: str) -> None:
    vocab = Vocab(known, reserved_tokens=["<pad>"])
    numbers = vocab.encode(text)
    assert numbers.dtype == torch.int64
    assert numbers.tolist() == vocab[list(text)]


def test_encode_of_a_list_takes_tokens_of_any_length() -> None:
    vocab = Vocab(["time", "traveller", "time"])
    assert vocab.encode(["traveller", "time", "space"]).tolist() == [2, 1, 0]
    assert vocab.encode([]).tolist() == []


@given(st.text(alphabet=st.characters()), st.integers(0, 2))
def test_json_keeps_every_token_and_the_order_of_ties(text: str, min_freq: int) -> None:
    vocab = Vocab(text, min_freq, reserved_tokens=["<pad>"])
    written = vocab.to_json()
    assert written.isascii()
    read = Vocab.from_json(written)
    assert read.idx_to_token == vocab.idx_to_token
    assert read.token_to_idx == vocab.token_to_idx
    assert read.token_freqs == vocab.token_freqs


def test_a_hundred_thousand_symbols() -> None:
    text = "".join(map(chr, range(0x10000, 0x10000 + 100_000))) + "a\n"
    vocab = Vocab.from_json(Vocab(text).to_json())
    assert len(vocab) == 100_003
    assert "".join(vocab.to_tokens(vocab.encode(text).tolist())) == text


@pytest.mark.parametrize(
    "written",
    [
        "",
        "not json",
        "[]",
        "{}",
        "null",
        '{"idx_to_token": ["<unk>"]}',
        '{"idx_to_token": "<unk>", "token_freqs": []}',
        '{"idx_to_token": ["<unk>", 3], "token_freqs": []}',
        '{"idx_to_token": ["a"], "token_freqs": []}',
        '{"idx_to_token": [], "token_freqs": []}',
        '{"idx_to_token": ["<unk>"], "token_freqs": [["a"]]}',
        '{"idx_to_token": ["<unk>"], "token_freqs": [["a", "b"]]}',
        '{"idx_to_token": ["<unk>"], "token_freqs": [[1, 1]]}',
        '{"idx_to_token": ["<unk>"], "token_freqs": 1}',
        "[" * 100_000,
    ],
)
def test_from_json_refuses_what_is_no_vocabulary(written: str) -> None:
    with pytest.raises(ValueError, match="expected a vocabulary"):
        Vocab.from_json(written)


def test_to_json_refuses_tokens_that_are_not_strings() -> None:
    with pytest.raises(TypeError, match=r"expected tokens that are str, received the tuple \('a', 'b'\)"):
        Vocab([("a", "b")]).to_json()


@pytest.mark.parametrize("call", [lambda: tokenize(["a"], "byte"), lambda: Text("t", Path(), "a").tokens("byte")])
def test_an_unknown_kind_of_token_is_named(call: object) -> None:
    with pytest.raises(ValueError, match="expected the kind of token 'char' or 'word', received 'byte'"):
        call()  # type: ignore[operator]


# ------------------------------------------------------------------------------------------------ raw and cleaned


def test_raw_keeps_the_characters_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    content = "Été, 1895:\r\n\t“Time”\r the End \U0001f570\n"
    path.write_bytes(content.encode())
    text = load_text(path)
    assert (text.name, text.path, text.notice) == ("text.txt", path, None)
    assert text.tokens(raw=True) == content
    assert text.tokens("word", raw=True) == ["Été,", "1895:", "“Time”", "the", "End", "\U0001f570"]
    assert text.tokens() == "ttimethe end"
    assert text.tokens("word") == ["t", "time", "the", "end"]


# ------------------------------------------------------------------------------------------------ bad files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"caf\xe9 au lait", "is not UTF-8 text: byte 3 is 0xe9"),
        (b"\xff\xfea\x00", "is in UTF-16 or UTF-32: expected UTF-8"),
        (b"abc\x00def", "is not UTF-8 text: byte 3 is 0x00"),
        (b"ends early \xe2\x82", "is not UTF-8 text: byte 11 is 0xe2"),
    ],
)
def test_a_file_that_is_no_text(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_text(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_without_texts(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"there is no text file {re.escape(str(tmp_path / 'none.txt'))}"):
        load_text(tmp_path / "none.txt")
    with pytest.raises(ValueError, match=f"and the folder {re.escape(str(tmp_path))} has none"):
        load_text(str(tmp_path))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device file")
def test_an_endless_device_is_not_read() -> None:
    with pytest.raises(ValueError, match="/dev/zero is not a regular file"):
        load_text("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("a")
    path.chmod(0)
    with pytest.raises(PermissionError, match=f"no permission to read the text file {re.escape(str(path))}"):
        load_text(path)


# ------------------------------------------------------------------------------------------------ where texts come from


class Host(BaseHTTPRequestHandler):
    """Serves `body`, and announces `length` bytes; or accepts and says nothing."""

    body = b""
    length = 0
    silent = threading.Event()

    def do_GET(self) -> None:
        if not self.length:
            self.silent.wait(10)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.length))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *values: object) -> None:
        pass


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Host]]:
    """A data host on this machine, whose book is BOOK_BYTES."""
    handler = type("ThisHost", (Host,), {"silent": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(corpus, "TIME_MACHINE_URL", f"http://127.0.0.1:{server.server_port}/timemachine.txt")
    monkeypatch.setattr(corpus, "TIME_MACHINE_SHA1", sha1(BOOK_BYTES).hexdigest())
    yield handler
    handler.silent.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_download_arrives_and_is_quiet(host: type[Host], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    host.body, host.length = BOOK_BYTES, len(BOOK_BYTES)
    path = fetch_time_machine(tmp_path / "new")
    assert path == tmp_path / "new" / "timemachine.txt"
    assert path.read_bytes() == BOOK_BYTES
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (BOOK_BYTES[:-7], len(BOOK_BYTES) - 7),  # truncated at the source
        (BOOK_BYTES[:-7], len(BOOK_BYTES)),  # cut off on the way
        (BOOK_BYTES.replace(b"W", b"w", 1), len(BOOK_BYTES)),  # altered
        (b"", 0),  # no answer
    ],
)
def test_a_bad_download_leaves_nothing(host: type[Host], tmp_path: Path, body: bytes, length: int) -> None:
    host.body, host.length = body, length
    assert fetch_time_machine(tmp_path, seconds=2.0 if length else 0.3) is None
    host.silent.set()
    assert not (tmp_path / "timemachine.txt").exists()


def test_no_host_and_no_folder(host: type[Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host.body, host.length = BOOK_BYTES, len(BOOK_BYTES)
    (tmp_path / "file").write_text("in the way")
    assert fetch_time_machine(tmp_path / "file") is None
    monkeypatch.setattr(corpus, "TIME_MACHINE_URL", "http://127.0.0.1:1/timemachine.txt")
    assert fetch_time_machine(tmp_path) is None


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Path]:
    """An empty $GRU_SCRATCH_DATA and an empty download folder; the book is BOOK_BYTES."""
    named, data = tmp_path / "named", tmp_path / "data"
    named.mkdir()
    data.mkdir()
    monkeypatch.setenv("GRU_SCRATCH_DATA", str(named))
    monkeypatch.setattr(corpus, "download_folder", lambda: data)
    monkeypatch.setattr(corpus, "TIME_MACHINE_SHA1", sha1(BOOK_BYTES).hexdigest())
    return named / "timemachine.txt", data / "timemachine.txt"


def test_look_up_goes_from_the_variable_to_data_to_download(
    places: tuple[Path, Path], host: type[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "fetch_time_machine", fetch_time_machine)
    named, data = places
    host.body, host.length = BOOK_BYTES, len(BOOK_BYTES)
    assert find_time_machine(download=False) is None
    assert find_time_machine() == data
    named.write_bytes(BOOK_BYTES)
    assert find_time_machine() == named
    text = load_text()
    assert (text.name, text.path, text.notice) == ("The Time Machine", named, None)
    assert text.raw.encode() == BOOK_BYTES
    named.unlink()
    monkeypatch.delenv("GRU_SCRATCH_DATA")
    assert find_time_machine(download=False) == data


def test_an_altered_file_is_passed_over_and_replaced_by_a_download(
    places: tuple[Path, Path], host: type[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "fetch_time_machine", fetch_time_machine)
    named, data = places
    for place in places:
        place.write_bytes(BOOK_BYTES[:-1])
    host.body, host.length = BOOK_BYTES, len(BOOK_BYTES)
    text = load_text()
    assert text.path == data
    assert data.read_bytes() == BOOK_BYTES
    assert text.notice == f"passed over {named}: it is not the book's file (its SHA-1 sum differs)"
    assert named.read_bytes() == BOOK_BYTES[:-1]


def test_without_the_book_the_story_is_read_and_one_line_says_so(places: tuple[Path, Path]) -> None:
    text = load_text()
    assert (text.name, text.path) == ("the shipped story", story_path())
    assert text.notice is not None
    assert "could not be downloaded: reading the shipped story instead" in text.notice
    places[0].write_bytes(b"The Time Machine, abridged")
    notice = load_text().notice
    assert notice is not None
    assert str(places[0]) in notice
    assert "\n" not in notice


def test_the_story_is_a_text_to_learn_from() -> None:
    tokens = load_text(story_path()).tokens()
    assert len(tokens) >= 40_000
    assert "".join(tokens).count("time traveller") >= 10
    assert "".join(tokens).count("traveller") >= 20


# ------------------------------------------------------------------------------------------------ installed


def test_the_story_travels_with_the_wheel(tmp_path: Path) -> None:
    """A wheel built from the files of the repository is a package that finds its story, and only tunes beside it."""
    source, target = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        copy(ROOT / name, source)
    for name in ("gru_scratch", "data"):
        copytree(ROOT / name, source / name)
    (source / "data" / "timemachine.txt").write_text("downloaded")
    build = "import setuptools.build_meta as b; b.build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = source.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(target)
    data = target / "gru_scratch" / "data"
    assert {path.name for path in data.iterdir()} == {"README.md", "story.txt", "tunes"}
    assert sorted(path.name for path in (data / "tunes").iterdir()) == sorted(os.listdir(ROOT / "data" / "tunes"))
    modules = {path.relative_to(ROOT) for path in (ROOT / "gru_scratch").rglob("*.py")}
    packed = {path.relative_to(target) for path in (target / "gru_scratch").rglob("*.py")}
    assert packed == modules, "a new folder of the package has to be listed under packages in pyproject.toml"
    template = Path("gru_scratch", "studies", "gates", "template")
    assert {path.name for path in (target / template).iterdir()} == {path.name for path in (ROOT / template).iterdir()}

    find = "from gru_scratch.text import corpus; print(corpus.story_path()); print(corpus.download_folder())"
    environment = {**os.environ, "PYTHONPATH": str(target)}
    result = subprocess.run(
        [sys.executable, "-c", find], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    story, folder = map(Path, result.stdout.splitlines())
    assert story == target.resolve() / "gru_scratch" / "data" / "story.txt"
    assert story.read_bytes() == story_path().read_bytes()
    assert tmp_path not in folder.parents


def test_json_of_a_vocabulary_has_two_plain_fields() -> None:
    assert json.loads(Vocab("aab").to_json()) == {
        "idx_to_token": ["<unk>", "a", "b"],
        "token_freqs": [["a", 2], ["b", 1]],
    }
