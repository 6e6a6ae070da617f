"""The one look at the text that was put aside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gru_scratch.training.build import get_weights, set_weights
from gru_scratch.training.evaluate import evaluate, evaluate_windows
from gru_scratch.training.trainer import Trainer

WINDOW = 64
"""Steps of a window: the context of nanoGPT's small model of characters."""


@dataclass(frozen=True)
class FinalLosses:
    """Losses in nats a token."""

    carried: float
    """Of the whole text from end to end, the state carried along."""
    windows: float | None
    """Of windows of `WINDOW` tokens, each from a zero state; None where the text is shorter than one."""
    tokens: int
    weights: str
    """Which parameters were tested: last or best."""

    def lines(self) -> list[str]:
        """For people."""
        lines = [
            f"test loss {self.carried:.4f} nats ({self.weights} parameters, {self.tokens:,} tokens, state carried)"
        ]
        if self.windows is not None:
            lines.append(f"test loss {self.windows:.4f} nats in windows of {WINDOW} from a zero state")
        return lines


def final_losses(trainer: Trainer) -> FinalLosses:
    """Evaluate the parameters that the run keeps on the text that was put aside, and leave the trainer as it was."""
    net, text = trainer.forward.alone(), trainer.text.test
    windows = None
    with kept_weights(trainer):
        carried = evaluate(net, text, trainer.device, rows=1, num_steps=1024).loss
        if len(text) > WINDOW:
            windows = evaluate_windows(net, text, trainer.device, num_steps=WINDOW).loss
    return FinalLosses(carried, windows, len(text), "best" if trainer.keeps_best() else "last")


@contextmanager
def kept_weights(trainer: Trainer) -> Iterator[None]:
    """Within the block, the model has the parameters that the run keeps; after it, those that it had."""
    if not trainer.keeps_best():
        yield
        return
    config, model = trainer.config, trainer.model
    last = {name: weight.clone() for name, weight in get_weights(config, model).items()}
    set_weights(config, model, trainer.best)
    try:
        yield
    finally:
        set_weights(config, model, last)
