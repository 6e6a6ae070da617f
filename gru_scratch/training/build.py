"""From options to a model: the one place that knows which engine makes which."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from gru_scratch.convert import scratch_to_torch, torch_to_scratch
from gru_scratch.model import ForwardFn, GetParams, InitState, RNNModel, RNNModelScratch
from gru_scratch.scratch import gru, lstm, rnn
from gru_scratch.training.config import TrainConfig

SCRATCH: dict[str, tuple[GetParams, InitState, ForwardFn]] = {
    "rnn": (rnn.get_rnn_params, rnn.init_rnn_state, rnn.rnn),
    "gru": (gru.get_gru_params, gru.init_gru_state, gru.gru),
    "lstm": (lstm.get_lstm_params, lstm.init_lstm_state, lstm.lstm),
}
BUILTIN: dict[str, Callable[[int, int], nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}

Model = RNNModelScratch | RNNModel


def build_model(config: TrainConfig, vocab_size: int, device: torch.device) -> Model:
    """A model with fresh parameters, drawn from PyTorch's global generator.

    textbook: the functions of `scratch/`, the GRU with its reset gate before the product, as in the book.
    builtin: the layer of `torch.nn`, whose GRU has its reset gate after the product.

    Raises ValueError if the model does not fit into memory.
    """
    config.validate()
    try:
        if config.engine == "textbook":
            return RNNModelScratch(vocab_size, config.num_hiddens, device, *SCRATCH[config.cell])
        return RNNModel(BUILTIN[config.cell](vocab_size, config.num_hiddens), vocab_size).to(device)
    except RuntimeError as error:  # how PyTorch says that memory is short
        raise ValueError(f"cannot make a {config.cell} of {config.num_hiddens} hidden units: {error}") from error


def resets_after(config: TrainConfig) -> bool | None:
    """Whether the GRU's reset gate acts after the recurrent product; None for other cells."""
    return config.engine == "builtin" if config.cell == "gru" else None


def get_weights(config: TrainConfig, model: Model) -> dict[str, Tensor]:
    """The parameters under `torch.nn`'s names, whatever engine the model runs on; for reading only."""
    if isinstance(model, RNNModelScratch):
        return scratch_to_torch(config.cell, [param.detach() for param in model.params])
    return {name: weight.detach() for name, weight in model.state_dict().items()}


def set_weights(config: TrainConfig, model: Model, weights: Mapping[str, Tensor]) -> None:
    """Give a model the parameters that `get_weights` read. ValueError if names or shapes are not the model's."""
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
    else:
        model.load_state_dict(dict(weights))


def count_parameters(model: Model) -> int:
    """Numbers that training changes."""
    params = model.params if isinstance(model, RNNModelScratch) else list(model.parameters())
    return sum(param.numel() for param in params)


def pick_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one, else the CPU. ValueError if it is not here."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device must be auto, cpu, cuda, cuda:N or mps, received {name!r}") from None
    present = {"cpu": True, "cuda": (device.index or 0) < gpus, "mps": torch.backends.mps.is_available()}
    if device.type not in present:
        raise ValueError(f"device must be auto, cpu, cuda, cuda:N or mps, received {name!r}")
    if not present[device.type]:
        raise ValueError(f"device {name!r} is not here: PyTorch sees {gpus} CUDA devices on this machine")
    return device
