"""The grammar of numbers and dates, held to num2words and cn2an."""

from __future__ import annotations

import random
from datetime import date, timedelta

import cn2an
import pytest
from num2words import num2words

from gru_scratch.text.number_words import (
    LARGEST,
    chinese_date,
    chinese_number,
    english_date,
    english_number,
    english_ordinal,
    english_year,
)

NUMBERS = [*range(1200), *random.Random(0).sample(range(LARGEST), 3000), *range(0, LARGEST, 1001), 100_000, LARGEST]
DAYS = [date(1100, 1, 1) + timedelta(days=97 * k) for k in range(3700)]


def test_english_numbers_are_those_of_num2words() -> None:
    for number in NUMBERS:
        assert english_number(number) == num2words(number).replace(",", "")


def test_chinese_numbers_are_those_of_cn2an() -> None:
    for number in NUMBERS:
        assert chinese_number(number) == cn2an.an2cn(number, "low")


def test_english_dates_are_those_of_num2words() -> None:
    for number in range(1, 32):
        assert english_ordinal(number) == num2words(number, to="ordinal")
    for year in range(1000, 2100):
        assert english_year(year) == num2words(year, to="year").replace(",", "")
    assert english_date(date(1999, 5, 3)) == "the third of may nineteen ninety-nine"


def test_chinese_dates_are_those_of_cn2an() -> None:
    for day in DAYS:
        assert chinese_date(day) == cn2an.transform(f"{day.year}年{day.month}月{day.day}日", "an2cn")


@pytest.mark.parametrize("number", [-1, LARGEST + 1])
def test_a_number_outside_the_grammar_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"expected a number from 0 to 1,000,000, received {number}"):
        english_number(number)
    with pytest.raises(ValueError, match="expected a number"):
        chinese_number(number)
