"""The packages of the book, d2l 0.17.0 and 1.0.3: the references of many tests.

They import torchvision and more, of which these chapters use nothing: where that is missing, empty stand-ins will do.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType

V1_VARIABLE = "D2L_V1"
"""Names a folder that has d2l 1.0.3: `pip install --no-deps --target FOLDER d2l==1.0.3`."""
STAND_INS = {
    "torchvision": ["transforms"],
    "torchvision.transforms": [],
    "scipy": [],
    "scipy.spatial": ["distance_matrix"],
    "pandas": [],
    "requests": [],
}


def import_book() -> ModuleType:
    """Edition 0.17's `d2l.torch`."""
    _put_stand_ins()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("d2l.torch")


def import_book_v1() -> ModuleType | None:
    """Edition 1.0's, under a name of its own beside 0.17's; None where `$D2L_V1` does not lead to it."""
    place = Path(os.environ.get(V1_VARIABLE, ""), "d2l", "torch.py")
    if not os.environ.get(V1_VARIABLE) or not place.is_file():
        return None
    name = "d2l_v1_torch"
    if name not in sys.modules:
        _put_stand_ins()
        spec = importlib.util.spec_from_file_location(name, place)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def _put_stand_ins() -> None:
    for name, attributes in STAND_INS.items():
        try:
            importlib.import_module(name)
        except (ImportError, RuntimeError):
            module = ModuleType(name)
            for attribute in attributes:
                setattr(module, attribute, ModuleType(attribute))
            sys.modules[name] = module


class NoAnimator:
    def __init__(self, **options: object) -> None:
        pass

    def add(self, x: object, y: object) -> None:
        pass
