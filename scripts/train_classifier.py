"""Train a classifier of sentences, and keep it in a run folder.

python scripts/train_classifier.py
python scripts/train_classifier.py --class wells=timemachine.txt --class shakespeare=tinyshakespeare.txt
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("train-classifier")
