"""`python -m gru_scratch`, which is the command `gru-scratch`."""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main()
