"""Numbers and calendar dates in words, English and Chinese: a small grammar with exactly one right translation.

English is written without commas and in lower case, Chinese in characters, its years digit by digit:

    >>> english_number(12_345), chinese_number(12_345)
    ('twelve thousand three hundred and forty-five', '一万二千三百四十五')
    >>> english_date(date(1999, 5, 3)), chinese_date(date(1999, 5, 3))
    ('the third of may nineteen ninety-nine', '一九九九年五月三日')
"""

from __future__ import annotations

from datetime import date

LARGEST = 1_000_000
"""The largest number that the grammar has."""

ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"}
ORDINALS |= {"twelve": "twelfth", "twenty": "twentieth", "thirty": "thirtieth"}
DIGITS = "零一二三四五六七八九"
UNITS = ((1000, "千"), (100, "百"), (10, "十"))


def english_number(number: int) -> str:
    """A number from 0 to `LARGEST` in English words; ValueError for another."""
    check_number(number)
    if number == LARGEST:
        return "one million"
    thousands, rest = divmod(number, 1000)
    if not thousands:
        return _below_thousand(rest)
    words = f"{_below_thousand(thousands)} thousand"
    if not rest:
        return words
    return f"{words} {'and ' if rest < 100 else ''}{_below_thousand(rest)}"


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _below_hundred(rest)
    return f"{ONES[hundreds]} hundred" + (f" and {_below_hundred(rest)}" if rest else "")


def _below_hundred(number: int) -> str:
    tens, ones = divmod(number, 10)
    if number < 20:
        return ONES[number]
    return TENS[tens] + (f"-{ONES[ones]}" if ones else "")


def chinese_number(number: int) -> str:
    """A number from 0 to `LARGEST` in Chinese characters; ValueError for another."""
    check_number(number)
    if number == 0:
        return DIGITS[0]
    myriads, rest = divmod(number, 10_000)
    words = f"{_below_myriad(myriads)}万" if myriads else ""
    if rest:
        words += ("零" if myriads and rest < 1000 else "") + _below_myriad(rest)
    return words.removeprefix("一") if words.startswith("一十") else words


def _below_myriad(number: int) -> str:
    """A number below 10,000: the digits with their units, and one 零 for every gap between them."""
    words, gap = "", False
    for unit, name in UNITS:
        digit, number = divmod(number, unit)
        if digit:
            words += ("零" if gap else "") + DIGITS[digit] + name
        gap = bool(words) and not digit
    return words + (("零" if gap else "") + DIGITS[number] if number else "")


def check_number(number: int) -> None:
    """Raise ValueError unless the grammar has the number."""
    if not 0 <= number <= LARGEST:
        raise ValueError(f"expected a number from 0 to {LARGEST:,}, received {number}")


def english_date(day: date) -> str:
    """A day as "the third of may nineteen ninety-nine"."""
    return f"the {english_ordinal(day.day)} of {MONTHS[day.month - 1]} {english_year(day.year)}"


def chinese_date(day: date) -> str:
    """A day as "一九九九年五月三日"."""
    year = "".join(DIGITS[int(digit)] for digit in str(day.year))
    return f"{year}年{chinese_number(day.month)}月{chinese_number(day.day)}日"


def english_ordinal(number: int) -> str:
    """The ordinal of a number below a hundred: first, second, ..."""
    start, hyphen, last = _below_hundred(number).rpartition("-")
    return start + hyphen + ORDINALS.get(last, last + "th")


def english_year(year: int) -> str:
    """A year as it is spoken: nineteen ninety-nine, nineteen oh-five, nineteen hundred, two thousand and nine."""
    century, rest = divmod(year, 100)
    if century % 10 == 0 and rest < 10:
        return english_number(year)
    if not rest:
        return f"{_below_hundred(century)} hundred"
    return f"{_below_hundred(century)} {f'oh-{ONES[rest]}' if rest < 10 else _below_hundred(rest)}"
