"""Write the model of a run as one file that needs no gru_scratch: a C program, ONNX, or parameters for torch.nn.

python scripts/export.py runs/gru --to c
python scripts/export.py runs/gru-builtin --to torch --out gru.safetensors
"""

from gru_scratch.cli.entry import main

if __name__ == "__main__":
    main("export")
