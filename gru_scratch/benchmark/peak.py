"""Peak memory of an action: what it holds at most, beyond what was there before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def peak_memory(action: Callable[[], object], device: torch.device) -> int:
    """Bytes that `action` holds at its peak, from the allocations of one run, which is slow: never time it.

    On a CPU the profiler sees PyTorch's allocations, and those of no other library; on a CUDA device the allocator
    counts.
    """
    if device.type == "cuda":
        return _peak_of_allocator(action, device)
    os.environ.setdefault(
        "KINETO_LOG_LEVEL", "99"
    )  # the profiler reports its own progress on stderr, unless told not to
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        action()
    assert profiler.profiler is not None
    tree = profiler.profiler.kineto_results.experimental_event_tree()
    return _peak(sorted(_allocations(tree)))


def _allocations(events: Any) -> Iterator[tuple[int, int]]:
    """(when, bytes) of each; bytes are negative where memory is given back."""
    from torch._C._profiler import _EventType

    waiting = list(events)
    while waiting:
        event = waiting.pop()
        waiting.extend(event.children)
        if event.tag == _EventType.Allocation and event.extra_fields.device.type == "cpu":
            yield event.start_time_ns, event.extra_fields.alloc_size


def _peak(allocations: list[tuple[int, int]]) -> int:
    held = peak = 0
    for _, size in allocations:
        held += size
        peak = max(peak, held)
    return peak


def _peak_of_allocator(action: Callable[[], object], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    action()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
