"""A plugin of pytest (``-p support.without_private_names``): PyTorch as if it had none of its private names."""

from __future__ import annotations

from gru_scratch.engines import torch_private

torch_private.NAMES.clear()
torch_private._PLAIN_DISPATCH = set()
torch_private.HAS_OLDER_VMAP = False
torch_private.saved_alpha = lambda node: None
torch_private.TRACER = "torch.no_such_module"
