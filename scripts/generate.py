"""Continue a prefix with a trained model.

python scripts/generate.py runs/gru --prefix "time traveller" --length 200
python scripts/generate.py runs/gru --temperature 0.8 --top-p 0.9 --n 3 --seed 1
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("generate")
