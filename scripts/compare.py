"""Compare scratch with built-in: time, memory and values of a training step.

python scripts/compare.py
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("compare")
