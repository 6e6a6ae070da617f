"""The task of training a translator on its pairs; and a translator read back from its run folder."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gru_scratch.cells import CellFile
from gru_scratch.models.translator import DECODERS, Encoder, Translator
from gru_scratch.text.pair_batches import PAD, Language, PairBatch, PairEpoch, batch_of, number_pairs, pad
from gru_scratch.text.pairs import (
    FRA_ENG,
    Pair,
    Parts,
    clean_sentence,
    find_fra_eng,
    kind_of_tokens,
    made_pairs,
    read_pairs,
    split_pairs,
    turned_round,
)
from gru_scratch.text.vocab import Vocab
from gru_scratch.training.build import build_layer, find_cell_file, parameter_dtype
from gru_scratch.training.evaluate import evaluating
from gru_scratch.training.folder import TRANSLATOR, RunFiles
from gru_scratch.training.hardware import check_memory
from gru_scratch.training.loop import perplexity
from gru_scratch.training.scores import bleu, exact_match
from gru_scratch.training.sentence_options import TranslatorOptions
from gru_scratch.training.sentence_task import SentenceTask, load_weights, readable
from gru_scratch.training.task import BatchLoss, Carried, Evaluation

Decode = Callable[[Translator, Tensor, Tensor], list[list[int]]]
"""A function from a model and sources (B, S) with lengths (B,) to the tokens of a translation of each."""
SENTENCES_AT_A_TIME = 256
BYTES_OF_A_PAIR = 150
"""The least memory of a pair, as two Python strings."""


@dataclass(frozen=True)
class RunPairs:
    """The pairs of a run."""

    name: str
    sha256: str
    """The SHA-256 of all pairs, in the direction in which they are translated."""
    parts: Parts
    source: Language
    target: Language
    """Of the training part."""
    left_out: int
    """The number of training pairs that were left out as too long."""


def read_run_pairs(config: TranslatorOptions) -> RunPairs:
    """Read or make the pairs, reverse them if asked to, divide them, and make the vocabularies of the training part.

    Raises FileNotFoundError or ValueError where there is no such file, or no pair is left.
    """
    if config.pairs is None:
        check_memory(f"a set of {config.num_pairs:,} pairs", BYTES_OF_A_PAIR * config.num_pairs)
        name, pairs = f"numbers to {config.largest:,} and dates", made_pairs(config.num_pairs, largest=config.largest)
    else:
        is_the_books = str(config.pairs) == FRA_ENG and not config.pairs.is_file()
        name, pairs = config.pairs.name, read_pairs(find_fra_eng() if is_the_books else config.pairs)
    if config.reverse:
        pairs = turned_round(pairs)
    digest = hashlib.sha256("\n".join("\t".join(pair) for pair in pairs).encode("utf-8", "surrogatepass"))
    parts = split_pairs(pairs, validation=config.val_fraction, test=config.test_fraction)
    train = parts.train[: config.max_pairs]
    kinds = [
        kind_of_tokens(pair[side] for pair in pairs) if kind == "auto" else kind
        for side, kind in enumerate((config.source_tokens, config.target_tokens))
    ]
    source, target = (Language.of([pair[side] for pair in train], kinds[side], config.min_freq) for side in range(2))
    kept = [pair for pair in train if number_pairs([pair], source, target, config.longest)]
    if not kept:
        raise ValueError(f"no pair is left to train on: a side of each has more than {config.longest} tokens")
    return RunPairs(name, digest.hexdigest(), parts._replace(train=kept), source, target, len(train) - len(kept))


def build_translator(
    config: TranslatorOptions, source: Vocab, target: Vocab, device: torch.device, cell_file: CellFile | None
) -> Translator:
    """A model with new parameters; raises as `build_model`."""
    sizes: dict[str, Any] = {
        "hidden_size": config.num_hiddens,
        "num_layers": config.num_layers,
        "dropout": config.dropout if config.num_layers > 1 else 0.0,
    }

    def layer(input_size: int, bidirectional: bool) -> torch.nn.Module:
        return build_layer(
            config.cell, config.engine, cell_file, input_size=input_size, bidirectional=bidirectional, **sizes
        )

    try:
        encoder = Encoder(layer(config.embedding, config.bidirectional), len(source), config.embedding, config.dropout)
        kind = DECODERS[config.decoder]
        reads = kind.input_size(encoder, config.embedding)
        decoder = kind(layer(reads, False), encoder, len(target), config.embedding, config.dropout)
        return Translator(encoder, decoder).to(device, parameter_dtype(config))
    except RuntimeError as error:  # how PyTorch says that memory is short
        raise ValueError(f"cannot make a {config.cell} of {config.num_hiddens} hidden units: {error}") from error


class TranslationTask(SentenceTask):
    """Predicting each token of a target from the source and the target's tokens before it.

    The parameters of the highest BLEU on the validation part are kept.
    """

    kind = TRANSLATOR
    config: TranslatorOptions
    model: Translator

    def __init__(
        self,
        config: TranslatorOptions,
        pairs: RunPairs,
        device: torch.device,
        decode: Decode,
        kept_engine: str | None = None,
    ) -> None:
        """The parameters are drawn from PyTorch's global generator; `decode` is how evaluations translate."""
        cell_file = find_cell_file(config)
        model = build_translator(config, pairs.source.vocab, pairs.target.vocab, device, cell_file)
        super().__init__(config, model, device, cell_file, kept_engine, name=pairs.name, sha256=pairs.sha256)
        self.pairs, self.decode = pairs, decode
        self.train = number_pairs(pairs.parts.train, pairs.source, pairs.target, config.longest)

    def epoch(self, generator: random.Random) -> PairEpoch:
        return PairEpoch(self.train, self.config.batch_size, generator)

    def loss(self, batch: PairBatch, carried: Carried) -> BatchLoss:
        with self.numbers():
            mean = self.model.loss(on_device(batch, self.device))
        return BatchLoss(mean, int((batch.target_out != PAD).sum()))

    def evaluate(self) -> Evaluation | None:
        if not self.pairs.parts.validation:
            return None
        figures, _ = self.tested(self.pairs.parts.validation)
        return Evaluation(-figures["bleu"], figures)

    def tested(self, pairs: Sequence[Pair]) -> tuple[dict[str, float], Score]:
        """Loss and perplexity a token, BLEU and exact match; and the two last with all that is told of them."""
        source, target = self.pairs.source, self.pairs.target
        with evaluating(self.model), torch.inference_mode(), self.numbers():
            translated = partial(translate_by, self.decode, self.model, source, target)
            score = score_pairs(pairs, translated, source, target)
            loss = self._loss(pairs)
        figures = {
            "held_out_loss": loss,
            "held_out_perplexity": perplexity(loss),
            "bleu": score.bleu,
            "exact_match": score.exact_match,
        }
        return figures, score

    def _loss(self, pairs: Sequence[Pair]) -> float:
        total, count = 0.0, 0
        numbered = number_pairs(pairs, self.pairs.source, self.pairs.target, max(map(len, map("".join, pairs))))
        for start in range(0, len(numbered), SENTENCES_AT_A_TIME):
            batch = batch_of(numbered[start : start + SENTENCES_AT_A_TIME])
            tokens = int((batch.target_out != PAD).sum())
            total += float(self.model.loss(on_device(batch, self.device))) * tokens
            count += tokens
        return total / count

    def described(self) -> dict[str, Any]:
        parts = zip(Parts._fields, map(len, self.pairs.parts), strict=True)
        kinds = {"source": self.pairs.source.kind, "target": self.pairs.target.kind}
        return {"tokens": kinds, "pairs": dict(parts)}

    def files(self) -> dict[str, bytes]:
        sides = {"source": self.pairs.source, "target": self.pairs.target}
        vocabs = {f"{side}-vocab.json": (each.vocab.to_json() + "\n").encode() for side, each in sides.items()}
        return super().files() | vocabs


@dataclass(frozen=True)
class Score:
    """How translations compare with their references; a source with several targets counts once."""

    sentences: int
    bleu: float
    exact_match: float
    by_length: dict[int, tuple[int, int]]
    """By the tokens of a source: how many sources there are, and how many of them are translated exactly."""


def score_pairs(
    pairs: Sequence[Pair], translated: Callable[[Sequence[str]], list[str]], source: Language, target: Language
) -> Score:
    """Translate the sources of pairs, and compare with their targets."""
    targets: dict[str, list[str]] = {}
    for pair in pairs:
        targets.setdefault(pair.source, []).append(clean_sentence(pair.target))
    said, references = translated([*targets]), [*targets.values()]
    by_length: dict[int, tuple[int, int]] = {}
    for sentence, translation in zip(targets, said, strict=True):
        length = len(source.tokens(sentence))
        count, exact = by_length.get(length, (0, 0))
        by_length[length] = count + 1, exact + (translation in targets[sentence])
    return Score(
        len(targets),
        bleu(said, references, target.kind),
        exact_match(said, references),
        dict(sorted(by_length.items())),
    )


def translate_by(
    decode: Decode, model: Translator, source: Language, target: Language, sentences: Sequence[str]
) -> list[str]:
    """Translate sentences in batches of similar length, and return the translations in their order."""
    numbered = [source.encode(sentence) for sentence in sentences]
    device = model.decoder.output.weight.device
    order = sorted(range(len(numbered)), key=lambda i: len(numbered[i]))
    said = [""] * len(numbered)
    for start in range(0, len(order), SENTENCES_AT_A_TIME):
        places = order[start : start + SENTENCES_AT_A_TIME]
        rows, lengths = pad([numbered[i] for i in places])
        for place, tokens in zip(places, decode(model, rows.to(device), lengths.to(device)), strict=True):
            said[place] = target.decode(tokens)
    return said


def on_device(batch: PairBatch, device: torch.device) -> PairBatch:
    """The same batch on `device`."""
    return PairBatch(*(part.to(device) for part in batch))


@dataclass(frozen=True)
class LoadedTranslator:
    """A trained translator, and what is needed to use it."""

    config: TranslatorOptions
    model: Translator
    source: Language
    target: Language


def load_translator(
    folder: Path, device: torch.device, *, cell: str | None = None, best: bool = False
) -> LoadedTranslator:
    """Read a translator back from its run folder; arguments and errors are those of `load_run`."""
    files = RunFiles(folder, TRANSLATOR)
    with files.complete():
        config = readable(TranslatorOptions.from_json(files.described["options"]))
        source, target = (
            Language(Vocab.from_json(files.text(f"{side}-vocab.json")), files.described["tokens"][side])
            for side in ("source", "target")
        )
        cell_file = files.cell_file(config.cell, files.described["cell_file"], cell)
        model = build_translator(config, source.vocab, target.vocab, device, cell_file)
        load_weights(model, files.weights(best=best))
    return LoadedTranslator(config, model.eval(), source, target)
