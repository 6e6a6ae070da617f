"""The task of training a classifier on its examples; and a classifier read back from its run folder."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.cells import CellFile
from gru_scratch.models.classifier import Classifier
from gru_scratch.text.labelled import (
    Example,
    Parts,
    balanced,
    check_labels,
    read_classes,
    read_table,
    split_examples,
    story_examples,
)
from gru_scratch.text.pair_batches import RESERVED, pad, similar_batches
from gru_scratch.text.vocab import Vocab, split_tokens
from gru_scratch.training.build import build_layer, find_cell_file, parameter_dtype
from gru_scratch.training.evaluate import evaluating
from gru_scratch.training.folder import CLASSIFIER, RunFiles
from gru_scratch.training.loop import perplexity
from gru_scratch.training.scores import accuracy, confusion, macro_f1
from gru_scratch.training.sentence_options import ClassifierOptions
from gru_scratch.training.sentence_task import SentenceTask, load_weights, readable
from gru_scratch.training.task import BatchLoss, Carried, Evaluation

EXAMPLES_AT_A_TIME = 256


class Reader:
    """From a text to token indices."""

    def __init__(self, vocab: Vocab, kind: str, longest: int) -> None:
        self.vocab, self.kind, self.longest = vocab, kind, longest

    def tokens(self, text: str) -> list[str]:
        """The tokens that are read: the first `longest`."""
        return list(split_tokens(text, self.kind)[: self.longest])

    def left_out(self, text: str) -> int:
        """The number of tokens after those."""
        return len(split_tokens(text, self.kind)) - len(self.tokens(text))

    def __call__(self, text: str) -> list[int]:
        return self.vocab[self.tokens(text)]


@dataclass(frozen=True)
class RunExamples:
    """The examples of a run."""

    name: str
    sha256: str
    parts: Parts
    labels: list[str]
    reader: Reader
    """The reader of texts, with the vocabulary of the training part."""


class LabelledBatch(NamedTuple):
    """A batch of examples."""

    tokens: Tensor  # (B, T)
    lengths: Tensor  # (B,)
    labels: Tensor  # (B,)


class LabelledEpoch(Sequence[LabelledBatch]):
    """The batches of one epoch in random order, each of texts of similar length."""

    def __init__(self, examples: Sequence[tuple[list[int], int]], batch_size: int, generator: random.Random) -> None:
        self.examples = examples
        self.batches = similar_batches([(len(tokens),) for tokens, _ in examples], batch_size, generator)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> LabelledBatch:  # type: ignore[override]  # single batches only, no slices
        return labelled_batch([self.examples[place] for place in self.batches[index]])


def labelled_batch(examples: Sequence[tuple[list[int], int]]) -> LabelledBatch:
    """Examples of token indices and labels as one batch, padded to the longest."""
    tokens, lengths = pad([numbers for numbers, _ in examples])
    return LabelledBatch(tokens, lengths, torch.tensor([label for _, label in examples]))


def read_run_examples(config: ClassifierOptions) -> RunExamples:
    """Read the examples, balance the classes if asked to, divide them, and make the vocabulary of the training part.

    Raises FileNotFoundError or ValueError where there is no such file or column, or there are too few examples.
    """
    kind = "char" if config.tokens == "auto" else config.tokens
    if config.table is not None:
        name, examples = config.table.name, read_table(config.table, config.text_column, config.label_column)
    elif config.classes:
        files = config.files()
        name, examples = " and ".join(path.name for path in files.values()), read_classes(files)
    else:
        name, examples = "lines of the shipped story, as they are and shuffled", story_examples()
        kind = "word" if config.tokens == "auto" else config.tokens
    labels = check_labels(examples)
    lines = "\n".join(f"{each.label}\t{each.text}" for each in examples)
    digest = hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()
    parts = split_examples(
        balanced(examples) if config.balance else examples, validation=config.val_fraction, test=config.test_fraction
    )
    tokens = [token for each in parts.train for token in split_tokens(each.text, kind)[: config.longest]]
    reader = Reader(Vocab(tokens, config.min_freq, RESERVED), kind, config.longest)
    return RunExamples(name, digest, parts, labels, reader)


def build_classifier(
    config: ClassifierOptions, vocab: Vocab, num_classes: int, device: torch.device, cell_file: CellFile | None
) -> Classifier:
    """A model with new parameters; raises as `build_model`."""
    try:
        layer = build_layer(
            config.cell,
            config.engine,
            cell_file,
            input_size=config.embedding,
            hidden_size=config.num_hiddens,
            num_layers=config.num_layers,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            bidirectional=config.bidirectional,
        )
        model = Classifier(
            layer, len(vocab), config.embedding, num_classes, pooling=config.pooling, dropout=config.dropout
        )
        return model.to(device, parameter_dtype(config))
    except RuntimeError as error:  # how PyTorch says that memory is short
        raise ValueError(f"cannot make a {config.cell} of {config.num_hiddens} hidden units: {error}") from error


class ClassificationTask(SentenceTask):
    """Predicting the label of a text; the parameters of the lowest validation loss are kept."""

    kind = CLASSIFIER
    config: ClassifierOptions
    model: Classifier

    def __init__(
        self,
        config: ClassifierOptions,
        examples: RunExamples,
        device: torch.device,
        kept_engine: str | None = None,
    ) -> None:
        """The parameters are drawn from PyTorch's global generator."""
        cell_file = find_cell_file(config)
        model = build_classifier(config, examples.reader.vocab, len(examples.labels), device, cell_file)
        super().__init__(config, model, device, cell_file, kept_engine, name=examples.name, sha256=examples.sha256)
        self.examples = examples
        self.train = self.numbered(examples.parts.train)

    def numbered(self, examples: Sequence[Example]) -> list[tuple[list[int], int]]:
        """Examples as token indices and the indices of their labels."""
        places = {label: place for place, label in enumerate(self.examples.labels)}
        return [(self.examples.reader(each.text), places[each.label]) for each in examples]

    def epoch(self, generator: random.Random) -> LabelledEpoch:
        return LabelledEpoch(self.train, self.config.batch_size, generator)

    def loss(self, batch: LabelledBatch, carried: Carried) -> BatchLoss:
        with self.numbers():
            mean = self.model.loss(*(part.to(self.device) for part in batch))
        return BatchLoss(mean, len(batch.labels))

    def evaluate(self) -> Evaluation | None:
        if not self.examples.parts.validation:
            return None
        loss, matrix = self.tested(self.examples.parts.validation)
        figures = {
            "held_out_loss": loss,
            "held_out_perplexity": perplexity(loss),
            "accuracy": accuracy(matrix),
            "macro_f1": macro_f1(matrix),
        }
        return Evaluation(loss, figures)

    def tested(self, examples: Sequence[Example]) -> tuple[float, Tensor]:
        """The mean loss of examples, and their confusion matrix (C, C)."""
        numbered, classes = self.numbered(examples), len(self.examples.labels)
        total, matrix = 0.0, torch.zeros(classes, classes, dtype=torch.long)
        with evaluating(self.model), torch.inference_mode(), self.numbers():
            for start in range(0, len(numbered), EXAMPLES_AT_A_TIME):
                batch = labelled_batch(numbered[start : start + EXAMPLES_AT_A_TIME])
                scores = self.model(batch.tokens.to(self.device), batch.lengths.to(self.device)).cpu()
                total += float(F.cross_entropy(scores.float(), batch.labels, reduction="sum"))
                matrix += confusion(scores.argmax(1), batch.labels, classes)
        return total / len(numbered), matrix

    def described(self) -> dict[str, Any]:
        parts = zip(Parts._fields, map(len, self.examples.parts), strict=True)
        return {"tokens": self.examples.reader.kind, "labels": self.examples.labels, "examples": dict(parts)}

    def files(self) -> dict[str, bytes]:
        return super().files() | {"vocab.json": (self.examples.reader.vocab.to_json() + "\n").encode()}


@dataclass(frozen=True)
class LoadedClassifier:
    """A trained classifier, and what is needed to use it."""

    config: ClassifierOptions
    model: Classifier
    reader: Reader
    labels: list[str]


def load_classifier(
    folder: Path, device: torch.device, *, cell: str | None = None, best: bool = False
) -> LoadedClassifier:
    """Read a classifier back from its run folder; arguments and errors are those of `load_run`."""
    files = RunFiles(folder, CLASSIFIER)
    with files.complete():
        config = readable(ClassifierOptions.from_json(files.described["options"]))
        labels = files.described["labels"]
        reader = Reader(Vocab.from_json(files.text("vocab.json")), files.described["tokens"], config.longest)
        cell_file = files.cell_file(config.cell, files.described["cell_file"], cell)
        model = build_classifier(config, reader.vocab, len(labels), device, cell_file)
        load_weights(model, files.weights(best=best))
    return LoadedClassifier(config, model.eval(), reader, labels)
