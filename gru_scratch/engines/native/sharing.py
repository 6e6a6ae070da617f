"""Rows of a batch shared out among threads, each of which takes its own through all steps.

The threads are those that PyTorch itself works with: for some milliseconds after an operator these still spin, and
threads beside them would wait for a core. Where they are out of reach, each call starts threads of its own.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from gru_scratch.engines.torch_private import openmp

WORTH_SHARING = 2**20
"""So many multiplications are some ten microseconds' work."""

ROWS_OF_A_TILE = 6
"""Fewer rows take as long as so many, since the weights must be read for them all the same."""

WORTH_MEETING = 2**15
"""So many in a step, and threads that share its units need not wait longer than they work."""

_Number, _Pointer = ctypes.c_int64, ctypes.c_void_p


class Meeting(ctypes.Structure):
    """``Meeting`` of the header ``share.h``."""

    _fields_ = tuple((name, _Number) for name in ("threads", "arrived", "round", "late", "alone"))


class Job(ctypes.Structure):
    """``Job`` of the header ``share.h``."""

    _fields_ = (
        ("work", _Pointer),
        ("layers", ctypes.POINTER(_Pointer)),
        ("rows", _Number),
        ("parts", _Number),
        ("how", _Number),
        ("thread", _Pointer),
        ("threads", _Pointer),
        ("meeting", Meeting),
    )


def thread_count(rows: int, steps: int, multiplications: int) -> int:
    """How many threads share some work: as many as PyTorch would use, where there is enough of it.

    More threads than rows share the units, and meet after each step.

    Args:
        multiplications: of one row in one step.
    """
    work = max(rows, ROWS_OF_A_TILE) * steps * multiplications
    count = min(torch.get_num_threads(), work // WORTH_SHARING)
    together = count if rows * multiplications >= WORTH_MEETING else rows
    return max(1, min(count, max(rows, together)))


def run(code: ctypes.CDLL, name: str, layers: Sequence[Any], how: int = 0) -> bool:
    """Call compiled code on equal parts of the rows or units, at the same time: a part for each of the layers.

    Returns:
        Whether a thread kept others waiting that share units with it, as one does that has no core of its own.

    Args:
        name: of a function ``(layer, first row, end of rows, how)``.
        layers: that of each thread; several times the same where the threads need nothing of their own.
    """
    work, rows = getattr(code, name), layers[0].rows
    if len(layers) == 1:
        work(layers[0], 0, rows, how)
        return False
    names = None if _forked else openmp()
    if names is None:
        parts = min(len(layers), rows)
        ends = [rows * k // parts for k in range(parts + 1)]
        _run_on_new_threads([partial(work, layers[k], ends[k], ends[k + 1], how) for k in range(parts)])
        return False
    parallel, *numbers = names
    pointers = (_Pointer * len(layers))(*(ctypes.addressof(layer) for layer in layers))
    job = Job(ctypes.cast(work, _Pointer), pointers, rows, len(layers), how, *numbers)
    code.share(ctypes.byref(job), parallel)
    return bool(job.meeting.late)


def _run_on_new_threads(calls: Sequence[Callable[[], object]]) -> None:
    others = [threading.Thread(target=call) for call in calls[1:]]
    for thread in others:
        thread.start()
    calls[0]()
    for thread in others:
        thread.join()


_forked = False


def _note_fork() -> None:
    """OpenMP's threads are their parent's alone."""
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
