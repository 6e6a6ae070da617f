"""What PyTorch raises where it is not the program that is wrong, in a sentence."""

from __future__ import annotations

import re

import torch
import torch.distributed as dist

from gru_scratch.training.processes import Processes


def explain(error: RuntimeError | MemoryError, processes: Processes) -> str | None:
    """Memory that ran out, or another process that ended; None for any other error."""
    message = str(error).partition("\n")[0]
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in message:
        advice = "a smaller batch_size, num_steps or num_hiddens needs less, and so does a larger min_freq"
        return f"memory ran out ({message}): {advice}"
    if processes.count > 1 and (isinstance(error, dist.DistError) or "gloo" in message):
        reason = re.sub(r"^\[\S+\] ", "", message).partition(". ")[0]
        return f"process {processes.rank}: another process of this run has ended ({reason})"
    return None
