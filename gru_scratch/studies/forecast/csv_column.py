"""One column of numbers from a CSV file."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import torch
from torch import Tensor


def read_column(path: Path, column: str, delimiter: str = ",") -> Tensor:
    """The numbers of a column, (N,) in float64, from the top down.

    The first row names the columns; blank lines at the end are no rows.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no UTF-8 text, has no such column or two of that name; a cell of the column is empty, or holds
            what is no finite number: the sentence names the line of the file.
    """
    if len(delimiter) != 1:
        raise ValueError(f"the delimiter must be one character, received {delimiter!r}")
    rows = _rows(path, delimiter)
    if not rows:
        raise ValueError(f"{path} is empty: expected a row that names the columns, then a row of values for each step")
    (_, header), *body = rows
    names = [name.strip() for name in header]
    if names.count(column) != 1:
        has = "no column" if column not in names else f"{names.count(column)} columns"
        raise ValueError(f"{path} has {has} {column!r}: its first row names {', '.join(map(repr, names))}")
    if not body:
        raise ValueError(f"{path} has no row below the one that names the columns")
    index = names.index(column)
    values = [_number(row, index, f"line {line} of {path}, column {column!r},") for line, row in body]
    return torch.tensor(values, dtype=torch.float64)


def _rows(path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    """The rows with the number of the line on which each ends; without blank ones at the end."""
    if path.is_dir():
        raise ValueError(f"expected a CSV file, received the folder {path}")
    if not path.exists():
        raise FileNotFoundError(f"there is no CSV file {path}")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            rows = [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text: byte {error.object[error.start]:#04x} at {error.start}") from None
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV file, at line {reader.line_num}: {error}") from None
    while rows and not any(cell.strip() for cell in rows[-1][1]):
        rows.pop()
    return rows


def _number(row: list[str], index: int, where: str) -> float:
    cell = row[index].strip() if index < len(row) else ""
    if not cell:
        raise ValueError(f"{where} is empty: expected a number for every step; fill the gap or cut the series there")
    try:
        value = float(cell) if "_" not in cell else math.nan  # Python alone reads 1_000 as a number
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where} holds {cell!r}: expected a finite number, with a point for decimals")
    return value
