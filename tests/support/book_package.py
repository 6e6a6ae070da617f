"""The package of the book, d2l 0.17.0: the reference of many tests."""

from __future__ import annotations

import ast
import importlib
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any


def import_book() -> ModuleType:
    """Import d2l.torch; it imports torchvision, of which these chapters use nothing, so empty stand-ins will do."""
    try:
        importlib.import_module("torchvision.transforms")
    except (ImportError, RuntimeError):
        vision, transforms = ModuleType("torchvision"), ModuleType("torchvision.transforms")
        vision.transforms = transforms  # type: ignore[attr-defined]
        sys.modules.update({"torchvision": vision, "torchvision.transforms": transforms})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("d2l.torch")


class NoAnimator:
    def __init__(self, **options: object) -> None:
        pass

    def add(self, x: object, y: object) -> None:
        pass


def page_source(page: str) -> str:
    """The code of a page of the book, as it stands in tests/pages."""
    return (Path(__file__).parent / "pages" / f"{page}.py").read_text()


def page_functions(page: str, names: tuple[str, ...]) -> list[Any]:
    """Some functions of a page, without running the page."""
    tree = ast.parse(page_source(page))
    imports = "import torch\nfrom torch.nn import functional as F\n"
    definitions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    namespace: dict[str, Any] = {}
    exec(imports + ast.unparse(ast.Module(definitions, [])), namespace)
    return [namespace[name] for name in names]
