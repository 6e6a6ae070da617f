"""Say which class sentences are of, with a trained classifier."""

from __future__ import annotations

import torch

from gru_scratch.cli.arguments import ClassifyArguments
from gru_scratch.cli.given import given_sentences
from gru_scratch.generate.explanation import Explained, explanation_page
from gru_scratch.text.files import write_atomically
from gru_scratch.training.classification_task import LoadedClassifier, load_classifier
from gru_scratch.training.hardware import pick_device


def main(given: ClassifyArguments) -> int:
    device = pick_device(given.device)
    run = load_classifier(given.run, device, cell=given.cell)
    explained = [explain(run, sentence, device) for sentence in given_sentences(given.text, given.file)]
    if given.explain is not None:
        title = f"What {given.run.name} reads in a text"
        write_atomically(given.explain, explanation_page(explained, title).encode())
    return 0


def explain(run: LoadedClassifier, sentence: str, device: torch.device) -> Explained:
    """Print a line of labels with their probabilities, the likeliest first, and say what moved the decision."""
    tokens = torch.tensor([run.reader(sentence)], device=device)
    lengths = torch.tensor([tokens.shape[1]], device=device)
    with torch.inference_mode():
        p = run.model(tokens, lengths)[0].softmax(0)
    order = p.argsort(descending=True).tolist()
    print("  ".join(f"{run.labels[i]} {float(p[i]):.4f}" for i in order), flush=True)
    influence = run.model.influence(tokens, lengths, torch.tensor(order[:1], device=device))[0]
    joint = " " if run.reader.kind == "word" else ""
    return Explained(run.reader.tokens(sentence), joint, run.labels[order[0]], float(p[order[0]]), influence.cpu())
