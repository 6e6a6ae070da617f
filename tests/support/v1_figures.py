"""What the readers' programs give with d2l 1.0.3, as numbers: recorded, for machines that do not have it.

D2L_V1=FOLDER python tests/support/v1_figures.py        # records them anew
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
RECORD = HERE / "v1_figures.json"


def prepare(package: ModuleType, monkeypatch: Any) -> ModuleType:
    """Let a package read texts that the repository has, and draw nothing."""
    from support.made_pairs import made_text

    story = (HERE.parents[1] / "data" / "story.txt").read_text(encoding="utf-8")
    monkeypatch.setattr(package.TimeMachine, "_download", lambda self: story)
    monkeypatch.setattr(package.MTFraEng, "_download", lambda self: made_text())
    draw = package.ProgressBoard.draw

    def keep_points(self: Any, *args: Any, **options: Any) -> None:
        self.display = False
        draw(self, *args, **options)

    monkeypatch.setattr(package.ProgressBoard, "draw", keep_points)
    return package


def run(program: str, package: ModuleType) -> Any:
    """What a program returns, from one seed."""
    from support.readers_programs_v1 import PROGRAMS
    from support.readers_translators_v1 import TRANSLATORS

    torch.manual_seed(0)
    return {**PROGRAMS, **TRANSLATORS}[program](package)


def figures(result: Any) -> Any:
    """A result as JSON holds it: of a tensor its shape, its sum and its norm."""
    if isinstance(result, Tensor):
        values = result.double()
        return [list(result.shape), round(float(values.sum()), 6), round(float(values.norm()), 6)]
    if isinstance(result, dict):
        return {name: figures(value) for name, value in result.items()}
    if isinstance(result, (list, tuple)):
        return [figures(value) for value in result]
    return round(result, 6) if isinstance(result, float) else result


def recorded() -> dict[str, Any]:
    """The figures of each program, as they were recorded."""
    record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return record


def main() -> None:
    sys.path.insert(0, str(HERE.parent))
    import pytest
    from support.book_package import import_book_v1
    from support.readers_programs_v1 import PROGRAMS
    from support.readers_translators_v1 import TRANSLATORS

    book = import_book_v1()
    assert book is not None, "D2L_V1 names no folder with d2l 1.0.3"
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        prepare(book, monkeypatch)
        record = {name: figures(run(name, book)) for name in (*PROGRAMS, *TRANSLATORS)}
    RECORD.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
