"""What stands between the training loop and a model: lower precision, translation, several processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from gru_scratch.models.language import RNNModelScratch
from gru_scratch.training.build import Model
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.processes import ONE_PROCESS, Processes


class ForwardModel:
    """A model as the training loop calls it, with the parameters of `model` and what the options put around it."""

    def __init__(self, config: TrainConfig, model: Model, device: torch.device, processes: Processes) -> None:
        self.model, self.device, self.config = model, device, config
        self.call: Any = model
        if processes.count > 1:
            module = ScratchModule(model) if isinstance(model, RNNModelScratch) else model
            devices = [device.index or 0] if device.type == "cuda" else None
            self.call = DistributedDataParallel(module, device_ids=devices)
        if config.compile:
            self.call = torch.compile(self.call)

    def __call__(self, X: Tensor, state: Any) -> tuple[Tensor, Any]:
        if self.config.precision != "bf16":
            scores: tuple[Tensor, Any] = self.call(X, state)
            return scores
        with torch.autocast(self.device.type, torch.bfloat16):
            y_hat, state = self.call(X, state)
        return y_hat.float(), state

    def alone(self) -> ForwardModel:
        """The same parameters, called by this process alone."""
        return ForwardModel(self.config, self.model, self.device, ONE_PROCESS)

    def begin_state(self, *, batch_size: int, device: torch.device) -> Any:
        return self.model.begin_state(batch_size=batch_size, device=device)


class ScratchModule(nn.Module):
    """A model made of functions as a module, as PyTorch's own tools want it. The model's parameters become its."""

    def __init__(self, model: RNNModelScratch) -> None:
        super().__init__()
        self.model = model
        self.params = nn.ParameterList([nn.Parameter(param.detach()) for param in model.params])
        model.params = list(self.params)

    def forward(self, X: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.model(X, state)


class MeanLoss:
    """Mean cross-entropy of the whole batch, of which each process has a part: the same value in all of them.

    Its gradient is that of the own part; DistributedDataParallel takes the mean of those.
    """

    def __init__(self, processes: Processes) -> None:
        self.processes = processes

    def __call__(self, y_hat: Tensor, y: Tensor) -> Tensor:
        loss = F.cross_entropy(y_hat, y)
        if self.processes.count == 1:
            return loss
        (total,) = self.processes.add([float(loss.detach())])
        return loss + (total / self.processes.count - loss.detach())
