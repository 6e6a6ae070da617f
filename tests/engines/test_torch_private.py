"""The engines and layers where PyTorch has none of the private names that they use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.paths import ROOT

from gru_scratch.engines import torch_private

LOST = [
    "transforms",  # under torch.func the operator refuses, and says so
    "vmap",
    "by_sample",
    "many_gradients_at_once",
    "are_together",  # input and product are differentiated apart
    "what_its_equation_does",
    "twice_over",
    "meta_device",
]
"""Parts of the names of tests of what is lost without them."""


def test_a_compiler_without_our_names_is_left_alone(monkeypatch):
    monkeypatch.setattr(torch_private, "_look_up", lambda path: None)
    assert torch_private.compiled_graphs() is None
    with torch_private.unrolling():
        pass
    assert not torch_private.has_forward_hooks(object())


@pytest.mark.exhaustive
def test_engines_and_layers_work_without_private_names():
    tests = [f"tests/engines/test_{name}.py" for name in ("engine", "trace", "second_derivatives", "products")]
    tests += [f"tests/layers/test_{name}.py" for name in ("layers", "resets", "layer_modules", "layer_errors")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "support.without_private_names", *tests]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    kept = " and ".join(f"not {part}" for part in LOST)
    result = subprocess.run([*command, "-k", kept], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:]
