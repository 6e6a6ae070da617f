"""Let ``torch.compile`` into our layers.

Its tracer refuses every instance of ``nn.RNN``, ``nn.GRU`` and ``nn.LSTM``, because it cannot see into their kernels.
Ours are instances too, and their kernel is a registered operator. PyTorch's switch for it, ``allow_rnn``, is for the
whole process and would unroll the layers of ``torch.nn`` as well: so it is put on only while one of ours is looked at.
"""

from __future__ import annotations

from typing import Any

from gru_scratch.layers.layer import RecurrentLayer


def let_the_compiler_in() -> None:
    """Teach the tracer, once; PyTorch imports it late, as it takes its time, and so do we."""
    from torch._dynamo import config
    from torch._dynamo.variables.builder import VariableBuilder

    refuses: Any = VariableBuilder.wrap_module
    if hasattr(refuses, "allows_recurrent_layers"):
        return

    def wrap_module(builder: Any, module: Any) -> Any:
        if not isinstance(module, RecurrentLayer):
            return refuses(builder, module)
        with config.patch(allow_rnn=True):
            return refuses(builder, module)

    wrap_module.allows_recurrent_layers = True  # type: ignore[attr-defined]
    VariableBuilder.wrap_module = wrap_module  # type: ignore[assignment]
