"""Train on Tiny Shakespeare and say how well the result predicts the part that nobody looked at.

python scripts/shakespeare.py                     80 seconds
python scripts/shakespeare.py --minutes 4 --num-hiddens 256 --dropout 0.2 --lr 0.012 --matmul-precision medium
python scripts/shakespeare.py --minutes 60 --num-hiddens 512 --dropout 0.5 --lr 0.005 --matmul-precision medium

The split is nanoGPT's: the first 90 % of the text to train on, the rest to test on, once, when the run ends. The last
part of the 90 % is kept from training, and chooses which parameters are tested. All options of train.py may be given.
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("shakespeare")
