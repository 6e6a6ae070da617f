"""What this machine has: its memory, processors for this process, and the devices that PyTorch computes on."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CGROUP = Path("/sys/fs/cgroup")


def machine_bytes() -> int | None:
    """All the memory of this machine; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def check_memory(what: str, needed: int) -> None:
    """ValueError, with both figures, if `what` needs more bytes at the least than this machine has."""
    there = machine_bytes()
    if there is not None and needed > there:
        figures = f"{needed / 2**30:,.1f} GiB of memory, and this machine has {there / 2**30:,.1f}"
        raise ValueError(f"{what} needs at least {figures}")


def threads_at_hand(cgroup: Path = CGROUP) -> int:
    """The processors that this process may use: by its affinity, and by the quota of its control group."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, count if quota is None else min(count, int(quota)))


def _quota(cgroup: Path) -> float | None:
    """Processors that a control group, of the second version or the first, lets its processes have; None: any."""
    try:
        most, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            most = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    return None if most in ("max", "-1") else int(most) / int(period)


def pick_device(name: str, allowed: Sequence[str] = ("auto", "cpu", "cuda", "mps")) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one, else the CPU.

    Raises ValueError if it is not here, or of no kind that is `allowed`.
    """
    import torch  # which help can do without

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    form = re.fullmatch("(auto|cpu|mps)|(cuda)(:[0-9]+)?", name)
    if form is None or (form[1] or form[2]) not in allowed:
        *names, last = (form for kind in allowed for form in (("cuda", "cuda:N") if kind == "cuda" else (kind,)))
        raise ValueError(f"device must be {', '.join(names)} or {last}, received {name!r}")
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    device = torch.device(name)
    present = {"cpu": True, "cuda": (device.index or 0) < gpus, "mps": torch.backends.mps.is_available()}
    if not present[device.type]:
        raise ValueError(f"device {name!r} is not here: PyTorch sees {gpus} CUDA devices on this machine")
    return device
