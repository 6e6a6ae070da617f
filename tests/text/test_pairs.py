"""Pairs of sentences: files, the program's own, how they are divided, numbered and put into batches."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import pytest
import torch

from gru_scratch.text import corpus, pairs
from gru_scratch.text.number_words import LARGEST, chinese_date, chinese_number, english_date, english_number
from gru_scratch.text.pair_batches import (
    BOS,
    EOS,
    PAD,
    Language,
    NumberedPair,
    PairEpoch,
    batch_of,
    number_pairs,
)
from gru_scratch.text.pairs import (
    Pair,
    clean_sentence,
    find_fra_eng,
    kind_of_tokens,
    made_pairs,
    read_pairs,
    split_pairs,
)


def written(folder: Path, content: str) -> Path:
    path = folder / "pairs.tsv"
    path.write_text(content, encoding="utf-8")
    return path


def test_the_exports_of_anki_and_tatoeba_are_read(tmp_path: Path) -> None:
    plain = read_pairs(written(tmp_path, "Go.\tVa !\n\nRun!\tCours !\r\n"))
    assert plain == [Pair("Go.", "Va !"), Pair("Run!", "Cours !")]
    assert read_pairs(written(tmp_path, "\ufeffGo.\tVa !\tCC-BY 2.0 (France)\n")) == plain[:1]
    assert read_pairs(written(tmp_path, "1276\tGo.\t3501\tVa !\n")) == plain[:1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Go.\tVa !\nRun!\n", "line 2 of .* has one column: expected a source and a target, separated by a tab"),
        ("Go.\tVa !\n\nRun!\t \n", "line 3 of .* has an empty target"),
        ("\tVa !\n", "line 1 of .* has an empty source"),
        ("\t\n", "line 1 of .* has an empty source"),
        ("\n\n", "has no pair"),
        ("", "is empty"),
    ],
)
def test_what_is_no_pair_is_named_by_its_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_pairs(written(tmp_path, content))


def test_the_pairs_of_the_book_are_found_or_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads, data = tmp_path / "downloads", tmp_path / "data"
    monkeypatch.setattr(corpus, "download_folder", lambda: downloads)
    monkeypatch.setenv(corpus.DATA_VARIABLE, str(data))
    monkeypatch.setattr(corpus, "fetch", lambda *given: None)
    with pytest.raises(FileNotFoundError, match="the book's pairs are not at hand and could not be downloaded"):
        find_fra_eng()
    archive = tmp_path / "fra-eng.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("fra-eng/fra.txt", "Go.\tVa !\n")
    monkeypatch.setattr(corpus, "fetch", lambda *given: archive)
    assert find_fra_eng() == downloads / "fra-eng" / "fra.txt"
    monkeypatch.setattr(corpus, "fetch", lambda *given: None)
    assert read_pairs(find_fra_eng()) == [Pair("Go.", "Va !")]
    (data / "fra-eng").mkdir(parents=True)
    (data / "fra-eng" / "fra.txt").write_text("Run!\tCours !\n")
    assert find_fra_eng() == data / "fra-eng" / "fra.txt"


def test_made_pairs_are_the_grammars_and_never_come_twice() -> None:
    made = made_pairs(3000)
    assert made == made_pairs(3000)
    assert made != made_pairs(3000, seed=1)
    assert len({pair.source for pair in made}) == len({pair.target for pair in made}) == 3000
    numbers = {english_number(number): chinese_number(number) for number in range(1, 100_001)}
    days = {
        english_date(day): chinese_date(day)
        for day in (pairs.FIRST_DAY + pairs.timedelta(days=k) for k in range((pairs.LAST_DAY - pairs.FIRST_DAY).days))
    }
    known = numbers | days
    assert all(pair.target == known[pair.source] for pair in made_pairs(400, largest=100_000))
    assert sum(pair.source.startswith("the ") for pair in made) == 1500


@pytest.mark.parametrize(("count", "largest"), [(1, LARGEST), (300, 100)])
def test_more_pairs_than_there_are_cannot_be_made(count: int, largest: int) -> None:
    with pytest.raises(ValueError, match="expected at"):
        made_pairs(count, largest=largest)


def test_no_source_is_in_two_parts() -> None:
    twice = [Pair(f"s{i % 100}", f"t{i}") for i in range(200)]
    parts = split_pairs(twice, validation=0.2, test=0.1)
    assert [len(part) for part in parts] == [140, 40, 20]
    sources = [{pair.source for pair in part} for part in parts]
    assert sum(map(len, sources)) == len(set.union(*sources)) == 100
    again = split_pairs(twice[::-1], validation=0.2, test=0.1)
    assert set(again.test) == set(parts.test)
    with pytest.raises(ValueError, match="no pair is left to train on"):
        split_pairs(twice, validation=0.5, test=0.5)


def test_cleaning_and_tokens() -> None:
    assert clean_sentence("Go.\u202fNow,  please !") == "go . now , please !"
    assert kind_of_tokens(["twenty-one", "one hundred", "a b"]) == "word"
    assert kind_of_tokens(["二十一", "一百"]) == "char"
    english = Language.of(["Go now.", "go on !"], "word")
    assert english.vocab.idx_to_token[:4] == ["<unk>", "<pad>", "<bos>", "<eos>"]
    assert english.decode(english.encode("Go on!")) == "go on !"
    assert english.decode([*english.encode("now"), PAD]) == "now"
    assert english.unknown("Go there, go there") == ["there", ","]
    chinese = Language.of(["一百零一"], "char")
    assert chinese.encode("百一") == [chinese.vocab["百"], chinese.vocab["一"], EOS]
    assert chinese.decode(chinese.encode("百一")) == "百一"


def test_a_batch_is_for_teacher_forcing() -> None:
    batch = batch_of([NumberedPair([5, EOS], [6, 7, EOS]), NumberedPair([5, 6, EOS], [EOS])])
    assert batch.source.tolist() == [[5, EOS, PAD], [5, 6, EOS]]
    assert batch.source_lengths.tolist() == [2, 3]
    assert batch.target_in.tolist() == [[BOS, 6, 7], [BOS, EOS, PAD]]
    assert batch.target_out.tolist() == [[6, 7, EOS], [EOS, PAD, PAD]]


def test_an_epoch_has_every_pair_once_beside_pairs_of_similar_length() -> None:
    numbered = [NumberedPair([4 + i % 3] * (1 + i % 17), [i, EOS]) for i in range(503)]
    epoch = PairEpoch(numbered, 8, random.Random(0))
    batches = list(epoch)
    assert len(batches) == len(epoch) == 63
    assert sorted(int(row[0]) for batch in batches for row in batch.target_out) == list(range(503))
    padding = sum(int((batch.source == PAD).sum()) for batch in batches)
    assert padding < 0.1 * sum(len(pair.source) for pair in numbered)
    lengths = [batch.source.shape[1] for batch in batches]
    assert lengths != sorted(lengths)
    again = PairEpoch(numbered, 8, random.Random(0))
    assert all(torch.equal(a, b) for a, b in zip(again[7], batches[7], strict=True))


def test_pairs_that_are_too_long_are_left_out() -> None:
    language = Language.of(["a b c d"], "word")
    numbered = number_pairs([Pair("a b", "a"), Pair("a b c", "a"), Pair("a", "a b c d")], language, language, 2)
    assert numbered == [NumberedPair(language.encode("a b"), language.encode("a"))]
