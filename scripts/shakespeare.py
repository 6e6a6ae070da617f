"""Train on Tiny Shakespeare and say how well the result predicts the part that nobody looked at.

python scripts/shakespeare.py                     80 seconds
python scripts/shakespeare.py --minutes 4 --num-hiddens 256 --dropout 0.2 --lr 0.012 --matmul-precision medium
python scripts/shakespeare.py --minutes 60 --num-hiddens 512 --dropout 0.5 --lr 0.005 --matmul-precision medium

The split is nanoGPT's: the first 90 % of the text to train on, the rest to test on, once, when the run ends. The last
part of the 90 % is kept from training, and chooses which parameters are tested. All options of train.py may be given.
"""

from __future__ import annotations

import sys

from _command import run_command
from _session import parse, train

from gru_scratch.text.corpus import find_tiny_shakespeare
from gru_scratch.training.config import TrainConfig


def main() -> int:
    preset = TrainConfig(
        cell="gru",
        reset_after=True,
        text=None if "--text" in sys.argv or "--help" in sys.argv else find_tiny_shakespeare(),
        max_tokens=-1,
        val_fraction=0.02,
        test_fraction=0.1,
        batch_size=32,
        num_steps=64,
        num_hiddens=192,
        num_layers=2,
        dropout=0.05,
        init="orthogonal",
        forget_bias=1.0,
        optimizer="adamw",
        lr=0.03,
        weight_decay=0.1,
        schedule="cosine",
        min_lr=0.0,
        warmup=50,
        minutes=80 / 60,
        eval_every=300,
        keep="best",
    )
    return train(*parse(sys.argv[1:], preset))


if __name__ == "__main__":
    run_command(main)
