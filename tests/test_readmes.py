"""The two READMEs: short, with the same commands, programs and figures; links lead somewhere, programs run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from support.paths import ROOT

from gru_scratch.cli.commands import COMMANDS

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
BOTH = pytest.mark.parametrize("readme", [ENGLISH, CHINESE], ids=["english", "chinese"])


def blocks(readme: Path, language: str) -> list[str]:
    """The fenced blocks of a language, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", readme.read_text(), re.DOTALL)


@pytest.mark.parametrize("language", ["sh", "python", "text"])
def test_both_have_the_same_blocks(language):
    assert blocks(ENGLISH, language)
    assert blocks(ENGLISH, language) == blocks(CHINESE, language)


def test_the_figures_of_speed_are_the_same_everywhere():
    row = re.compile(r"^\| (\d+, \d+, \d+, \d+).*\| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)
    tables = [row.findall(page.read_text()) for page in (ENGLISH, CHINESE, ROOT / "docs" / "speed.md")]
    assert len(tables[0]) == 6
    assert tables[0] == tables[1] == tables[2]


@BOTH
def test_it_is_short(readme):
    assert len(readme.read_text().splitlines()) <= 160


@BOTH
def test_what_it_links_to_is_there(readme):
    text = readme.read_text()
    links = {*re.findall(r"\]\(([^)#]+)", text), *re.findall(r'src="([^"]+)"', text)}
    links = {link for link in links if not link.startswith("http")}
    assert links
    assert [link for link in sorted(links) if not (ROOT / link).exists()] == []


@BOTH
def test_the_files_that_it_says_to_read_are_there(readme):
    names = re.findall(r"`(gru_scratch/[\w/]+(?:\.py|/))`", readme.read_text())
    assert names
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_its_programs_run(tmp_path, monkeypatch, capsys):
    cell, program = blocks(ENGLISH, "python")
    monkeypatch.chdir(tmp_path)
    Path("mgu.py").write_text(cell)
    exec(compile(program, "README.md", "exec"), {})
    assert "v_sigmoid" in capsys.readouterr().out


def test_its_commands_have_the_options_that_it_gives_them():
    commands = [shlex.split(line, comments=True) for block in blocks(ENGLISH, "sh") for line in block.splitlines()]
    checked = [words[1:] for words in commands if words[:1] == [".venv/bin/gru-scratch"] and "--resume" not in words]
    assert len(checked) >= 6
    for name, *options in checked:
        COMMANDS[name].read(options, None)
