"""A hook of mkdocs: the files of the checkout's root become pages, README.md the first, with links made to fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]

PAGES = {"README.md": "index.md", **{name: name for name in ("README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md")}}
"""Files of the root, and the pages that they become."""
NOTEBOOKS = tuple(f"notebooks/gated-recurrent-units{language}.ipynb" for language in ("", ".zh-CN"))
FILES = ("LICENSE", "CITATION.cff", *NOTEBOOKS)
"""Files that lie beside the pages as they are."""


def on_files(files: Files, *, config: Any) -> Files:
    """Add what lies outside ``docs/``."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=_seen_from_docs((ROOT / name).read_text(encoding="utf-8"))))
    for name in FILES:
        files.append(File.generated(config, name, content=(ROOT / name).read_bytes()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links from a page of ``docs/`` up to the root."""
    return markdown.replace("](../README.md", "](index.md").replace("](../notebooks/", "](notebooks/")


def on_page_content(html: str, **_: Any) -> str:
    """Marks of docstrings that are for other tools go: the role of ``:class:`Cell```, and one colon of ``::``."""
    return re.sub(r":(?:class|func|meth|attr|mod):(?=<code>)", "", html).replace("::</p>", ":</p>")


def _seen_from_docs(text: str) -> str:
    text = text.replace("](docs/", "](").replace('src="docs/', 'src="')
    return text.replace("](README.md)", "](index.md)")
