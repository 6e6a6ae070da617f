"""Comparisons as text for people, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gru_scratch.benchmark.comparison import Comparison, Row
from gru_scratch.benchmark.timing import LEVEL, Ratio

FORMAT = 1
"""Of the JSON: see docs/compare.schema.json."""

HEADER = (
    "model",
    "engine",
    "ms",
    "tokens/s",
    "times as fast",
    "loss differs",
    "gradients differ",
    "scores differ",
    "peak MiB",
    "note",
)


def table(comparisons: Sequence[Comparison]) -> str:
    """One table, in Markdown that is lined up for a terminal; columns in which nothing stands are left out."""
    lines = [_cells(comparison, row) for comparison in comparisons for row in comparison.rows]
    return markdown(HEADER, lines)


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """The lines under the header, without the columns that are empty in all of them."""
    used = [k for k in range(len(header)) if any(line[k] for line in lines)]
    rows = [[line[k] for k in used] for line in (header, *lines)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(used))]
    drawn = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([drawn[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *drawn[1:]])


def _cells(comparison: Comparison, row: Row) -> tuple[str, ...]:
    if not row.seconds:
        return comparison.title, row.name, *[""] * (len(HEADER) - 3), row.note
    is_base = row.name == comparison.base

    def differs(names: list[str]) -> str:
        return difference_text(max(row.differences[name] for name in names)) if names and not is_base else ""

    return (
        comparison.title,
        row.name,
        f"{1000 * row.median:.3g}",
        f"{comparison.tokens / row.median:,.0f}",
        "1 (base)" if is_base else ratio_text(row.ratio) if row.ratio else "",
        differs([name for name in row.differences if name == "loss"]),
        differs([name for name in row.differences if name not in ("loss", "scores")]),
        differs([name for name in row.differences if name == "scores"]),
        "" if row.peak_memory is None else f"{row.peak_memory / 2**20:.3g}",
        row.note,
    )


def ratio_text(ratio: Ratio) -> str:
    """``1.84 (1.79 to 1.90)``; one that does not tell the two apart says so."""
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})" + (" covers 1" if ratio.covers_one else "")


def difference_text(value: float) -> str:
    """``2e-07``, or 0."""
    return f"{value:.0e}" if value else "0"


def explanation(comparisons: Sequence[Comparison]) -> str:
    """How to read the table."""
    rows = [row for comparison in comparisons for row in comparison.rows if row.seconds]
    counts = sorted({len(row.seconds) for row in rows})
    rounds = "no" if not counts else f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    lines = [
        f"Medians of {rounds} rounds; in each round every engine ran once, in random order.",
        "times as fast: the base's time over the engine's, the median of the rounds' ratios; in brackets an interval",
        f"  that holds the true median with a probability of {LEVEL:.0%} (order statistics, rounds as independent).",
        "differs: by the largest number, over the largest in the base's tensor; beyond rounding no ratio is given.",
    ]
    if any(row.peak_memory is not None for row in rows):
        lines.append("peak MiB: PyTorch's allocations during a step, in a pass of its own; parameters are not counted.")
    if any("reset before" in comparison.title for comparison in comparisons):
        lines.append(
            "The GRU of torch.nn resets after the product, the book's before: two models, each with its own base."
        )
    return "\n".join(lines)


def where(machine: Mapping[str, Any]) -> str:
    """The machine in a line, for the head of a picture."""
    device = machine.get("gpu") or f"{machine['processor']}, {machine['threads']} threads"
    return f"{device}; torch {machine['versions']['torch']}; {machine['date']}"


def machine_lines(machine: Mapping[str, Any]) -> str:
    """The machine, for the head of a report."""
    versions = machine["versions"]
    where = machine.get("gpu") or machine["processor"]
    load = machine["load_before"]
    lines = [
        f"machine     {where}, {machine['cores']} cores; {machine['threads']} threads",
        f"versions    torch {versions['torch']}, Python {versions['python']}",
        f"date        {machine['date']}" + (f"; load before {load}" if load is not None else ""),
    ]
    return "\n".join(lines)


def to_json(
    machine: Mapping[str, Any], options: Mapping[str, Any], comparisons: Iterable[Comparison]
) -> dict[str, Any]:
    """Everything, every sample included."""
    return {
        "format": FORMAT,
        "machine": dict(machine),
        "options": dict(options),
        "comparisons": [_comparison(comparison) for comparison in comparisons],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "title": comparison.title,
        "details": dict(comparison.details),
        "tokens": comparison.tokens,
        "base": comparison.base,
        "rows": [_row(comparison, row) for row in comparison.rows],
    }


def _row(comparison: Comparison, row: Row) -> dict[str, Any]:
    median = dict(zip(("median", "low", "high"), (row.median, *row.interval), strict=True)) if row.seconds else None
    return {
        "engine": row.name,
        "seconds": list(row.seconds),
        "median_seconds": median,
        "tokens_per_second": comparison.tokens / row.median if row.seconds else None,
        "ratio": {**asdict(row.ratio), "covers_one": row.ratio.covers_one} if row.ratio else None,
        # JSON has no infinity: what cannot be compared is null
        "differences": {name: value if value < float("inf") else None for name, value in row.differences.items()},
        "peak_memory_bytes": row.peak_memory,
        "note": row.note,
    }
