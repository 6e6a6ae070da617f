"""Train a character model, and keep it in a run folder.

python scripts/train.py --cell gru
python scripts/train.py --resume runs/gru --epochs 1000
torchrun --nproc-per-node=2 scripts/train.py --text book.txt --max-tokens -1
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("train")
