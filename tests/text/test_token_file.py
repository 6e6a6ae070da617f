"""Texts of any size as numbers in a file: the same numbers as in memory, whatever the chunks, and never a wrong one."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gru_scratch.text import stream
from gru_scratch.text.batches import Permutation, SequenceLoader
from gru_scratch.text.corpus import clean_lines
from gru_scratch.text.stream import CodeCounter, encoder, read_pieces, token_dtype
from gru_scratch.text.token_file import MappedTokens, open_token_file
from gru_scratch.text.vocab import KINDS, Vocab, join_tokens, split_tokens

CONTENT = "Zeit — “Äpfel”\r\nund 日本語 🙂\rend\n\n" * 7


def in_memory(content: bytes, kind: str, cleaning: str = "raw") -> list[str]:
    """The tokens by the shortest way there is."""
    if kind == "byte" and cleaning == "raw":
        return list(content.decode("latin-1"))
    text = content.decode().replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(clean_lines(text)) if cleaning == "book" else text
    return list(split_tokens(text, kind))


def numbers(tokens: MappedTokens) -> list[int]:
    return tokens.windows(np.array([0]), len(tokens))[0].tolist()


@pytest.mark.parametrize("cleaning", ["raw", "book"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1 << 18])
def test_numbers_and_vocabulary_are_those_of_the_text_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, cleaning: str, chunk: int
) -> None:
    monkeypatch.setattr(stream, "CHUNK_BYTES", chunk)
    path = tmp_path / "t.txt"
    path.write_bytes(CONTENT.encode())
    made = open_token_file(path, kind, cleaning=cleaning)
    tokens = in_memory(CONTENT.encode(), kind, cleaning)
    vocab = Vocab(tokens)
    assert made.vocab.idx_to_token == vocab.idx_to_token
    assert made.vocab.token_freqs == vocab.token_freqs
    assert numbers(made.tokens) == vocab.encode(tokens).tolist()
    assert made.tokens.counts(len(vocab)).tolist() == np.bincount(vocab.encode(tokens), minlength=len(vocab)).tolist()
    assert made.sha256 == hashlib.sha256(CONTENT.encode()).hexdigest()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), st.integers(1, 9))
def test_every_text_is_read_as_python_reads_it(tmp_path_factory: pytest.TempPathFactory, text: str, chunk: int) -> None:
    path = tmp_path_factory.mktemp("any") / "t.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "CHUNK_BYTES", chunk)
        for kind in ("char", "word"):
            pieces = list(read_pieces(path, kind, "raw", hashlib.sha256()))
            tokens = [token for piece in pieces for token in piece]
            assert tokens == in_memory(text.encode(), kind)


def test_any_bytes_are_byte_tokens(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    content = bytes(range(256)) * 2 + b"\xff\r\n\0"
    path.write_bytes(content)
    made = open_token_file(path, "byte")
    assert "".join(made.vocab.to_tokens(numbers(made.tokens))).encode("latin-1") == content
    assert path.with_name("data.bin.byte.tokens").stat().st_size == 2 * len(content)  # 257 numbers, with <unk>


@pytest.mark.parametrize(("size", "width"), [(2, 1), (256, 1), (257, 2), (65536, 2), (65537, 4), (100_000, 4)])
def test_numbers_are_as_wide_as_the_vocabulary_needs(size: int, width: int) -> None:
    assert token_dtype(size).itemsize == width


def test_a_vocabulary_of_100_000_symbols(tmp_path: Path) -> None:
    symbols = [chr(code) for code in range(0x100, 0x1A000) if not 0xD800 <= code < 0xE000][:100_000]
    path = tmp_path / "t.txt"
    path.write_text("".join(symbols))
    made = open_token_file(path)
    assert len(made.vocab) == len(symbols) + 1 > 100_000
    assert made.vocab.to_tokens(numbers(made.tokens)) == symbols


def test_rare_tokens_are_unknown(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("a b a c a b")
    made = open_token_file(path, "word", min_freq=2)
    assert made.vocab.idx_to_token == ["<unk>", "a", "b"]
    assert numbers(made.tokens) == [1, 2, 1, 0, 1, 2]


@pytest.mark.parametrize("chunk", [1, 4, 1 << 18])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"caf\xe9 au lait", "byte 3 is 0xe9"),
        ("日本".encode()[:-1], "byte 3 is 0xe6"),
        (b"abcdef\0", "byte 6 is 0x00"),
        (b"", "is empty"),
    ],
)
def test_what_is_no_text_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, content: bytes, said: str
) -> None:
    monkeypatch.setattr(stream, "CHUNK_BYTES", chunk)
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        open_token_file(path)
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_kept_and_made_anew_when_the_text_changes_or_it_is_damaged(tmp_path: Path) -> None:
    text, folder = tmp_path / "t.txt", tmp_path / "tokens"
    text.write_text("abcabc")
    assert open_token_file(text, folder=folder).notice is None
    path = folder / "t.txt.char.tokens"
    made_at = path.stat().st_ino
    assert open_token_file(text, folder=folder).notice is None
    assert path.stat().st_ino == made_at

    text.write_text("abcabd")
    changed = open_token_file(text, folder=folder)
    assert "made anew: the text has changed" in str(changed.notice)
    assert "".join(changed.vocab.to_tokens(numbers(changed.tokens))) == "abcabd"

    for file in (path, path.with_name(path.name + ".json")):
        content = file.read_bytes()
        for i in range(len(content)):
            file.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
            mended = open_token_file(text, folder=folder)
            assert "".join(mended.vocab.to_tokens(numbers(mended.tokens))) == "abcabd"
        file.unlink()
        assert "missing or damaged" in str(open_token_file(text, folder=folder).notice)


def test_a_text_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("abcabc")

    def meddle(task: str, done: int, total: int) -> None:
        if task == "counting":
            path.write_text("abcabd")

    with pytest.raises(ValueError, match="was changed while it was being read"):
        open_token_file(path, progress=meddle)
    assert list(tmp_path.iterdir()) == [path]


def test_a_description_of_another_format_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("abcabc")
    open_token_file(path)
    description = tmp_path / "t.txt.char.tokens.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), "format": 99}))
    assert "made anew" in str(open_token_file(path).notice)


@pytest.mark.parametrize("use_random_iter", [False, True])
def test_batches_of_a_file_are_windows_of_its_row(tmp_path: Path, use_random_iter: bool) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(random.Random(0).randbytes(400))
    tokens = open_token_file(path, "byte").tokens
    row = torch.tensor(numbers(tokens))

    def epoch(corpus: object) -> list[tuple[torch.Tensor, torch.Tensor]]:
        options = {"use_random_iter": use_random_iter, "generator": random.Random(3)}
        return list(SequenceLoader(corpus, 4, 7, **options))  # type: ignore[arg-type]

    mapped, plain = epoch(tokens), epoch(row)
    if not use_random_iter:
        assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(mapped, plain, strict=True))
    pieces = {tuple(x.tolist()): tuple(y.tolist()) for X, Y in mapped for x, y in zip(X, Y, strict=True)}
    assert len(pieces) == 4 * len(mapped) == 4 * len(plain)
    where = {tuple(row[i : i + 7].tolist()): i for i in range(len(row) - 8)}
    assert all(row[where[x] + 1 : where[x] + 8].tolist() == list(y) for x, y in pieces.items())
    assert all(a.dtype == torch.int64 for batch in mapped for a in batch)


def test_a_slice_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("abcdefgh")
    tokens = open_token_file(path).tokens[2:6]
    assert len(tokens) == 4
    assert numbers(tokens) == [3, 4, 5, 6]
    assert numbers(tokens[1:]) == [4, 5, 6]


@given(st.integers(1, 3000), st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4))
def test_a_permutation_has_each_number_once_and_any_part_of_it_alone(size: int, keys: list[int]) -> None:
    order = Permutation(size, keys)
    whole = order[0:size].tolist()
    assert sorted(whole) == list(range(size))
    assert order[size // 3 : size // 2].tolist() == whole[size // 3 : size // 2]


def test_permutations_are_far_from_order() -> None:
    order = Permutation(10_000, [1, 2, 3, 4])[0:10_000]
    assert abs(np.corrcoef(order, np.arange(10_000))[0, 1]) < 0.05
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 0.05
    assert order.tolist() != Permutation(10_000, [1, 2, 3, 5])[0:10_000].tolist()


def test_codes_are_counted_in_the_order_in_which_they_appear() -> None:
    counter = CodeCounter()
    for piece in ("ba", "cab", "日a"):
        counter.add(piece)
    assert list(counter.result().items()) == [("b", 2), ("a", 3), ("c", 1), ("日", 1)]


def test_tokens_to_text_and_back() -> None:
    for kind in KINDS:
        assert join_tokens(split_tokens("Ünï 🙂 x", kind), kind) == "Ünï 🙂 x"
    assert join_tokens("\xff", "byte") == "\ufffd"
    with pytest.raises(ValueError, match="char, word, byte, received 'line'"):
        split_tokens("a", "line")


def test_characters_that_the_vocabulary_lacks_are_unknown() -> None:
    encode = encoder(Vocab("ab"), "char")
    assert encode("abc🙂").tolist() == [1, 2, 0, 0]
