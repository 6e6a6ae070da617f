"""How far back a cell remembers: accuracy against length, for every cell under the same budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from gru_scratch.cells import Cell, resolve_cell
from gru_scratch.layers import Recurrent
from gru_scratch.layers.initial import initialise_layer
from gru_scratch.studies.memory.memory_options import PRESETS, MemoryOptions
from gru_scratch.studies.memory.tasks import TASKS, Task
from gru_scratch.training.hardware import check_memory

CHECK_EVERY = 20
"""Updates between two looks at whether a run has solved its task."""
SOLVED = 0.995
"""A run stops before its budget is spent when its accuracy is at least this in three looks in a row."""
TEST_SEQUENCES = 512
LEAST_SEED_TOO_LARGE = 2**61
"""A run takes three seeds of PyTorch, which are below 2**63."""


@dataclass(frozen=True)
class Span:
    """How one cell did at one length, from one seed."""

    task: str
    cell: str
    length: int
    seed: int
    accuracy: float
    """On sequences that training has not seen."""
    loss: float
    """Likewise."""
    updates: int
    """Until it was solved, or the budget was spent."""
    solved: bool
    parameters: int
    seconds: float
    """Of processor time, so that other programs do not count."""


class AnsweringModel(nn.Module):
    """A recurrent layer, and one linear layer that reads its last ``num_answers`` outputs."""

    def __init__(self, cell: type[Cell], task: Task, num_hiddens: int) -> None:
        super().__init__()
        self.layer = Recurrent(cell, task.input_size, num_hiddens)
        self.head = nn.Linear(num_hiddens, task.output_size)
        self.num_answers = task.num_answers

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (T, B) or (T, B, D) → (A, B, output_size)."""
        outputs, _ = self.layer(inputs)
        scores: Tensor = self.head(outputs[-self.num_answers :])
        return scores


def measure_span(
    task_name: str,
    cell_name: str,
    length: int,
    seed: int,
    options: MemoryOptions,
    progress: Callable[[int], object] = lambda updates: None,
) -> Span:
    """Train one model on fresh sequences of one length, by Adam, and test it on others of that length.

    The seed sets the initial parameters and the sequences; the sequences to look at during training and to test on are
    drawn from generators of their own. ``progress`` is called with the number of updates done since its last call; what
    an early stop saves is reported as done.

    Raises:
        ValueError, FileNotFoundError: an unknown task or cell, or a length that is too short.
    """
    check_study(task_name, [cell_name], [length], [seed])
    check_length(length, options)
    task = TASKS[task_name]
    start = time.process_time()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AnsweringModel(resolve_cell(cell_name), task, options.num_hiddens)
        initialise_layer(model.layer, options.weights, options.gate_bias, length)
    optimiser = torch.optim.Adam(model.parameters(), options.lr)
    train, look, test = (torch.Generator().manual_seed(3 * seed + k) for k in range(3))
    budget = PRESETS[task_name].updates if options.updates is None else options.updates
    done, in_a_row = 0, 0
    while done < budget and in_a_row < 3:
        count = min(CHECK_EVERY, budget - done)
        for _ in range(count):
            _update(model, optimiser, task, task.draw(length, options.batch_size, train), options.clip)
        done += count
        progress(count)
        accuracy, _ = _test(model, task, task.draw(length, options.batch_size, look))
        in_a_row = in_a_row + 1 if accuracy >= SOLVED else 0
    progress(budget - done)
    accuracy, loss = _test(model, task, task.draw(length, TEST_SEQUENCES, test))
    parameters = sum(p.numel() for p in model.parameters())
    seconds = time.process_time() - start
    return Span(task_name, cell_name, length, seed, accuracy, loss, done, in_a_row >= 3, parameters, seconds)


def measure_spans(
    task: str,
    cells: tuple[str, ...],
    lengths: tuple[int, ...],
    seeds: Sequence[int],
    options: MemoryOptions,
    progress: Callable[[int], object] = lambda updates: None,
) -> Iterator[Span]:
    """:func:`measure_span` for every length, cell and seed; the short lengths first."""
    check_study(task, cells, lengths, seeds)
    for length in sorted(set(lengths)):
        for cell in dict.fromkeys(cells):
            for seed in seeds:
                yield measure_span(task, cell, length, seed, options, progress)


@dataclass(frozen=True)
class SpanSummary:
    """One cell at one length, over the seeds."""

    cell: str
    length: int
    seeds: int
    lowest: float
    median: float
    highest: float
    solved: int
    """Seeds whose run was solved within the budget."""
    updates: float
    """Median of the updates they took."""


def summarise(spans: list[Span]) -> list[SpanSummary]:
    """The runs of one task, by cell and length, in the order in which they first come."""
    groups: dict[tuple[str, int], list[Span]] = {}
    for span in spans:
        groups.setdefault((span.cell, span.length), []).append(span)
    found = []
    for (cell, length), runs in groups.items():
        accuracies = sorted(run.accuracy for run in runs)
        solved = sum(run.solved for run in runs)
        updates = median(run.updates for run in runs)
        found.append(
            SpanSummary(cell, length, len(runs), accuracies[0], median(accuracies), accuracies[-1], solved, updates)
        )
    return found


def check_study(task: str, cells: Sequence[str], lengths: Sequence[int], seeds: Sequence[int]) -> None:
    """Raise ValueError or FileNotFoundError, in one sentence, for the first thing that cannot be studied."""
    if task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, received {task!r}")
    least = TASKS[task].least_length
    if not lengths or min(lengths) < least:
        raise ValueError(f"lengths must be at least {least} for the task {task}, received {list(lengths)}")
    if not cells:
        raise ValueError("expected at least one cell, received none")
    for cell in cells:
        resolve_cell(cell)
    if not seeds or min(seeds) < 0:
        raise ValueError(f"expected at least one seed, none below 0, received {list(seeds)}")
    if max(seeds) >= LEAST_SEED_TOO_LARGE:
        raise ValueError(f"seeds must be below 2**61, received {max(seeds)}")


def check_length(length: int, options: MemoryOptions) -> None:
    """Raise ValueError where the states of sequences of this length are more than this machine's memory holds."""
    sequences = max(options.batch_size, TEST_SEQUENCES)
    what = f"a study of {options.num_hiddens:,} units on {sequences:,} sequences of {length:,} steps"
    check_memory(what, 4 * sequences * length * options.num_hiddens)


def _update(
    model: AnsweringModel, optimiser: torch.optim.Optimizer, task: Task, batch: tuple[Tensor, Tensor], clip: float
) -> None:
    optimiser.zero_grad()
    task.loss(model(batch[0]), batch[1]).backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimiser.step()


@torch.no_grad()
def _test(model: AnsweringModel, task: Task, batch: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Accuracy and loss."""
    outputs = model(batch[0])
    return task.accuracy(outputs, batch[1]), float(task.loss(outputs, batch[1]))
