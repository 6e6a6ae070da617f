"""The package of the book, d2l 0.17.0: the reference of many tests."""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType


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
