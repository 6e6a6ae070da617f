"""The base of tasks whose examples are sentences: weights, identity, and the description in the run folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from gru_scratch.cells import CellFile
from gru_scratch.training.engine import settle_engine
from gru_scratch.training.processes import ONE_PROCESS
from gru_scratch.training.sentence_options import SentenceOptions
from gru_scratch.training.text_task import FORMAT, versions

AnySentences = TypeVar("AnySentences", bound=SentenceOptions)


class SentenceTask:
    """A part of `gru_scratch.training.task.Task`; a subclass adds epochs, the loss and the evaluation."""

    kind: ClassVar[str]
    """The kind of the run, as `gru_scratch.training.folder` names it."""
    processes = ONE_PROCESS

    def __init__(
        self,
        config: SentenceOptions,
        model: nn.Module,
        device: torch.device,
        cell_file: CellFile | None,
        kept_engine: str | None,
        *,
        name: str,
        sha256: str,
    ) -> None:
        """`name` and `sha256` are those of the data; the others, and the errors of an engine, are as for `TextTask`."""
        self.config, self.model, self.device, self.cell_file = config, model, device, cell_file
        self.name, self.sha256 = name, sha256
        self.engine = settle_engine(model, kept_engine)

    @property
    def title(self) -> str:
        """Of the picture of the run."""
        return f"{self.kind} ({self.config.cell_name}, {self.engine}, {self.config.num_hiddens} units) on {self.name}"

    @contextmanager
    def numbers(self) -> Iterator[None]:
        """Within the block products are in bfloat16, if the options ask for it."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            yield

    def weights(self) -> dict[str, Tensor]:
        return {name: weight.detach() for name, weight in self.model.state_dict().items()}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        load_weights(self.model, weights)

    def identity(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "options": self.config.to_json(),
            "engine": self.engine,
            "threads": torch.get_num_threads(),
            "cell_file": None if self.cell_file is None else asdict(self.cell_file),
            "data": self.sha256,
        }

    def check(self, identity: Mapping[str, Any]) -> None:
        self.config.check_goes_on(identity["options"])
        old, new = identity["cell_file"], self.cell_file
        if old and (new is None or (old["name"], old["sha256"]) != (new.name, new.sha256)):
            raise ValueError(f"the cell of the run, {old['name']} of {old['path']}, has changed since or is another")
        if identity["data"] != self.sha256:
            raise ValueError(f"the run was made on other data than {self.name}")

    def files(self) -> dict[str, bytes]:
        described = {
            "format": FORMAT,
            **self.identity(),
            "name": self.name,
            **self.described(),
            "versions": versions(),
        }
        return {"config.json": (json.dumps(described, indent=1) + "\n").encode()}

    def described(self) -> dict[str, Any]:
        """The further entries of config.json."""
        return {}


def readable(config: AnySentences) -> AnySentences:
    """The options under which a run is read: what was trained with a compiler at hand is read without one."""
    return replace(config, engine="auto") if config.engine == "native" else config


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a model these parameters. ValueError, with the first difference, if they are those of another model."""
    expected = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    received = {name: tuple(weight.shape) for name, weight in weights.items()}
    if expected != received:
        name = next(n for n in [*expected, *received] if expected.get(n) != received.get(n))
        raise ValueError(
            f"the parameters are another model's: expected {name} {expected.get(name, 'to be absent')}, "
            f"received {received.get(name, 'none')}"
        )
    model.load_state_dict(weights)
