"""The options of the gate page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gru_scratch.training.options import Otherwise


@dataclass(frozen=True)
class ExploreArguments:
    """Write an HTML page that shows every gate and state of a model on a text."""

    run: tyro.conf.Positional[Path]
    """Run folder that gru-scratch train wrote."""
    text: Annotated[str | None, Otherwise("the text that the run was trained on")] = None
    """Text to read, cleaned as the text of the run was."""
    file: Annotated[Path | tuple[Path, ...] | None, tyro.conf.arg(metavar="PATH [PATH ...]"), Otherwise("--text")] = (
        None
    )
    """File to read instead, in UTF-8, or several; a folder is its .txt and .abc files."""
    characters: Annotated[int | None, Otherwise("all; 1,000 of the run's own text")] = None
    """Read only so many characters (words, bytes) from the start."""
    out: Annotated[Path | None, Otherwise("gates.html in the run folder")] = None
    """Page to write. An older page there is replaced."""
    cell: Annotated[str | None, Otherwise("the file of the training run")] = None
    """File of your own cell, if it has moved, as path/to/file.py:ClassName."""
    device: str = "auto"
    """One of cpu, cuda, cuda:N and mps; auto takes a GPU where there is one."""

    def validate(self) -> None:
        """Raise ValueError for the first invalid option."""
        if self.text is not None and self.file is not None:
            raise ValueError("give the text to read with either --text or --file, not both")
        if self.file == ():
            raise ValueError("file must name at least one file or folder, received none")
        if self.characters is not None and self.characters < 1:
            raise ValueError(f"characters must be at least 1, received {self.characters}")
