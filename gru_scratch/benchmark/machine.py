"""The machine that measured, and what ran on it."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from gru_scratch.training.hardware import machine_bytes, threads_at_hand

TIMED = ("cpu", "cuda")
"""Devices whose work we can time."""

BUSY = 0.5
"""From this load per core on, averaged over the minute before the start, other programs disturb a measurement."""


def describe_machine(device: torch.device) -> dict[str, Any]:
    """What a reader needs to judge the figures, as JSON holds it."""
    described: dict[str, Any] = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": threads_at_hand(),
        "threads": torch.get_num_threads(),
        "memory_bytes": machine_bytes(),
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


def like_with_like() -> None:
    """Full float32 everywhere: cuDNN would round to TF32 where our products do not."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def load() -> float | None:
    """How many programs ran at once, on average over the last minute; None where the system does not tell."""
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


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
