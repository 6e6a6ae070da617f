"""The pages that show programs: each runs and prints what the page says; its C is what the engine compiles."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT

from gru_scratch.engines.native.source import native_source


def fenced(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and content."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", ["cells.md", "engine.md"])
def test_programs_print_what_the_page_says(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    printed = ""
    for language, block in fenced(ROOT / "docs" / name):
        if "class MGUCell" in block:
            Path("mgu.py").write_text(block)
        elif language == "python":
            exec(compile(block, name, "exec"), names)
            printed = capsys.readouterr().out
        elif language == "text" and printed:
            assert printed == block
        elif language == "c":
            source = native_source(names["cell"])
            for function in block.rstrip().split("\n\n"):
                assert function in source


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page):
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
