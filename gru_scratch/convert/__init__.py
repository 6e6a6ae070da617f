"""Parameters between the conventions of `scratch/`, `torch.nn`, Keras and ONNX.

The layers of `torch.nn` and of this package share one convention, the names of their `state_dict`. Each other
convention has two functions; the one that reads returns what `layer.load_state_dict` takes, and raises ValueError, with
the reason, for parameters from which the layer would compute something else:

    to_scratch(model)           from_scratch(model, params)         the lists of `scratch/`
    to_torch(layer)             from_torch(layer, source)           layers of `torch.nn`
    to_keras(layer)             from_keras(layer, arrays)           `get_weights()` and `set_weights()`
    to_onnx(layer)              from_onnx(layer, nodes)             inputs and attributes of RNN, GRU and LSTM

and `to_torch_model(model)` replaces every layer of a model, for tools that look for `nn.GRU` and the others by type.

What the conventions differ in:

                    gates of a GRU      of an LSTM          matrices            biases
    scratch         z, r, n             i, f, o, g          one a gate, x @ W   one
    torch.nn        r, z, n             i, f, g, o          stacked, W @ x      two
    Keras           z, r, n             i, f, g, o          stacked, x @ W      one; two if it resets after
    ONNX            z, r, n             i, o, f, g          stacked, W @ x      two

and in where a GRU's reset gate acts: in the book's and in ONNX's default before the candidate's recurrent product, in
`torch.nn` and Keras' default after it. No choice of parameters makes the two equal. In all of them an update gate of 1
keeps the old state; `negate_update_gate` is for texts and programs in which 1 replaces it.
"""

from gru_scratch.convert.keras import from_keras, to_keras
from gru_scratch.convert.onnx import OnnxNode, from_onnx, to_onnx
from gru_scratch.convert.scratch import from_scratch, scratch_to_torch, to_scratch, torch_to_scratch
from gru_scratch.convert.torch_model import to_torch_model
from gru_scratch.convert.torch_nn import from_torch, negate_update_gate, to_torch

__all__ = [
    "OnnxNode",
    "from_keras",
    "from_onnx",
    "from_scratch",
    "from_torch",
    "negate_update_gate",
    "scratch_to_torch",
    "to_keras",
    "to_onnx",
    "to_scratch",
    "to_torch",
    "to_torch_model",
    "torch_to_scratch",
]
