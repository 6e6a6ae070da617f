"""Peak memory of an action: what it holds at most, beyond what was there before."""

from __future__ import annotations

import os
from collections.abc import Callable

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
    events = profiler.profiler.kineto_results.events()
    on_cpu = (event for event in events if event.name() == "[memory]" and event.device_type().name == "CPU")
    return _peak(sorted((event.start_ns(), event.nbytes()) for event in on_cpu))


def _peak(allocations: list[tuple[int, int]]) -> int:
    """From (when, bytes) of each; bytes are negative where memory is given back."""
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
