"""Write the model of a run as a file that needs no gru_scratch: C, ONNX, or parameters for torch.nn."""

from __future__ import annotations

import torch

from gru_scratch.cli.arguments import ExportArguments
from gru_scratch.export.c_file import c_source
from gru_scratch.export.torch_files import loading_lines, onnx_file, torch_file
from gru_scratch.models.language import RNNModel
from gru_scratch.text.files import write_atomically
from gru_scratch.training.folder import load_run

FILES = {"c": "model.c", "onnx": "model.onnx", "torch": "torch.safetensors"}
"""What the file in the run folder is called."""


def main(given: ExportArguments) -> int:
    run = load_run(given.run, torch.device("cpu"), cell=given.cell, engine="fused", best=given.best)
    out = given.run / FILES[given.to] if given.out is None else given.out
    assert isinstance(run.model, RNNModel)
    if given.to == "c":
        title = f"{run.config.cell_name}, {run.config.num_layers} x {run.config.num_hiddens} units"
        text = c_source(run.model, run.vocab, kind=run.config.tokens, cleaning=run.cleaning, title=title)
        write_atomically(out, text.encode())
        print(f'{out}: cc {out} -O3 -lm && ./a.out "time traveller" 200')
    elif given.to == "onnx":
        write_atomically(out, onnx_file(run.model, run.vocab))
        print(f"{out}: tokens (batch, steps) and states in, scores (steps * batch, {len(run.vocab)}) and states out")
    else:
        write_atomically(out, torch_file(run.model))
        print(loading_lines(run.model, str(out)))
    if given.to != "c" and run.model.reset_at is not None:
        token = run.vocab.to_tokens(run.model.reset_at)
        print(f"# clear the state before each token {run.model.reset_at}, {token!r}: neither file nor layer does it")
    return 0
