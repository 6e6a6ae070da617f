"""The machine that measured, and what ran on it."""

from __future__ import annotations

import os
import platform
import re
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

BUSY = 0.5
"""From this load a core on, before we start, other programs disturb a measurement."""


def describe_machine(device: torch.device) -> dict[str, Any]:
    """What a reader needs to judge the figures, as JSON holds it."""
    described: dict[str, Any] = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "memory_bytes": _memory(),
        "load_before": load(),
        "device": str(device),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "gru_scratch": _version("gru_scratch"),
        },
        "libraries": {
            "mkl": torch.backends.mkl.is_available(),  # type: ignore[no-untyped-call]
            "onednn": torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
            "openmp": torch.backends.openmp.is_available(),  # type: ignore[no-untyped-call]
        },
    }
    if device.type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
        described["versions"] |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}  # type: ignore[no-untyped-call]
    return described


def pick_device(name: str) -> torch.device:
    """A device whose work we can time. ValueError for any other, or one that is not here."""
    if not re.fullmatch("cpu|cuda(:[0-9]+)?", name):
        raise ValueError(f"device must be cpu, cuda or cuda:N, received {name!r}")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name != "cpu" and int(name.partition(":")[2] or 0) >= gpus:
        raise ValueError(f"device {name!r} is not here: PyTorch sees {gpus} CUDA devices on this machine")
    return torch.device(name)


def like_with_like() -> None:
    """Full float32 everywhere: cuDNN would round to TF32 where our products do not."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> float | None:
    """Programs that ran at a time, on average over the last minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def is_busy(described: dict[str, Any]) -> bool:
    """Whether other programs were running when the measurement began."""
    return described["load_before"] is not None and described["load_before"] > BUSY * described["cores"]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    names = ("SC_PAGE_SIZE", "SC_PHYS_PAGES")
    if not (hasattr(os, "sysconf") and all(name in os.sysconf_names for name in names)):
        return None
    page, pages = (os.sysconf(name) for name in names)
    return page * pages


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
