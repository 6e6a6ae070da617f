"""Which engine runs, and why; PyTorch's own kernel as one of them."""

from __future__ import annotations

import pytest
import torch
from support.one_layer import assert_close
from torch import nn

from gru_scratch import GRU, LSTM, RNN, Recurrent
from gru_scratch.cells import GRUEquations, LayerNormGRUEquations, LSTMEquations, MGUEquations, RNNEquations
from gru_scratch.engines import choice
from gru_scratch.engines.choice import Situation, choose
from gru_scratch.engines.native.compiler import CompilerError

CPU = Situation(torch.float32, "cpu", 8, projected=False, rounded=False)


@pytest.fixture
def no_compiler(monkeypatch):
    def refuse(cell, dtype):
        raise CompilerError("there is no C compiler here")

    monkeypatch.setattr(choice, "library_of", refuse)


@pytest.fixture
def compiler(monkeypatch):
    monkeypatch.setattr(choice, "library_of", lambda cell, dtype: None)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("cell", "changes", "engine", "reason"),
    [
        (MGUEquations(), {}, "native", "it is the fastest"),
        (GRUEquations(), {"dtype": torch.float64}, "native", "it is the fastest"),
        (GRUEquations(), {"dtype": torch.bfloat16}, "fused", "not in torch.bfloat16"),
        (GRUEquations(), {"device": "cuda"}, "builtin", "not on cuda"),
        (GRUEquations(False), {"device": "cuda"}, "fused", "not on cuda"),
        (LSTMEquations(), {"projected": True}, "fused", "no projected state"),
        (LayerNormGRUEquations(), {}, "fused", "mixes the units of a row"),
        (LSTMEquations(), {"rounded": True, "hidden_size": 512}, "builtin", "may round products"),
        (LSTMEquations(), {"rounded": True, "hidden_size": 256}, "native", "it is the fastest"),
    ],
)
def test_auto_takes_the_fastest_that_serves(cell, changes, engine, reason):
    found = choose("auto", cell, CPU._replace(**changes))
    assert found.engine == engine
    assert reason in found.reason


@pytest.mark.usefixtures("no_compiler")
@pytest.mark.parametrize(
    ("cell", "engine"),
    [
        (LSTMEquations(), "builtin"),
        (RNNEquations("relu"), "builtin"),
        (GRUEquations(), "fused"),
        (MGUEquations(), "fused"),
    ],
)
def test_without_a_compiler_another_engine_runs_and_the_log_says_why(cell, engine, caplog):
    choice._warn_once.cache_clear()
    for _ in range(2):
        found = choose("auto", cell, CPU)
        assert found.engine == engine
        assert "there is no C compiler here" in found.reason
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    ("make", "engine", "message"),
    [
        (lambda e: LSTM(3, 4, proj_size=2, engine=e), "native", "the native engine has no projected state"),
        (lambda e: Recurrent(LayerNormGRUEquations, 3, 4, engine=e), "native", "mixes the units of a row"),
        (lambda e: GRU(3, 4, reset_after=False, engine=e), "builtin", "torch.nn has no kernel for GRUEquations"),
        (lambda e: Recurrent(MGUEquations, 3, 4, engine=e), "builtin", "torch.nn has no kernel for MGUEquations"),
    ],
)
def test_an_engine_that_was_asked_for_and_cannot_run_is_an_error(make, engine, message):
    layer = make(engine)
    with pytest.raises(RuntimeError, match=f"engine '{engine}' cannot run this layer: .*{message}"):
        layer(torch.randn(5, 2, 3))
    assert layer.explain_engine().startswith(f"none: engine '{engine}' cannot run this layer")


def test_the_environment_names_the_default_only(monkeypatch):
    monkeypatch.setenv("GRU_SCRATCH_ENGINE", "textbook")
    assert (GRU(3, 4).engine, GRU(3, 4, engine="fused").engine) == ("textbook", "fused")
    monkeypatch.setenv("GRU_SCRATCH_ENGINE", "fast")
    with pytest.raises(ValueError, match="received 'fast', from the environment variable GRU_SCRATCH_ENGINE"):
        GRU(3, 4)
    monkeypatch.delenv("GRU_SCRATCH_ENGINE")
    assert GRU(3, 4).engine == "auto"


def test_transforms_and_complex_numbers_go_through_the_textbook_loop():
    layer = GRU(3, 4)
    said = []
    torch.func.vmap(lambda x: said.append(layer.explain_engine(x)) or x)(torch.randn(2, 5, 3))
    assert said[0].startswith("textbook: ")


@pytest.mark.parametrize("lengths", [None, [5, 3, 0], [5, 5, 4]], ids=str)
@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize(("ours", "theirs"), [(RNN, nn.RNN), (GRU, nn.GRU), (LSTM, nn.LSTM)])
def test_builtin_equals_textbook(ours, theirs, tokens, lengths):
    layers = [ours(3, 4, num_layers=2, bidirectional=True, engine=e).double() for e in ("builtin", "textbook")]
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randint(3, (5, 3)) if tokens else torch.randn(5, 3, 3, dtype=torch.float64)
    results = []
    for layer in layers:
        outputs, final = layer(x, lengths=lengths)
        loss = outputs.sin().sum() + sum(s.cos().sum() for s in (final if isinstance(final, tuple) else (final,)))
        results.append([outputs, *torch.autograd.grad(loss, list(layer.parameters()), materialize_grads=True)])
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected, 1e-10)
