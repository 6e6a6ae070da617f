"""Say which class sentences are of, with a trained classifier."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from gru_scratch.cli.arguments import ClassifyArguments
from gru_scratch.cli.given import given_sentences
from gru_scratch.generate.explanation import Explained, explanation_page
from gru_scratch.text.files import write_atomically
from gru_scratch.training.classification_task import LoadedClassifier, load_classifier
from gru_scratch.training.hardware import pick_device


def main(given: ClassifyArguments) -> int:
    device = pick_device(given.device)
    run = load_classifier(given.run, device, cell=given.cell)
    sentences = given_sentences(given.text, given.file)
    if cut := sum(run.reader.left_out(sentence) > 0 for sentence in sentences):
        longer = f"{cut:,} text{'s are' if cut > 1 else ' is'} longer"
        print(f"note: the model reads {run.reader.longest:,} {run.reader.kind}s of a text; {longer}", file=sys.stderr)
    explained = []
    for sentence in sentences:
        p = probabilities(run, sentence, device)
        order = p.argsort(descending=True).tolist()
        print("  ".join(f"{run.labels[i]} {float(p[i]):.4f}" for i in order), flush=True)
        if given.explain is not None:
            explained.append(explain(run, sentence, order[0], float(p[order[0]]), device))
    if given.explain is not None:
        title = f"What {given.run.name} reads in a text"
        write_atomically(given.explain, explanation_page(explained, title).encode(errors="replace"))
    return 0


def probabilities(run: LoadedClassifier, sentence: str, device: torch.device) -> Tensor:
    """The probability of each label, (C,)."""
    with torch.inference_mode():
        return run.model(*one_text(run, sentence, device))[0].softmax(0)  # type: ignore[no-any-return]


def explain(run: LoadedClassifier, sentence: str, label: int, probability: float, device: torch.device) -> Explained:
    """What moved the decision for a label, token by token."""
    influence = run.model.influence(*one_text(run, sentence, device), torch.tensor([label], device=device))[0]
    return Explained(
        run.reader.tokens(sentence),
        " " if run.reader.kind == "word" else "",
        run.labels[label],
        probability,
        influence.cpu(),
        run.reader.left_out(sentence),
    )


def one_text(run: LoadedClassifier, sentence: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Its token indices (1, T), and its length (1,)."""
    tokens = torch.tensor([run.reader(sentence)], device=device)
    return tokens, torch.tensor([tokens.shape[1]], device=device)
