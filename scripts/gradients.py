"""Do gradients vanish or explode? The derivative of the last state with respect to the state k steps before.

python scripts/gradients.py --quick
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("gradients")
