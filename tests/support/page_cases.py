"""A model and a text for the tests of the gate page."""

from __future__ import annotations

from typing import Any

import torch

from gru_scratch.layers import LSTM
from gru_scratch.models.language import RNNModel
from gru_scratch.studies.gates.exploration import Exploration, explore
from gru_scratch.text.vocab import Vocab

TEXT = 'He said: "The time traveller\n</script><!-- is out."\n'
VOCAB = Vocab(list(TEXT))


def explored(layer: Any = None, text: str = TEXT, scale: float = 4.0) -> Exploration:
    """What a model of large random weights does with a text."""
    model = RNNModel(layer or LSTM(len(VOCAB), 7, 2), len(VOCAB))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return explore(model, VOCAB, text)
