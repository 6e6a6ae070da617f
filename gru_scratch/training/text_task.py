"""The task of training a language model on its text."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from gru_scratch.cells import CellFile
from gru_scratch.models.language import RNNModel, RNNModelScratch
from gru_scratch.text.batches import Batch, Epoch, SequenceLoader
from gru_scratch.text.reading import absolute, shown
from gru_scratch.training.build import Model, get_weights, set_weights, state_from_rows, state_to_rows
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.data import RunText
from gru_scratch.training.engine import settle_engine
from gru_scratch.training.evaluate import evaluate
from gru_scratch.training.hardware import check_memory
from gru_scratch.training.loop import detached, perplexity
from gru_scratch.training.options import to_plain
from gru_scratch.training.processes import ONE_PROCESS, Processes
from gru_scratch.training.task import BatchLoss, Carried, Evaluation

FORMAT = 1
"""The version of the format of a run folder."""


class TextTask:
    """Predicting each token of a text from the tokens before it."""

    def __init__(
        self,
        config: TrainConfig,
        model: Model,
        text: RunText,
        device: torch.device,
        cell_file: CellFile | None = None,
        processes: Processes = ONE_PROCESS,
        kept_engine: str | None = None,
    ) -> None:
        """The task of a run, new or resumed.

        Args:
            cell_file: the file that a user's cell was loaded from; None for a shipped cell.
            kept_engine: the recorded engine of a run that is resumed; None: the one that its options lead to.

        Raises ValueError for a text that is shorter than a batch, for a batch that does not fit into memory, and for an
        engine that cannot run the model on this machine.
        """
        self.config, self.model, self.text, self.device = config, model, text, device
        self.cell_file, self.processes = cell_file, processes
        try:
            self.loader = SequenceLoader(
                text.train, config.batch_size, config.num_steps, use_random_iter=config.sampling == "random"
            )
        except ValueError as error:
            advice = "a smaller --batch-size or --num-steps makes it fit"
            raise ValueError(f"{shown(text.source.path)}: {error}; {advice}") from None
        if device.type == "cpu":
            of_token = 2 * len(text.vocab) + config.num_layers * config.num_hiddens  # scores, their gradients, outputs
            sizes = f"a batch of {config.batch_size:,} sequences of {config.num_steps:,} steps"
            check_memory(sizes, 4 * config.batch_size * config.num_steps * of_token)
        self.engine = settle_engine(model, kept_engine)
        self.carries_state = config.sampling == "sequential"
        bfloat16 = config.precision == "bf16"
        self.alone = ForwardModel(model, device, bfloat16=bfloat16, compile=config.compile)
        self.forward = self.alone
        if processes.count > 1:
            self.forward = ForwardModel(
                model, device, bfloat16=bfloat16, compile=config.compile, wrap=distributed(model, device)
            )

    @property
    def title(self) -> str:
        config = self.config
        return f"{config.cell_name} ({self.engine}, {config.num_hiddens} units) on {self.text.source.name}"

    def epoch(self, generator: random.Random) -> Epoch:
        return self.loader.epoch(generator)

    def loss(self, batch: Batch, carried: Carried) -> BatchLoss:
        X, Y = (self.processes.own_rows(tokens).to(self.device) for tokens in batch)
        state = state_from_rows(self.model, carried) if self.carries_state else None
        if state is None:
            state = self.model.begin_state(batch_size=len(X), device=self.device)
        loss, state = self.forward.loss(X, state, Y.T.reshape(-1).long())
        left = state_to_rows(detached(state)) if self.carries_state else ()
        return BatchLoss(self._mean(loss), Y.numel() * self.processes.count, left)

    def _mean(self, loss: Tensor) -> Tensor:
        """Of the parts of a batch that the processes have: the same value in all.

        Its gradient is that of the process's own part; DistributedDataParallel averages these.
        """
        if self.processes.count == 1:
            return loss
        (total,) = self.processes.add([float(loss.detach())])
        return loss + (total / self.processes.count - loss.detach())

    def evaluate(self) -> Evaluation | None:
        if not len(self.text.held_out):
            return None
        config = self.config
        loss = evaluate(
            self.alone, self.text.held_out, self.device, rows=config.batch_size, num_steps=config.num_steps
        ).loss
        return Evaluation(loss, {"held_out_loss": loss, "held_out_perplexity": perplexity(loss)})

    def weights(self) -> dict[str, Tensor]:
        return get_weights(self.config, self.model)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        set_weights(self.config, self.model, weights)

    def identity(self) -> dict[str, Any]:
        return {
            "options": self.config.to_json(),
            "engine": self.engine,
            "threads": torch.get_num_threads(),
            "reset_after": self.config.resets_after,
            "cell_file": self._cell_file(),
            "text": self.text.sha256,
            "vocab": self.text.vocab.idx_to_token,
        }

    def check(self, identity: Mapping[str, Any]) -> None:
        config = self.config
        config.check_goes_on(identity["options"])
        if identity["reset_after"] != config.resets_after:
            raise ValueError(f"the run was made with reset_after {identity['reset_after']}, not {config.resets_after}")
        old, new = identity["cell_file"], self.cell_file
        if old and (new is None or (old["name"], old["sha256"]) != (new.name, new.sha256)):
            raise ValueError(f"the cell of the run, {old['name']} of {old['path']}, has changed since or is another")
        if identity["text"] != self.text.sha256:
            raise ValueError(f"the run was made on another text than {shown(self.text.source.path)}")

    def files(self) -> dict[str, bytes]:
        described = json.dumps(self._describe(), indent=1) + "\n"
        return {"config.json": described.encode(), "vocab.json": (self.text.vocab.to_json() + "\n").encode()}

    def _describe(self) -> dict[str, Any]:
        text = self.text
        return {
            "format": FORMAT,
            "options": self.config.to_json(),
            "model": {
                "vocab_size": len(text.vocab),
                "engine": self.engine,
                "reset_after": self.config.resets_after,
                "cell_file": self._cell_file(),
            },
            "text": {
                "name": text.source.name,
                "path": to_plain(absolute(text.source.path)),
                "sha256": text.sha256,
                "cleaning": text.cleaning,
                "tokens": text.kind,
                "trained_on": len(text.train),
                "held_out": len(text.held_out),
                "held_out_label": text.held_out_label,
                "tested_on": len(text.test),
            },
            "versions": versions(),
        }

    def _cell_file(self) -> dict[str, Any] | None:
        return None if self.cell_file is None else asdict(self.cell_file)


def versions() -> dict[str, str]:
    """The versions of this package and of PyTorch, for the record."""
    try:
        own = version("gru_scratch")
    except PackageNotFoundError:
        own = "not installed"
    return {"gru_scratch": own, "torch": torch.__version__}


class ForwardModel:
    """A model as the training loop calls it: with autocast to bfloat16, compiled or wrapped, if asked to."""

    def __init__(self, model: Model, device: torch.device, *, bfloat16: bool, compile: bool, wrap: Any = None) -> None:
        self.model, self.device, self.bfloat16 = model, device, bfloat16
        call = model if wrap is None else wrap
        self.call: Any = torch.compile(call) if compile else call

    def __call__(self, X: Tensor, state: Any) -> tuple[Tensor, Any]:
        if not self.bfloat16:
            scores: tuple[Tensor, Any] = self.call(X, state)
            return scores
        with torch.autocast(self.device.type, torch.bfloat16):
            y_hat, state = self.call(X, state)
        return y_hat.float(), state

    def loss(self, X: Tensor, state: Any, targets: Tensor) -> tuple[Tensor, Any]:
        """The mean cross-entropy of the scores against the tokens that follow, (T * B,), and the next state."""
        if self.call is self.model and isinstance(self.model, RNNModel) and not self.bfloat16:
            found: tuple[Tensor, Any] = self.model(X, state, targets)
            return found
        y_hat, state = self(X, state)
        return F.cross_entropy(y_hat, targets), state

    def begin_state(self, *, batch_size: int, device: torch.device) -> Any:
        return self.model.begin_state(batch_size=batch_size, device=device)


def distributed(model: Model, device: torch.device) -> DistributedDataParallel:
    """The model with gradients that are averaged over all processes."""
    module = ScratchModule(model) if isinstance(model, RNNModelScratch) else model
    return DistributedDataParallel(module, device_ids=[device.index or 0] if device.type == "cuda" else None)


class ScratchModule(nn.Module):
    """A model made of functions as a module, which PyTorch's tools need; it has the same parameter objects."""

    def __init__(self, model: RNNModelScratch) -> None:
        super().__init__()
        self.model = model
        self.params = nn.ParameterList([nn.Parameter(param.detach()) for param in model.params])
        model.params = list(self.params)

    def forward(self, X: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.model(X, state)
