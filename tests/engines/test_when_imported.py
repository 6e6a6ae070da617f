"""Something done with a module once it is imported."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest

from gru_scratch.engines.when_imported import when_imported


@pytest.fixture
def later(tmp_path, monkeypatch):
    """The name of a module that nobody has imported yet."""
    (tmp_path / "module_for_later.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    yield "module_for_later"
    sys.modules.pop("module_for_later", None)


def test_a_module_is_acted_on_once_its_code_has_run(later):
    finders = list(sys.meta_path)
    seen: list[tuple[ModuleType, int]] = []
    when_imported(later, lambda module: seen.append((module, module.value)))
    assert later not in sys.modules
    assert seen == []
    importlib.import_module("colorsys")  # another one passes
    assert seen == []
    module = importlib.import_module(later)
    assert seen == [(module, 1)]
    assert sys.meta_path == finders
    assert importlib.reload(module) is module
    assert len(seen) == 1


def test_a_module_that_is_there_is_acted_on_at_once(later):
    module, finders = importlib.import_module(later), list(sys.meta_path)
    seen: list[ModuleType] = []
    when_imported(later, seen.append)
    assert seen == [module]
    assert sys.meta_path == finders


def test_several_wait_for_one_module(later):
    seen: list[str] = []
    for name in ("first", "second"):
        when_imported(later, lambda module, name=name: seen.append(name))
    importlib.import_module(later)
    assert sorted(seen) == ["first", "second"]


def test_a_module_that_is_nowhere_is_not_found_as_ever(later):
    when_imported("no_such_module", lambda module: pytest.fail("it was found"))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module")
