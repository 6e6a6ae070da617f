"""Read text files: one, several, or those of a folder; UTF-8, or one line that says why not."""

from __future__ import annotations

import codecs
import io
from pathlib import Path
from typing import TypeAlias

TEXT_ENDINGS = (".txt", ".abc")
"""Of the files that are read where a folder is given as a text."""
BETWEEN_FILES = "\n"
"""What follows each file of a text of several but the last: a blank line, where the file ends its own last line."""
CONVERT = "convert it, or train on its bytes with --tokens byte"

TextPath: TypeAlias = Path | tuple[Path, ...]
"""Where a text is: a file, a folder, or several of these, read in this order."""


def text_files(path: TextPath) -> list[Path]:
    """The files of a text in their order; a folder is its files that end as `TEXT_ENDINGS`, by their names.

    Raises FileNotFoundError, PermissionError or ValueError if there is none, or one cannot be read.
    """
    files: list[Path] = []
    for place in places(path):
        inside = [file for file in place.iterdir() if file.suffix in TEXT_ENDINGS] if place.is_dir() else [place]
        if not inside:
            raise ValueError(f"expected files that end in {' or '.join(TEXT_ENDINGS)}, and the folder {place} has none")
        files += sorted(inside, key=lambda file: file.name)
    for file in files:
        check_file(file)
    return files


def places(path: TextPath) -> tuple[Path, ...]:
    """The files and folders that a text was given as."""
    return path if isinstance(path, tuple) else (path,)


def text_name(path: TextPath) -> str:
    """What a text is called: its file's or folder's name, and how many more there are."""
    first, *others = places(path)
    return first.absolute().name + (f" and {len(others)} more" if others else "")


def absolute(path: TextPath) -> TextPath:
    """The same place, whatever the working directory."""
    return tuple(place.absolute() for place in path) if isinstance(path, tuple) else path.absolute()


def shown(path: TextPath) -> str:
    """The places of a text as a message has them."""
    return ", ".join(map(str, places(path)))


def read_content(path: Path) -> bytes:
    """The bytes of a text file; raises as `check_file`."""
    check_file(path)
    return path.read_bytes()


def check_file(path: Path) -> None:
    """Raise FileNotFoundError, PermissionError or ValueError unless `path` is a readable file that is not empty."""
    if path.is_dir():
        raise ValueError(f"expected a text file, received the folder {path}")
    if not path.exists():
        raise FileNotFoundError(f"there is no text file {path}")
    if not path.is_file():
        raise ValueError(f"expected a text file, and {path} is not a regular file")
    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise ValueError(f"the text file {path} is empty")
    except PermissionError:
        raise PermissionError(f"no permission to read the text file {path}") from None


def read_text(path: Path) -> str:
    """The characters of a UTF-8 text file, with its line ends; ValueError for other bytes, or as `check_file`."""
    content = read_content(path)
    check_encoding(path, content)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark = len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0
        raise not_utf8(path, mark, error) from None


def check_encoding(path: Path, content: bytes, start: int = 0) -> None:
    """Raise ValueError for a UTF-16 or UTF-32 byte order mark or a zero byte; `content` begins at byte `start`."""
    if start == 0 and content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise ValueError(f"{path} is in UTF-16 or UTF-32: expected UTF-8; {CONVERT}")
    zero = content.find(0)
    if zero >= 0:
        raise ValueError(f"{path} is not UTF-8 text: byte {start + zero} is 0x00 (counted from 0); {CONVERT}")


def not_utf8(path: Path, start: int, error: UnicodeDecodeError) -> ValueError:
    """The error for bytes that are not UTF-8, decoded from byte `start` of the file on."""
    place, bad = start + error.start, error.object[error.start]
    return ValueError(
        f"{path} is not UTF-8 text: byte {place} is 0x{bad:02x} (counted from 0), {error.reason}; {CONVERT}"
    )


def split_lines(text: str) -> list[str]:
    """The lines as Python reads them from a file: \\r and \\r\\n end a line like \\n."""
    return list(io.StringIO(text, newline=None))
