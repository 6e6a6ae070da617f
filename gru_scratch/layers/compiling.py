"""Let ``torch.compile`` into our layers.

Its tracer refuses every instance of ``nn.RNN``, ``nn.GRU`` and ``nn.LSTM``, because it cannot see into their kernels.
Ours are instances too, and their kernel is a registered operator. PyTorch's switch for it, ``allow_rnn``, is for the
whole process and would unroll the layers of ``torch.nn`` as well: so it is put on only while one of ours is looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from gru_scratch.layers.layer import RecurrentLayer

TRACER = "torch._dynamo.variables.builder"


def let_the_compiler_in() -> None:
    """Teach the tracer; if PyTorch has not imported it yet, which takes it a second or two, then when it does."""
    if TRACER in sys.modules:
        teach(sys.modules[TRACER])
    else:
        sys.meta_path.insert(0, _WhenImported())


class _WhenImported(MetaPathFinder):
    """Finds the tracer where it would be found, and has it taught as soon as it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != TRACER:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_teach(module: ModuleType) -> None:
                load(module)
                teach(module)

            spec.loader.exec_module = load_and_teach  # type: ignore[method-assign]
        return spec


def teach(tracer: Any) -> None:
    """Have the tracer look at our layers with the switch on."""
    look = tracer.VariableBuilder.wrap_module

    def wrap_module(self: Any, module: Any) -> Any:
        if not isinstance(module, RecurrentLayer):
            return look(self, module)
        with tracer.config.patch(allow_rnn=True):
            return look(self, module)

    tracer.VariableBuilder.wrap_module = wrap_module
