"""Say which class sentences are of, with a trained classifier.

python scripts/classify.py runs/classifier --text "the time traveller"
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("classify")
