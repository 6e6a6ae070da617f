"""The notebooks: one program in two languages, kept without what it prints; it runs from start to end."""

from __future__ import annotations

import io
import json
import re
import tokenize
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from support.paths import ROOT

ENGLISH, CHINESE = (ROOT / "notebooks" / f"gated-recurrent-units{language}.ipynb" for language in ("", ".zh-CN"))
BOTH = pytest.mark.parametrize("notebook", [ENGLISH, CHINESE], ids=["english", "chinese"])

CHINESE_CHARACTER = re.compile("[\u4e00-\u9fff]")


def cells(notebook: Path) -> list[dict[str, Any]]:
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def words(cell: dict[str, Any]) -> list[str]:
    """The tokens of a program, without its comments."""
    tokens = tokenize.generate_tokens(io.StringIO("".join(cell["source"])).readline)
    return [token.string for token in tokens if token.type != tokenize.COMMENT]


def test_both_have_the_same_program():
    assert [(c["id"], c["cell_type"]) for c in cells(ENGLISH)] == [(c["id"], c["cell_type"]) for c in cells(CHINESE)]
    for english, chinese in zip(cells(ENGLISH), cells(CHINESE), strict=True):
        if english["cell_type"] == "code":
            for ours, theirs in zip(words(english), words(chinese), strict=True):
                assert ours == theirs or CHINESE_CHARACTER.search(theirs)
        else:
            assert CHINESE_CHARACTER.search("".join(chinese["source"]))


@BOTH
def test_it_is_kept_without_outputs(notebook):
    nbformat.validate(nbformat.read(notebook, as_version=nbformat.NO_CONVERT))
    programs = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    assert programs
    assert [cell["id"] for cell in programs if cell["outputs"] or cell["execution_count"] is not None] == []


@pytest.mark.exhaustive
@BOTH
def test_it_runs(notebook, tmp_path):
    """In a kernel of its own, in an empty folder; two of its cells draw."""
    content = nbformat.read(notebook, as_version=4)
    nbclient.NotebookClient(content, timeout=None, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in content.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert [output for output in outputs if output.get("name") == "stderr"] == []
