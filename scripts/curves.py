"""Draw the losses of several runs in one picture, against minutes, updates or epochs.

python scripts/curves.py runs/small runs/large
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("curves")
