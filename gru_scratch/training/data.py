"""The text of a run: its vocabulary, and its training, held-out and test parts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from gru_scratch.text.batches import Corpus
from gru_scratch.text.corpus import Source, find_text, is_the_books
from gru_scratch.text.stream import check_not_empty, count_tokens, encoder, read_pieces, text_size
from gru_scratch.text.token_file import MappedTokens, Progress, open_token_file
from gru_scratch.text.vocab import Vocab, join_tokens, split_tokens
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.schedule import Bound, evaluation_tokens

VAL_FRACTION = 0.1
LARGE_TEXT_BYTES = 1 << 26
"""A text of this size or more is read from a token file."""
BOOK_PREFIXES = ("time traveller", "traveller")
OPENING_TOKENS = 20


@dataclass(frozen=True)
class RunText:
    """The text of a run."""

    source: Source
    sha256: str
    """Of the text as its file has it, or of its files one after another."""
    vocab: Vocab
    """The vocabulary of the whole text, as in the book."""
    kind: str
    """The kind of its tokens: char, word or byte."""
    cleaning: str
    """How the text was cleaned: book or raw."""
    num_tokens: int
    """The number of tokens in the whole text."""
    prefixes: tuple[str, ...]
    """The prefixes that samples continue: the book's two for the book's text, else the beginning of the text."""
    train: Corpus
    """The indices of the tokens to train on, (N,)."""
    held_out: Corpus
    """The indices of the held-out tokens, on which training evaluates, (M,); M is 0 where there are none."""
    held_out_label: str
    """Where the held-out part comes from, or why there is none."""
    test: Corpus
    """The indices of the tokens to test on when the run ends, (K,); K is 0 where none are asked for."""

    def train_counts(self) -> Tensor:
        """How often each token of the vocabulary occurs in the training part, (V,)."""
        if isinstance(self.train, MappedTokens):
            return self.train.counts(len(self.vocab))
        return torch.bincount(self.train, minlength=len(self.vocab))


def read_run_text(
    config: TrainConfig, progress: Progress = lambda task, done, total: None, planned: Bound | None = None
) -> RunText:
    """Read the text, clean and tokenise it, and divide it into its parts.

    The last `test_fraction` is the test part. Of the rest, the first `max_tokens` tokens are for training. Held out is
    the first `val_fraction` (default 0.1) of the tokens after them; if there are none, the last `val_fraction`, and
    only if the option is given; at most `val_tokens` of it are read. A `val_tokens` of None follows from `planned`, the
    bound with which the run began (None: that of its options).

    A text of `LARGE_TEXT_BYTES` or more is read from its token file, which `progress` sees being made.

    Raises what `find_text` and `open_token_file` raise, and ValueError for a text of which no token is left.
    """
    source = find_text(config.text)
    cleaning = config.cleaning
    books = config.text is None or is_the_books(source.path)
    if cleaning == "auto":
        cleaning = "book" if books else "raw"
    divided = partial(_divided, config, planned or Bound.of(config), books)
    if config.token_dir is not None or text_size(source.path) >= LARGE_TEXT_BYTES:
        made = open_token_file(
            source.path,
            config.tokens,
            cleaning=cleaning,
            min_freq=config.min_freq,
            folder=config.token_dir,
            progress=progress,
        )
        notice = "; ".join(filter(None, (source.notice, made.notice))) or None
        return divided(Source(source.name, source.path, notice), made.sha256, made.vocab, cleaning, made.tokens)
    digest = hashlib.sha256()
    pieces = list(read_pieces(source.path, config.tokens, cleaning, digest))
    vocab = count_tokens(pieces, config.tokens, config.min_freq)
    check_not_empty(vocab, source.path, cleaning)
    encode = encoder(vocab, config.tokens)
    tokens = torch.from_numpy(np.concatenate([encode(piece) for piece in pieces]).astype(np.int64))
    return divided(source, digest.hexdigest(), vocab, cleaning, tokens)


def _divided(
    config: TrainConfig,
    planned: Bound,
    books: bool,
    source: Source,
    sha256: str,
    vocab: Vocab,
    cleaning: str,
    tokens: Corpus,
) -> RunText:
    rest = tokens[: int(len(tokens) * (1 - config.test_fraction))] if config.test_fraction else tokens
    train, held_out, label = divide(rest, config.max_tokens, config.val_fraction)
    most = config.val_tokens
    if most is None:
        most = evaluation_tokens(config.eval_every, planned, config.batch_size * config.num_steps, len(train))
    if 0 <= most < len(held_out):
        held_out = held_out[:most]
        label = f"the first {most:,} tokens of {label}"
    return RunText(
        source=source,
        sha256=sha256,
        vocab=vocab,
        kind=config.tokens,
        cleaning=cleaning,
        num_tokens=len(tokens),
        prefixes=_prefixes(tokens, vocab, config.tokens, books),
        train=train,
        held_out=held_out,
        held_out_label=label,
        test=tokens[len(rest) :],
    )


def _prefixes(tokens: Corpus, vocab: Vocab, kind: str, books: bool) -> tuple[str, ...]:
    """The book's prefixes if the text is the book's and has their tokens, else the beginning of the text."""
    if books and (known := [p for p in BOOK_PREFIXES if set(split_tokens(p, kind)) <= vocab.token_to_idx.keys()]):
        return tuple(known)
    first = tokens[:OPENING_TOKENS]
    numbers = first.windows(np.zeros(1, np.int64), len(first))[0] if isinstance(first, MappedTokens) else first
    opening = vocab.to_tokens([number for number in numbers.tolist() if number != vocab.unk] or [1])
    if kind == "byte":
        return ("".join(opening).encode("latin-1").decode("utf-8", "surrogateescape"),)
    return (join_tokens(opening, kind),)


def divide(tokens: Corpus, max_tokens: int, val_fraction: float | None) -> tuple[Corpus, Corpus, str]:
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
