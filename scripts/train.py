"""Train a character model, and keep it in a run folder.

python scripts/train.py --cell gru
python scripts/train.py --resume runs/gru-fused --epochs 1000
torchrun --nproc-per-node=2 scripts/train.py --text book.txt --max-tokens -1
"""

from __future__ import annotations

import sys

from _command import run_command
from _session import parse, train


def main() -> int:
    return train(*parse(sys.argv[1:]))


if __name__ == "__main__":
    run_command(main)
