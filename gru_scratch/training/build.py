"""From options to a model: the one place that knows which engine needs which model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gru_scratch.cells import CellFile, is_path, make_cell, resolve_cell
from gru_scratch.check import check_cell
from gru_scratch.convert import scratch_to_torch, torch_to_scratch
from gru_scratch.engines.names import Engine
from gru_scratch.layers import GRU, LSTM, RNN, Recurrent
from gru_scratch.layers.dropout import DropoutMasks
from gru_scratch.layers.initial import add_forget_bias, initialise
from gru_scratch.models.language import (
    SCRATCH_FUNCTIONS,
    ForwardFn,
    GetParams,
    InitState,
    RNNModel,
    RNNModelScratch,
)
from gru_scratch.text.vocab import UNKNOWN, Vocab, split_tokens
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.hardware import check_memory
from gru_scratch.training.options import MachineOptions
from gru_scratch.training.sentence_options import LayerOptions

BUILTIN: dict[str, type[nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
LAYERS: dict[str, Any] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}

Model = RNNModelScratch | RNNModel


def build_model(
    config: TrainConfig,
    vocab_size: int,
    device: torch.device,
    cell_file: CellFile | None = None,
    reset_at: int | None = None,
) -> Model:
    """A model with new parameters, drawn from PyTorch's global generator.

    With the engine textbook, the book's own models are the functions of `scratch/`; with builtin, a model has the layer
    of `torch.nn`; otherwise it has a layer of this package with that engine. The book's own models have the parameters
    that `scratch/` draws; all others are drawn from the distributions of `torch.nn`, since weights of N(0, 0.01) let no
    signal through a stack of layers.

    Args:
        config: the options of the run.
        vocab_size: V, the number of tokens.
        device: where the parameters are.
        cell_file: the recorded file of a user's cell (None: the current file that `config.cell` names). Its code is
            executed.
        reset_at: the index of `config.reset_at`, as :func:`reset_token` finds it.

    Raises:
        ValueError: the model does not fit into memory; or as `resolve_cell`, and `check_cell` for a user's cell.
        FileNotFoundError: the file of the cell does not exist.
    """
    assert (reset_at is None) == (config.reset_at is None)
    H, width = config.num_hiddens, 8 if config.precision == "fp64" else 4
    of_parameters = width * (config.num_layers * H * H + (H + config.embedding) * vocab_size)
    check_memory(f"a {config.cell} of {H:,} hidden units", 2 * of_parameters)  # with their gradients
    try:
        if config.is_the_books:
            return _books_model(config, vocab_size, device, reset_at)
        model = RNNModel(
            _layer(config, vocab_size, cell_file),
            vocab_size,
            embedding_size=config.embedding,
            dropout=config.dropout,
            tie_weights=config.tie_weights,
            dropout_masks=_masks(config),
            reset_at=reset_at,
        )
        if config.init in ("book", "orthogonal"):
            initialise(model, config.init)
        if config.forget_bias:
            add_forget_bias(model, config.forget_bias)
        return model.to(device, parameter_dtype(config))
    except RuntimeError as error:  # how PyTorch says that memory is short
        raise ValueError(f"cannot make a {config.cell} of {config.num_hiddens} hidden units: {error}") from error


def _books_model(config: TrainConfig, vocab_size: int, device: torch.device, reset_at: int | None) -> Model:
    """One layer with the book's initial parameters, drawn in its order, and its one bias for each gate."""
    of_functions = config.engine == "textbook" and reset_at is None  # which never clear a state
    dtype = parameter_dtype(config)
    functions = _in_dtype(dtype, *SCRATCH_FUNCTIONS[config.cell])
    scratch = RNNModelScratch(vocab_size, config.num_hiddens, device, *functions)
    if of_functions and not config.forget_bias:
        return scratch
    model = RNNModel(_layer(config, vocab_size), vocab_size, reset_at=reset_at).to(device, dtype)
    model.load_state_dict(scratch_to_torch(config.cell, [param.detach() for param in scratch.params]))
    if config.forget_bias:
        add_forget_bias(model, config.forget_bias)
    if of_functions:
        set_weights(config, scratch, get_weights(config, model))
        return scratch
    model.rnn.bias_hh_l0.requires_grad_(False)
    return model


def reset_token(config: TrainConfig, vocab: Vocab) -> int | None:
    """The index of the token at which the state is cleared; None: it never is.

    Raises ValueError for what is not one token of the vocabulary.
    """
    if config.reset_at is None:
        return None
    text = {r"\n": "\n", r"\t": "\t"}.get(config.reset_at, config.reset_at)
    tokens = list(split_tokens(text, config.tokens))
    if len(tokens) != 1 or tokens[0] not in vocab.token_to_idx or tokens[0] == UNKNOWN:
        raise ValueError(f"reset_at must be one token of the text's vocabulary, received {text!r}")
    return vocab[tokens[0]]


def _in_dtype(
    dtype: torch.dtype, get_params: GetParams, init_state: InitState, forward: ForwardFn
) -> tuple[GetParams, InitState, ForwardFn]:
    """The functions of `scratch/` with parameters and states in another dtype, drawn in float32."""
    if dtype == torch.float32:
        return get_params, init_state, forward

    def params_in_dtype(vocab_size: int, num_hiddens: int, device: Any) -> list[Tensor]:
        return [p.detach().to(dtype).requires_grad_() for p in get_params(vocab_size, num_hiddens, device)]

    def state_in_dtype(batch_size: int, num_hiddens: int, device: Any) -> tuple[Tensor, ...]:
        return tuple(s.to(dtype) for s in init_state(batch_size, num_hiddens, device))

    return params_in_dtype, state_in_dtype, forward


def parameter_dtype(config: MachineOptions) -> torch.dtype:
    """The dtype of the parameters, which with bf16 is float32."""
    return torch.float64 if config.precision == "fp64" else torch.float32


def _layer(config: TrainConfig, vocab_size: int, cell_file: CellFile | None = None) -> nn.Module:
    own: dict[str, Any] = {"dropout_masks": _masks(config), "weight_dropout": config.weight_dropout}
    if config.resets_after is not None:
        own["reset_after"] = config.resets_after
    return build_layer(
        config.cell,
        config.engine,
        cell_file,
        own=own,
        input_size=config.embedding or vocab_size,
        hidden_size=config.num_hiddens,
        num_layers=config.num_layers,
        dropout=config.dropout if config.num_layers > 1 else 0.0,
    )


def build_layer(
    name: str, engine: Engine, cell_file: CellFile | None = None, *, own: Mapping[str, Any] | None = None, **sizes: Any
) -> nn.Module:
    """The recurrent layer of a cell, on an engine.

    Args:
        name: the name of a shipped cell, or path/to/file.py:ClassName.
        cell_file: as for `build_model`.
        own: arguments that only the layers of this package have.
        sizes: arguments that the layers of `torch.nn` have, too.

    Raises:
        ValueError: the layer does not fit into memory; or as `resolve_cell`, and `check_cell` for a user's cell.
    """
    H, D = sizes["hidden_size"], sizes["input_size"]
    weights = H * (sizes.get("num_layers", 1) * H + D)
    check_memory(f"a {name} of {H:,} hidden units that reads {D:,} numbers", 8 * weights)  # with their gradients
    if engine == "builtin":
        return BUILTIN[name](**sizes)
    arguments = {**sizes, **(own or {}), "engine": engine}
    if name in LAYERS:
        layer: nn.Module = LAYERS[name](**arguments)
        return layer
    cell = make_cell(resolve_cell(name) if cell_file is None else cell_file.load())
    if is_path(name):
        check_cell(cell)  # an engine would train a faulty cell without noticing
    return Recurrent(cell, **arguments)


def _masks(config: TrainConfig) -> DropoutMasks:
    return "locked" if config.locked_dropout else "quick"


def find_cell_file(config: TrainConfig | LayerOptions) -> CellFile | None:
    """The current file of a user's cell, to be recorded; None for a shipped cell. Nothing is executed.

    Raises FileNotFoundError or ValueError as `CellFile.find`.
    """
    return CellFile.find(config.cell) if is_path(config.cell) else None


def get_weights(config: TrainConfig, model: Model) -> dict[str, Tensor]:
    """The parameters under the names of `RNNModel`, whatever the engine of the model; for reading only."""
    if isinstance(model, RNNModelScratch):
        return scratch_to_torch(config.cell, [param.detach() for param in model.params])
    weights = {name: weight.detach() for name, weight in model.state_dict().items()}
    if config.tie_weights:
        del weights["linear.weight"]  # it is the embedding's
    return weights


def set_weights(config: TrainConfig, model: Model, weights: Mapping[str, Tensor]) -> None:
    """Give a model the parameters that `get_weights` returned for a model of the same cell, on any engine.

    In the book's own models two biases become their sum. ValueError if names or shapes are not the model's.
    """
    expected = {name: tuple(weight.shape) for name, weight in get_weights(config, model).items()}
    received = {name: tuple(weight.shape) for name, weight in weights.items()}
    if expected != received:
        name = next(n for n in [*expected, *received] if expected.get(n) != received.get(n))
        raise ValueError(
            f"the parameters are another model's: expected {name} {expected.get(name, 'to be absent')}, "
            f"received {received.get(name, 'none')}"
        )
    if isinstance(model, RNNModelScratch):
        with torch.no_grad():
            for param, value in zip(model.params, torch_to_scratch(config.cell, weights), strict=True):
                param.copy_(value)
        return
    if config.is_the_books:
        weights = scratch_to_torch(config.cell, torch_to_scratch(config.cell, weights))
    tied = {"linear.weight": weights["embedding.weight"]} if config.tie_weights else {}
    model.load_state_dict({**weights, **tied})


def state_to_rows(state: Any) -> tuple[Tensor, ...]:
    """The state of a model as tensors (layers, B, H), whatever its engine; an empty tuple for None."""
    parts = () if state is None else (state,) if isinstance(state, Tensor) else tuple(state)
    return tuple(part if part.dim() == 3 else part.unsqueeze(0) for part in parts)


def state_from_rows(model: Model, rows: tuple[Tensor, ...]) -> Any:
    """The inverse of `state_to_rows`, in the form that `model` takes."""
    if not rows:
        return None
    if isinstance(model, RNNModelScratch):
        return tuple(row.squeeze(0) for row in rows)
    return rows[0] if len(rows) == 1 else rows


def count_parameters(model: RNNModelScratch | nn.Module) -> int:
    """The number of parameters that training changes."""
    params = model.params if isinstance(model, RNNModelScratch) else list(model.parameters())
    return sum(param.numel() for param in params if param.requires_grad)
