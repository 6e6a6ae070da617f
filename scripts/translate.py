"""Translate sentences with a trained translator.

python scripts/translate.py runs/translator --text "twenty-one" --beam 5
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("translate")
