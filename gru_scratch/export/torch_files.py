"""A language model for PyTorch without this package, as a file of parameters, or for ONNX, as a graph."""

from __future__ import annotations

import copy
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import safetensors.torch
import torch
from torch import nn

from gru_scratch.convert import to_torch_model
from gru_scratch.models.language import RNNModel
from gru_scratch.text.vocab import Vocab


def torch_file(model: RNNModel) -> bytes:
    """The parameters of ``model`` under the names of `torch.nn`, as safetensors; :func:`loading_lines` loads them.

    They are those between two resets: who runs them clears the state before each token ``model.reset_at``.

    Raises:
        ValueError: its layer has no namesake in `torch.nn`.
    """
    weights = to_torch_model(model).state_dict()
    return safetensors.torch.save({name: value.detach().cpu().clone() for name, value in weights.items()})


def loading_lines(model: RNNModel, path: str) -> str:
    """Four lines of Python that load what :func:`torch_file` wrote, without this package."""
    made: Any = to_torch_model(model)
    parts = {name: repr(part) for name, part in made.named_children() if isinstance(part, nn.Module)}
    modules = ", ".join(f'"{name}": nn.{call}' for name, call in parts.items())
    return "\n".join(
        [
            "from safetensors.torch import load_file",
            "from torch import nn",
            f"model = nn.ModuleDict({{{modules}}})",
            f"model.load_state_dict(load_file({path!r}))",
        ]
    )


def onnx_file(model: RNNModel, vocab: Vocab) -> bytes:
    """The model as ONNX: from tokens (B, T) and states to scores (T * B, V) and states, for any batch and length.

    The vocabulary is a JSON list in the metadata entry ``vocabulary``. Where the model has a token before which the
    state is cleared, the entry ``reset_at`` has its index: no operator of ONNX clears a state, so the caller does, and
    gives the graph what comes between two resets.

    Raises:
        ValueError: ONNX has no operator for the layer; or the packages that write ONNX are not installed.
    """
    if find_spec("onnxscript") is None:
        raise ValueError("ONNX files need two more packages: pip install 'gru_scratch[onnx]'")
    state = model.begin_state(batch_size=2)
    states = model.rnn.cell.states._fields
    rows, columns = torch.export.Dim("batch", min=1), torch.export.Dim("steps", min=1)
    of_state: Any = {1: rows} if len(states) == 1 else tuple({1: rows} for _ in states)
    with _quiet():
        program: Any = torch.onnx.export(
            _between_resets(model),
            (torch.zeros(2, 3, dtype=torch.long), state),
            dynamo=True,
            dynamic_shapes=({0: rows, 1: columns}, of_state),
            input_names=["tokens", *states],
            output_names=["scores", *(f"new_{name}" for name in states)],
            verbose=False,
        )
    program.model.metadata_props["vocabulary"] = json.dumps(vocab.idx_to_token)
    if model.reset_at is not None:
        program.model.metadata_props["reset_at"] = str(model.reset_at)
    file = io.BytesIO()
    file.write(program.model_proto.SerializeToString())
    return file.getvalue()


def _between_resets(model: RNNModel) -> RNNModel:
    """The same parameters and layers in a model that never clears its state."""
    unbroken = copy.copy(model)
    unbroken.reset_at = None
    return unbroken


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which lists on stderr optional packages that it does not find."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
