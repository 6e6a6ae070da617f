"""Forecast a series with recurrent networks, and see whether they beat a linear model.

python scripts/forecast.py --quick
python scripts/forecast.py --csv prices.csv --column close
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("forecast")
