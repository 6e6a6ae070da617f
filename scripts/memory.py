"""How far back does a cell remember? Accuracy against length for several cells, under the same budget.

python scripts/memory.py --quick
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("memory")
