"""The pages: programs run and print what the page says, C is what the engine compiles, files and commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT

from gru_scratch.cli.commands import COMMANDS
from gru_scratch.engines.native.source import native_source

PAGES = [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / f"{name}.md" for name in ("CONTRIBUTING", "CHANGELOG"))]
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


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


@EACH_PAGE
def test_what_a_page_links_to_is_there(page):
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@EACH_PAGE
def test_the_files_that_a_page_names_are_there(page):
    names = re.findall(
        r"`((?:gru_scratch|scripts|tests|docs|data|cells|engines|cli|fused)/[\w/.-]+)`", page.read_text()
    )
    places = (ROOT, ROOT / "gru_scratch", ROOT / "gru_scratch" / "engines")
    wrong = [name for name in names if "NAME" not in name and not any((place / name).exists() for place in places)]
    assert wrong == []


@EACH_PAGE
def test_the_commands_of_a_page_have_the_options_that_it_gives_them(page):
    text = page.read_text().replace("\\\n", " ")
    for line in re.findall(r"^(?:\.venv/bin/(?:python )?)?((?:gru-scratch|scripts/).*)$", text, re.MULTILINE):
        program, *words = shlex.split(re.split(r" [>|] ", line)[0], comments=True)
        name, *options = words if program == "gru-scratch" else [Path(program).stem, *words]
        if "--resume" not in options:
            COMMANDS[name].read(options, None)


def test_the_options_that_the_pages_name_are_those_of_a_command(capsys):
    known = {"--resume", "--help", "--strict"}
    for command in COMMANDS.values():
        with pytest.raises(SystemExit):
            command.read(["--help"], None)
        text = capsys.readouterr().out
        assert "default: None" not in text
        known |= set(re.findall(r"--[\w-]+", text))
    named = {(page.name, option) for page in PAGES for option in re.findall(r"`(--[a-z][\w-]*)", page.read_text())}
    assert sorted(each for each in named if each[1] not in known) == []
