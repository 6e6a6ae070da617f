"""Models that leave the library: ONNX by both exporters, torch.nn by type, torch.export, and counted products."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
import torch
from support.layer_cases import as_hx, states_of
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gru_scratch import GRU, LSTM, RNN, LSTMCell, Recurrent
from gru_scratch.cells import LSTMEquations, MGUEquations, PeepholeLSTMEquations
from gru_scratch.convert import to_torch_model

D, H = 6, 8
pytestmark = pytest.mark.filterwarnings("ignore")  # the exporters warn of themselves

LAYERS = {
    "gru": lambda: GRU(D, H),
    "the book's gru, deep, both ways": lambda: GRU(D, H, 2, bidirectional=True, reset_after=False),
    "lstm without biases, deep, both ways": lambda: LSTM(D, H, 2, bidirectional=True, bias=False),
    "rnn of relu": lambda: RNN(D, H, nonlinearity="relu"),
    "peephole lstm": lambda: Recurrent(PeepholeLSTMEquations, D, H),
}


class Model(nn.Module):
    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.rnn = layer

    def forward(self, x: Tensor, hx: Any = None, lengths: Tensor | None = None) -> Any:
        return self.rnn(x, hx, lengths=lengths)


def graph_of(model: nn.Module, count: int, dynamo: bool) -> Any:
    """The ONNX model of a batch of any size and length, with states and lengths going in."""
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    rows = model.rnn.num_layers * (1 + model.rnn.bidirectional)
    hx = as_hx([torch.randn(rows, 3, H) for _ in range(count)])
    arguments = torch.randn(5, 3, D), hx, torch.tensor([2, 5, 0])
    if dynamo:
        batch, steps = torch.export.Dim("batch", min=1), torch.export.Dim("steps", min=1)
        of_state: Any = as_hx([{1: batch}] * count)
        sizes = {0: steps, 1: batch}, of_state, {0: batch}
        return torch.onnx.export(model, arguments, dynamo=True, dynamic_shapes=sizes, verbose=False).model_proto
    names = ["x", *"hc"[:count], "lengths"]
    axes = {"x": {0: "steps", 1: "batch"}, "h": {1: "batch"}, "c": {1: "batch"}, "lengths": {0: "batch"}}
    file = io.BytesIO()
    axes = {name: axes[name] for name in names}
    torch.onnx.export(model, arguments, file, dynamo=False, input_names=names, dynamic_axes=axes)
    return onnx.load_from_string(file.getvalue())


QUICK = [("the book's gru, deep, both ways", True), *((name, False) for name in LAYERS)]
LONG = [(name, True) for name in LAYERS if (name, True) not in QUICK]


@pytest.mark.parametrize(
    ("name", "dynamo"), [*QUICK, *(pytest.param(*case, marks=pytest.mark.exhaustive) for case in LONG)]
)
def test_a_layer_is_onnx_own_operator(name: str, dynamo: bool) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    from onnx.reference import ReferenceEvaluator

    model = Model(LAYERS[name]()).eval()
    layer, count = model.rnn, len(model.rnn.cell.states._fields)
    graph = graph_of(model, count, dynamo)
    kinds = [node.op_type for node in graph.graph.node if node.op_type in ("GRU", "LSTM", "RNN")]
    assert len(kinds) == layer.num_layers
    session = runtime.InferenceSession(graph.SerializeToString())
    for lengths in ([7, 0, 3], [4, 4], [1]):
        steps, batch = max(lengths), len(lengths)
        states = [torch.randn(layer.num_layers * (1 + layer.bidirectional), batch, H) for _ in range(count)]
        inputs = [torch.randn(steps, batch, D), *states, torch.tensor(lengths)]
        feeds = {given.name: x.numpy() for given, x in zip(session.get_inputs(), inputs, strict=True)}
        with torch.no_grad():
            y, hx = model(inputs[0], as_hx(states), inputs[-1])
        runs = [session.run(None, feeds)]
        if min(lengths) == steps and "relu" not in name:  # the evaluator reads no sequence_lens, and knows no Relu here
            runs.append(ReferenceEvaluator(graph).run(None, feeds))
        for found in runs:
            for array, expected in zip(found, (y, *states_of(hx)), strict=True):
                torch.testing.assert_close(torch.as_tensor(array), expected, atol=1e-5, rtol=1e-5)


def test_what_onnx_has_not_is_refused_with_what_to_do() -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    x, file = torch.randn(4, 2, D), io.BytesIO()
    with pytest.raises(ValueError, match=r"MGUEquations\(\): export it with dynamo=True and a fixed length"):
        torch.onnx.export(Model(Recurrent(MGUEquations, D, H)), (x,), file, dynamo=False)
    with pytest.raises(ValueError, match="proj_size=3: export it"):
        torch.onnx.export(Model(LSTM(D, H, proj_size=3)), (x,), file, dynamo=False)
    packed = nn.utils.rnn.pack_sequence([x[:, 0], x[:, 1]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
        with pytest.raises(ValueError, match="the padded batch and lengths="):
            GRU(D, H)(packed)
        with pytest.raises(ValueError, match="no resets"):
            GRU(D, H)(x, resets=torch.zeros(4, 2, dtype=torch.bool))


def test_a_model_for_tools_that_look_at_the_type() -> None:
    parts = [GRU(D, H, 2, batch_first=True), Recurrent(LSTMEquations, D, H), LSTMCell(D, H), nn.Linear(H, 2)]
    model = nn.ModuleDict(dict(zip("abcd", parts, strict=True))).eval()
    twin = to_torch_model(model)
    assert [type(part) for part in twin.values()] == [nn.GRU, nn.LSTM, nn.LSTMCell, nn.Linear]
    assert [part.training for part in twin.values()] == [False] * 4
    assert type(model["a"]) is GRU
    x = torch.randn(3, 4, D)
    for name in "ab":
        torch.testing.assert_close(twin[name](x)[0], model[name](x)[0])
    torch.testing.assert_close(twin["c"](x[0])[0], model["c"](x[0])[0])
    assert twin.state_dict().keys() == model.state_dict().keys()
    assert not any(p is q for p, q in zip(twin.parameters(), model.parameters(), strict=True))


@pytest.mark.parametrize(
    "layer",
    [
        Recurrent(MGUEquations, D, H),
        GRU(D, H, reset_after=False),
        Recurrent(LSTMEquations, D, H, zoneout=0.1),
        LSTM(D, H, weight_dropout=0.1),
    ],
    ids=["cell", "reset before", "zoneout", "weight dropout"],
)
def test_a_layer_without_a_namesake_is_refused_by_name(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"body\.0 has no namesake in torch\.nn"):
        to_torch_model(nn.ModuleDict({"body": nn.Sequential(layer)}))


def test_a_program_of_one_length_needs_nothing_of_ours(tmp_path: Any) -> None:
    model, x = Model(LSTM(D, H, bidirectional=True)).eval(), torch.randn(4, 2, D)
    program = torch.export.export(model, (x,)).run_decompositions()
    assert "gru_scratch" not in str(program.graph)
    torch.testing.assert_close(program.module()(x)[0], model(x)[0])
    torch.export.save(program, tmp_path / "model.pt2")
    load = f"import torch; torch.export.load({str(tmp_path / 'model.pt2')!r}).module()(torch.ones(4, 2, {D}))"
    subprocess.run([sys.executable, "-c", load], check=True)


@pytest.mark.exhaustive
@pytest.mark.parametrize("fixed", [True, False], ids=["one length", "any length"])
def test_it_is_compiled_ahead_of_time(fixed: bool, tmp_path: Any) -> None:
    model, x = Model(GRU(D, H)).eval(), torch.randn(4, 2, D)
    sizes = None if fixed else ({0: torch.export.Dim("steps", min=2)},)
    with torch.no_grad():
        program = torch.export.export(model, (x,), dynamic_shapes=sizes)
        path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "model.pt2"))
        torch.testing.assert_close(torch._inductor.aoti_load_package(path)(x)[0], model(x)[0])
    ours = "" if fixed else "import gru_scratch.layers;"
    load = f"import torch; {ours} torch._inductor.aoti_load_package({path!r})(torch.ones(4, 2, {D}))"
    subprocess.run([sys.executable, "-c", load], check=True)


@pytest.mark.parametrize("make", [lambda: GRU(D, H), lambda: LSTM(D, H, 2, bidirectional=True)], ids=["gru", "lstm"])
def test_products_are_counted_forward_and_backward(make: Any) -> None:
    counts = []
    for engine in ("fused", "textbook"):
        layer = make()
        layer.engine = engine
        start = [torch.zeros(layer.num_layers * (1 + layer.bidirectional), 3, H, requires_grad=True)]
        hx = as_hx(start * len(layer.cell.states._fields))
        with FlopCounterMode(display=False) as forward:
            y = layer(torch.randn(5, 3, D, requires_grad=True), hx)[0]
        with FlopCounterMode(display=False) as backward:
            y.sum().backward()
        counts.append((forward.get_total_flops(), backward.get_total_flops()))
    assert counts[0] == counts[1]
    assert counts[0][1] == 2 * counts[0][0] > 0
