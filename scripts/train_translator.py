"""Train a translator, and keep it in a run folder.

python scripts/train_translator.py
python scripts/train_translator.py --resume runs/translator --epochs 40
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("train-translator")
