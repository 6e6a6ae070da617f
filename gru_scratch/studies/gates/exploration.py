"""All that the gate page shows, collected from a model and a text: values, predictions, influence, correlations.

Legend: ``T`` characters, ``H`` units, ``V`` vocabulary, ``S`` span, ``F`` features, ``K`` predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gru_scratch.studies.gates.collect import Collected, Quantity, Report, collect, layered
from gru_scratch.studies.gates.features import Feature, correlations, features
from gru_scratch.studies.gates.influence import SPAN, influence
from gru_scratch.text.vocab import Vocab

NOUNS = {"char": "character", "word": "word", "byte": "byte"}
"""What tokens are called."""
MOST_TOKENS = 10_000
"""More than so many, each in a colour of its own, take a browser long to lay out."""
MOST_VALUES = 24_000_000
"""Values of all gates and states of all layers together: a page of some 32 MB."""


@dataclass(frozen=True)
class Exploration:
    """A model's reading of a text. Its tokens are characters, or words or bytes."""

    kind: str
    """Of its tokens: char, word or byte."""
    tokens: Tensor
    """(T,)"""
    vocabulary: list[str]
    collected: Collected
    features: list[Feature]
    follows: list[list[Tensor]]
    """For each layer and quantity the correlation (F, H) of its units with the features."""
    probabilities: Tensor
    """(T, V), of the character that comes next."""
    targets: Tensor
    """(T,): the character that does come next; after the last, the likeliest."""
    influence: Tensor
    """(T, S): how much each earlier character moved the log-probability of the target; see `influence`."""

    @property
    def layers(self) -> list[list[Quantity]]:
        return self.collected.layers


def explore(
    model: Any,
    vocab: Vocab,
    text: Sequence[str],
    *,
    kind: str = "char",
    span: int = SPAN,
    report: Report = lambda steps: None,
) -> Exploration:
    """Read `text` with `model`, and collect what the page shows.

    Args:
        model: as for `gates.layered`.
        vocab: the model's.
        text: tokens that are all in `vocab`, at least one.
        kind: what its tokens are: char, word or byte. Features are those of characters; words have none.
        span: how many characters before a prediction are looked at for their influence.
        report: called with the number of steps done; there are `count_steps(model, len(text))`.

    Raises:
        TypeError, ValueError: as `gates.collect`, `check_text` and `check_length`.
    """
    check_text(vocab, text, kind)
    model = layered(model)
    check_length(model, len(text))
    device = model.linear.weight.device
    tokens = torch.tensor([vocab[token] for token in text], device=device)
    collected = collect(model, tokens, report)
    probabilities = collected.logits.softmax(-1)
    targets = torch.cat([tokens[1:], probabilities[-1:].argmax(-1)])
    found = [] if kind == "word" else features(text)
    return Exploration(
        kind=kind,
        tokens=tokens,
        vocabulary=list(vocab.idx_to_token),
        collected=collected,
        features=found,
        follows=[[correlations(quantity.values, found) for quantity in layer] for layer in collected.layers],
        probabilities=probabilities,
        targets=targets,
        influence=influence(model, tokens, targets, collected, span, report),
    )


def count_steps(model: Any, length: int) -> int:
    """How many steps `explore` reports for a text of that length."""
    layers: int = layered(model).rnn.num_layers
    return (layers + 1) * length


def check_text(vocab: Vocab, text: Sequence[str], kind: str = "char") -> None:
    """ValueError for an empty text, and for tokens that the vocabulary lacks; the message names them."""
    if not text:
        raise ValueError("the text is empty: expected at least one character")
    if unknown := sorted(set(text) - set(vocab.token_to_idx)):
        shown = " ".join(map(repr, unknown[:20])) + (f" and {len(unknown) - 20} more" if len(unknown) > 20 else "")
        raise ValueError(f"the text has {NOUNS[kind]}s that the model's vocabulary lacks: {shown}")


def check_length(model: Any, length: int) -> None:
    """ValueError for a text that is too long for a page of this model, with the limit."""
    layer = layered(model).rnn
    a_character = layer.num_layers * layer.hidden_size * (len(layer.cell.gates) + len(layer.cell.states._fields))
    most = max(1, min(MOST_TOKENS, MOST_VALUES // a_character))
    if length > most:
        raise ValueError(
            f"the text has {length:,} tokens, and a page holds at most {most:,} of this model "
            f"({layer.num_layers} x {layer.hidden_size} units): give a shorter one, or read only its start"
        )
