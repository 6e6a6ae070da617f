"""Scores of translations and labels: BLEU and exact matches, accuracy, macro-F1 and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def bleu(translations: Sequence[str], references: Sequence[Sequence[str]], kind: str = "word") -> float:
    """BLEU of all translations together, from 0 to 100, as sacrebleu computes it (Post, 2018, arXiv:1804.08771).

    Args:
        references: one or more for each translation.
        kind: the tokens that are counted: "word", by sacrebleu's tokenizer 13a, or "char".
    """
    from sacrebleu import corpus_bleu

    most = max(len(each) for each in references)
    streams = [[each[i] if i < len(each) else None for each in references] for i in range(most)]
    return corpus_bleu(translations, streams, tokenize="char" if kind == "char" else "13a").score  # type: ignore[arg-type]


def exact_match(translations: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The share of translations that are one of their references."""
    return sum(said in each for said, each in zip(translations, references, strict=True)) / len(translations)


def confusion(said: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """The confusion matrix (C, C): how often an example of a row's class was assigned the column's class."""
    return torch.bincount(labels * num_classes + said, minlength=num_classes**2).view(num_classes, num_classes)


def accuracy(matrix: Tensor) -> float:
    """The share of examples that were assigned their own class, from their confusion matrix."""
    return float(matrix.diagonal().sum() / matrix.sum())


def macro_f1(matrix: Tensor) -> float:
    """The mean over the classes of F1 = 2 TP / (2 TP + FP + FN); 0 for a class that neither occurs nor is assigned."""
    right = matrix.diagonal().double()
    return float((2 * right / (matrix.sum(0) + matrix.sum(1)).clamp(min=1)).mean())
