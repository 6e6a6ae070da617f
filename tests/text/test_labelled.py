"""Labelled lines: tables, a file for each class, the story; and how they are divided."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from gru_scratch.text.labelled import (
    SHUFFLED,
    WRITTEN,
    Example,
    balanced,
    check_labels,
    read_classes,
    read_table,
    split_examples,
    story_examples,
)


def example(text: str, label: str) -> Example:
    return Example(text, label, text)


def written(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_tables_with_commas_and_with_tabs(tmp_path: Path) -> None:
    table = written(tmp_path / "a.csv", '\ufeffid,stars,review\n1,good,"fine, really"\n2,bad,"no\nway"\n')
    assert read_table(table, "review", "stars") == [example("fine, really", "good"), example("no\nway", "bad")]
    table = written(tmp_path / "a.TSV", 'text\tlabel\nan "odd" text\tgood\n')
    assert read_table(table) == [example('an "odd" text', "good")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,stars\na,b\n", r"a.csv has no column 'label': its columns are 'text', 'stars'"),
        ("text,label\na,b\n,c\n", r"line 3 of .*a.csv has an empty text"),
        ("text,label\na\n", r"line 2 of .*a.csv has an empty label"),
        ('text,label\na,"b\n', r"a.csv is no table after line 1: unexpected end of data"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_table(written(tmp_path / "a.csv", content))


def test_a_file_for_each_class(tmp_path: Path) -> None:
    one, two = written(tmp_path / "1", "a\n\n b \n"), written(tmp_path / "2", "c")
    assert read_classes({"x": one, "y": two}) == [example("a", "x"), example("b", "x"), example("c", "y")]


def test_the_story_and_its_shuffled_lines() -> None:
    examples = story_examples()
    assert examples == story_examples()
    assert Counter(each.label for each in examples) == {WRITTEN: len(examples) // 2, SHUFFLED: len(examples) // 2}
    for line, shuffled in zip(examples[::2], examples[1::2], strict=True):
        assert line.text == line.origin == shuffled.origin
        assert line.text != shuffled.text
        assert sorted(line.text.split()) == sorted(shuffled.text.split())
    parts = split_examples(examples, validation=0.1, test=0.2)
    assert sum({each.origin for each in part} >= {"the bona fide traveller"} for part in parts) == 1


def test_one_class_or_a_single_example_is_too_few() -> None:
    with pytest.raises(ValueError, match="expected examples of two classes at least, received 'x'"):
        check_labels([example("a", "x"), example("b", "x")])
    with pytest.raises(ValueError, match="expected examples of two classes at least, received none"):
        check_labels([])
    with pytest.raises(ValueError, match="expected two examples of each class at least, received 1 of 'y'"):
        check_labels([example("a", "x"), example("b", "x"), example("c", "y")])


def test_balanced_examples() -> None:
    examples = [example(f"{i}", "x" if i % 3 else "y") for i in range(30)]
    kept = balanced(examples)
    assert Counter(each.label for each in kept) == {"x": 10, "y": 10}
    assert kept == [each for each in examples if each in kept]


def test_no_origin_is_in_two_parts_and_each_class_is_in_all() -> None:
    examples = [example(f"{i % 40}", "xyz"[i % 3]) for i in range(120)] + [example("a", "few"), example("b", "few")]
    parts = split_examples(examples, validation=0.1, test=0.2)
    origins = [{each.origin for each in part} for part in parts]
    assert sum(map(len, origins)) == len(set.union(*origins)) == 42
    assert [len(part) for part in parts] == pytest.approx([86, 12, 24], abs=6)
    assert {each.label for each in parts.train} == {"x", "y", "z", "few"}
    assert split_examples(examples[::-1], validation=0.1, test=0.2).test == parts.test[::-1]
