"""Write a page that shows what the gates of a trained model do on a text.

python scripts/explore.py runs/gru
python scripts/explore.py runs/gru --text "time traveller for so it will be convenient to speak of him"
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("explore")
