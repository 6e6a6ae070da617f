"""The trainer with another task than a text: a classifier, whose batches leave nothing to each other."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support.small_runs import CPU, history_of, same_tensors, stopped_at, through_a_file
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.training.checkpoint import read_verified
from gru_scratch.training.folder import save_run
from gru_scratch.training.options import RunOptions
from gru_scratch.training.processes import ONE_PROCESS
from gru_scratch.training.task import BatchLoss, Carried, Evaluation
from gru_scratch.training.trainer import Trainer

OPTIONS = RunOptions(batch_size=8, epochs=4, optimizer="adamw", lr=0.02)


class Classify:
    """Which of two numbers is the larger."""

    title, device, processes = "a classifier", CPU, ONE_PROCESS

    def __init__(self, config: RunOptions) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model = nn.Sequential(nn.Linear(2, 6), nn.Dropout(0.2), nn.Tanh(), nn.Linear(6, 2))
        self.x = torch.rand(60, 2, generator=torch.Generator().manual_seed(0))
        self.y = (self.x[:, 0] > self.x[:, 1]).long()

    def epoch(self, generator: random.Random) -> Sequence[Any]:
        return torch.tensor(generator.sample(range(40), 40)).split(self.config.batch_size)

    def loss(self, batch: Tensor, carried: Carried) -> BatchLoss:
        assert carried == ()
        return BatchLoss(F.cross_entropy(self.model(self.x[batch]), self.y[batch]), len(batch))

    def evaluate(self) -> Evaluation:
        self.model.eval()
        scores = self.model(self.x[40:]).detach()
        self.model.train()
        right = (scores.argmax(1) == self.y[40:]).double().mean().item()
        loss = F.cross_entropy(scores, self.y[40:]).item()
        return Evaluation(loss, {"held_out_loss": loss, "accuracy": right})

    def weights(self) -> dict[str, Tensor]:
        return {name: weight.detach() for name, weight in self.model.state_dict().items()}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        self.model.load_state_dict(weights)

    def identity(self) -> dict[str, Any]:
        return {"options": self.config.to_json()}

    def check(self, identity: Mapping[str, Any]) -> None:
        self.config.check_goes_on(identity["options"])

    def files(self) -> dict[str, bytes]:
        return {"config.json": json.dumps(self.identity()).encode()}


@pytest.mark.parametrize("stop", [1, 7, 10])
def test_it_goes_on_to_the_same_bits(tmp_path: Path, stop: int) -> None:
    whole = Trainer(Classify(OPTIONS))
    assert whole.run()
    part = stopped_at(Trainer(Classify(OPTIONS)), stop)
    snapshot = through_a_file(part.snapshot(), tmp_path / "state")
    again = Trainer(Classify(OPTIONS))
    again.restore(snapshot)
    assert again.run()
    assert same_tensors(again.snapshot().tensors, whole.snapshot().tensors)
    assert history_of(again) == history_of(whole)
    assert whole.state.history[-1]["tokens"] == 40
    assert "accuracy" in whole.state.history[-1]


def test_the_best_is_kept_and_patience_ends(tmp_path: Path) -> None:
    trainer = Trainer(Classify(dataclasses.replace(OPTIONS, lr=1.5, epochs=60, keep="best", patience=3)))
    assert trainer.run()
    losses = [record["held_out_loss"] for record in trainer.state.history]
    assert len(losses) == losses.index(min(losses)) + 1 + 3
    save_run(tmp_path, trainer, "a sample\n")
    assert read_verified(tmp_path, "best.safetensors") == read_verified(tmp_path, "model.safetensors")
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_another_run_is_refused() -> None:
    snapshot = Trainer(Classify(OPTIONS)).snapshot()
    with pytest.raises(ValueError, match=r"the run was made with lr 0\.02, not 0\.5"):
        Trainer(Classify(dataclasses.replace(OPTIONS, lr=0.5))).restore(snapshot)
