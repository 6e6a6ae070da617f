"""The lines that a run of training prints: its header and its result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from gru_scratch.training.build import count_parameters
from gru_scratch.training.sentence_task import SentenceTask
from gru_scratch.training.state import Record
from gru_scratch.training.text_task import TextTask
from gru_scratch.training.translation_task import Score

BANDS = 10
NOUNS = {"char": "characters", "word": "words", "byte": "bytes"}


def print_header(task: TextTask) -> None:
    config, text = task.config, task.text
    gate = {True: ", reset gate after the product", False: ", reset gate before the product", None: ""}
    layers = f", {config.num_layers} layers" if config.num_layers > 1 else ""
    held_out = f"{len(text.held_out):,} {NOUNS[text.kind]}, " if len(text.held_out) else ""
    noun = NOUNS[text.kind]
    print(f"text        {text.source.name}, {text.num_tokens:,} {noun}; trained on the first {len(text.train):,}")
    print(f"held out    {held_out}{text.held_out_label}")
    print(f"vocabulary  {len(text.vocab)}")
    print(f"model       {config.cell}{layers}, {engine_line(task)}{gate[config.resets_after]}")
    if task.cell_file is not None:
        print("checked     shapes, rows and units of the cell apart, its gradients, engines against each other")
    print(f"parameters  {count_parameters(task.model):,}")
    print(f"device      {device_line(task.device)}")


def print_lines(lines: Mapping[str, str]) -> None:
    """Names in a column, what they stand for beside them."""
    for name, value in lines.items():
        print(f"{name:<12}{value}")


def print_machine(task: SentenceTask, model_kind: str) -> None:
    """The lines on the model of a run on sentences, and on the device that it is on."""
    config = task.config
    layers = f", {config.num_layers} layers" if config.num_layers > 1 else ""
    directions = ", two directions" if config.bidirectional else ""
    print_lines(
        {
            "model": f"{config.cell}{layers}{directions}, {model_kind}, {engine_line(task)}",
            "parameters": f"{count_parameters(task.model):,}",
            "device": device_line(task.device),
        }
    )


def engine_line(task: TextTask | SentenceTask) -> str:
    """The engine that runs, and what was asked for where that is another name."""
    asked = "" if task.engine == task.config.engine else f" (asked: {task.config.engine})"
    return f"engine {task.engine}{asked}"


def device_line(device: torch.device) -> str:
    """The device, the threads, and how exact products are, where they are not exact."""
    threads = torch.get_num_threads()
    precision = torch.get_float32_matmul_precision()
    products = "" if precision == "highest" else f", products of precision {precision}"
    return f"{device}, {threads} thread{'s' if threads > 1 else ''}{products}"


def score_lines(score: Score, kind: str) -> list[str]:
    """BLEU and exact match, and the latter by the length of sources, of which there are at most `BANDS` bands."""
    exact = f"exact match {score.exact_match:.2%} of {score.sentences:,} sentences"
    lines = [f"BLEU {score.bleu:.2f}, {exact}, by the {NOUNS[kind]} of the source:"]
    width = math.ceil(max(score.by_length) / BANDS)
    for first in range(1, max(score.by_length) + 1, width):
        inside = [counts for length, counts in score.by_length.items() if first <= length < first + width]
        if inside:
            count, right = map(sum, zip(*inside, strict=True))
            band = f"{first}" if width == 1 else f"{first}-{first + width - 1}"
            lines.append(f"{band:>9}  {right / count:7.2%} of {count:,}")
    return lines


def print_result(history: Sequence[Record], device: torch.device) -> None:
    """Print perplexities in training and of held-out text, and gradient flow where it was measured."""
    if not history:
        return
    last = history[-1]
    print(f"training perplexity {number(last['train_perplexity'])}, {speed(*history)} on {device}")
    tested = [record for record in history if "held_out_loss" in record]
    if tested:
        end, best = tested[-1], min(tested, key=lambda record: float(record["held_out_loss"]))
        lowest = f"lowest {number(best['held_out_perplexity'])} after epoch {best['epoch']:.4g}"
        print(f"held-out perplexity {number(end['held_out_perplexity'])} after epoch {end['epoch']:.4g}, {lowest}")
    for layer in last.get("gradient_flow", ()):
        print(f"gradient flow of layer {layer['layer']}: {flow_line(layer['flow']['lags'], layer['flow']['norms'])}")


def flow_line(lags: Sequence[int], norms: Sequence[float | None]) -> str:
    """The norm of d(last state)/d(state k before) near k = 10 and 100, and at the longest k; None is infinity."""
    places = dict.fromkeys(min(lags, key=lambda lag: abs(lag - k)) for k in (10, 100, lags[-1]))
    found = {k: norms[lags.index(k)] for k in places}
    return ", ".join(f"{'infinite' if x is None else f'{x:.1e}'} at k = {k}" for k, x in found.items())


def speed(*records: Record) -> str:
    """Tokens per second of training alone: the held-out text is read outside these seconds."""
    return (
        f"{sum(record['tokens'] for record in records) / sum(record['seconds'] for record in records):.1f} tokens/sec"
    )


def number(perplexity: float | None) -> str:
    return "infinite" if perplexity is None else f"{perplexity:.3f}"
