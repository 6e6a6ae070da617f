"""What every test room shares: the data folder and one seed a test."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Every test draws from the same seed, so that a failure repeats."""
    torch.manual_seed(0)
