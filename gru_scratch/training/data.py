"""The text of a run: its vocabulary, the part to train on, and the part held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from torch import Tensor

from gru_scratch.text.corpus import Text, load_text
from gru_scratch.text.vocab import Vocab
from gru_scratch.training.config import TrainConfig

VAL_FRACTION = 0.1


@dataclass(frozen=True)
class RunText:
    """A text, read for a run."""

    source: Text
    sha256: str
    """Of the text as its file has it."""
    vocab: Vocab
    """Of the whole text, as in the book."""
    num_tokens: int
    """Of the whole text."""
    opening: str
    """The first characters of the text."""
    train: Tensor
    """Numbers of the characters to train on, (N,)."""
    held_out: Tensor
    """Numbers of the characters to test on, (M,); M is 0 where there are none."""
    held_out_label: str
    """Where the held-out part comes from, or why there is none."""


def read_run_text(config: TrainConfig) -> RunText:
    """Read, clean and number the text, and divide it.

    The first `max_tokens` characters are for training. Held out is the first `val_fraction` (default 0.1) of those that
    this leaves over; if it leaves none, the last `val_fraction` of the text, and only if the option is given.

    Raises what `load_text` raises, and ValueError for a text without a letter.
    """
    config.validate()
    source = load_text(config.text)
    characters = source.tokens("char")
    if not characters:
        raise ValueError(f"{source.path} holds no letter from a to z: nothing is left of it after cleaning")
    vocab = Vocab(characters)
    tokens = vocab.encode(characters)
    train, held_out, label = divide(tokens, config.max_tokens, config.val_fraction)
    digest = hashlib.sha256(source.raw.encode()).hexdigest()
    return RunText(source, digest, vocab, len(tokens), "".join(characters[:20]), train, held_out, label)


def divide(tokens: Tensor, max_tokens: int, val_fraction: float | None) -> tuple[Tensor, Tensor, str]:
    """The part to train on, the part held out (empty where there is none), and a label for the second."""
    train = tokens if max_tokens < 0 else tokens[:max_tokens]
    rest = tokens[len(train) :]
    fraction = VAL_FRACTION if val_fraction is None else val_fraction
    nothing = tokens[:0]
    if fraction == 0:
        return train, nothing, "none: val-fraction is 0"
    if len(rest):
        held_out = rest[: round(fraction * len(rest))]
        label = f"the first {fraction:.3g} of the text that is not trained on"
    elif val_fraction is not None:
        kept = len(tokens) - round(fraction * len(tokens))
        train, held_out = tokens[:kept], tokens[kept:]
        label = f"the last {fraction:.3g} of the text, kept from training"
    else:
        return train, nothing, "none: all of the text is trained on; --val-fraction keeps a part from training"
    if len(held_out) < 2:
        return train, nothing, f"none: {label} is {len(held_out)} characters, too few to predict one from another"
    return train, held_out, label
