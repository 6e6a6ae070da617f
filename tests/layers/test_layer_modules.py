"""The layers as modules: what may be done with those of ``torch.nn`` may be done with ours."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from support.namesakes import CELLS, LAYERS, X, agree, make, same, state
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import gru_scratch
from gru_scratch import GRU, GRUCell, Recurrent
from gru_scratch.cells import PeepholeLSTMEquations


def prune_half(module: nn.Module, name: str) -> nn.Module:
    return prune.l1_unstructured(module, name, amount=0.5)


class Doubled(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


def doubled(module: nn.Module, name: str) -> nn.Module:
    return parametrize.register_parametrization(module, name, Doubled())


@pytest.mark.parametrize("change", [parametrizations.weight_norm, parametrizations.orthogonal, prune_half, doubled])
@pytest.mark.parametrize("name", LAYERS)
def test_weights_may_be_parametrised_and_pruned(name, change):
    def act(room: Any) -> Any:
        module = make(room, name, 3, 4, 2)
        change(module, "weight_hh_l0")
        outputs, _ = module(X)
        outputs.square().sum().backward()
        grads = [p.grad for p in module.parameters()]
        with torch.no_grad():
            next(module.parameters()).add_(0.1)
        return outputs, grads, list(module.state_dict()), module(X)[0]

    agree(act)


@pytest.mark.parametrize("name", LAYERS)
def test_changes_of_weights_may_be_undone(name):
    def act(room: Any) -> Any:
        pruned, doubled_up = make(room, name, 3, 4), make(room, name, 3, 4)
        prune_half(pruned, "weight_ih_l0")
        prune.remove(pruned, "weight_ih_l0")
        doubled(doubled_up, "weight_hh_l0")
        parametrize.remove_parametrizations(doubled_up, "weight_hh_l0")
        return [(list(m.state_dict()), m(X)[0], type(m).__name__) for m in (pruned, doubled_up)]

    agree(act)


@pytest.mark.parametrize("name", LAYERS)
def test_weights_may_be_replaced(name):
    def act(room: Any) -> Any:
        replaced, plain = make(room, name, 3, 4), make(room, name, 3, 4)
        replaced.weight_hh_l0 = nn.Parameter(torch.full_like(replaced.weight_hh_l0, 0.3))
        weight = plain.weight_hh_l0
        del plain.weight_hh_l0
        plain.weight_hh_l0 = weight / 2
        replica = make(room, name, 3, 4)._replicate_for_data_parallel()
        for key, parameter in make(room, name, 3, 4).named_parameters():
            setattr(replica, key, 2 * parameter)
        swapped = torch.func.functional_call(plain, {"bias_ih_l0": torch.ones_like(plain.bias_ih_l0)}, (X,))
        return replaced(X)[0], plain(X)[0], replica(X)[0], swapped[0], plain(X)[0]

    agree(act)


@pytest.mark.parametrize("engine", ["textbook", "fused"])
@pytest.mark.parametrize("name", LAYERS)
def test_modules_are_saved_copied_and_moved(name, engine):
    layer = make(gru_scratch, name, 3, 4, 2, bidirectional=True, engine=engine)
    expected = layer(X)[0]
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for twin in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), torch.load(file, weights_only=False)):
        assert repr(twin) == repr(layer)
        assert list(twin.state_dict()) == list(layer.state_dict())
        assert torch.equal(twin(X)[0], expected)
        twin.weight_hh_l0.data.zero_()
    assert torch.equal(layer(X)[0], expected)
    assert torch.equal(layer.double().float()(X)[0], expected)
    assert layer.share_memory().weight_hh_l0.is_shared()


@pytest.mark.parametrize("name", LAYERS)
def test_parameters_go_to_the_namesake_and_back(name):
    layer, reference = make(gru_scratch, name, 3, 4, 2), getattr(nn, name)(3, 4, 2)
    assert str(reference.load_state_dict(layer.state_dict())) == "<All keys matched successfully>"
    assert same(reference(X), layer(X))
    other = getattr(gru_scratch, name)(3, 4, 2)
    assert str(other.load_state_dict(reference.state_dict())) == "<All keys matched successfully>"
    assert same(other(X), layer(X))
    agree(lambda room: make(room, name, 3, 4).load_state_dict({}))
    agree(lambda room: make(room, name, 3, 4).load_state_dict(make(room, name, 3, 4, 2).state_dict()))


@pytest.mark.parametrize("name", LAYERS)
def test_the_meta_device_plans_a_layer(name):
    layer = make(gru_scratch, name, 3, 4, 2, device="meta")
    outputs, _ = layer(X.to("meta"))
    assert outputs.shape == (5, 2, 4)
    assert outputs.device.type == "meta"
    assert layer(torch.zeros(5, 2, dtype=torch.long, device="meta"))[0].shape == (5, 2, 4)
    layer.load_state_dict(make(gru_scratch, name, 3, 4, 2).state_dict(), assign=True)
    assert torch.equal(layer(X)[0], make(gru_scratch, name, 3, 4, 2)(X)[0])
    with torch.device("meta"):
        assert getattr(gru_scratch, name)(3, 4).weight_hh_l0.device.type == "meta"


def test_recurrent_is_copied_and_pickled_after_it_ran():
    layer = Recurrent(PeepholeLSTMEquations, 3, 4, zoneout=(0.0, 0.5)).eval()
    expected = layer(X)[0]
    for twin in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert torch.equal(twin(X)[0], expected)
    assert [[p.shape for p in ps] for ps in layer.all_weights] == [[p.shape for p in layer.parameters()]]
    assert layer.flatten_parameters() is None


@pytest.mark.parametrize("name", LAYERS)
def test_flatten_parameters_leaves_everything_where_it_is(name):
    layer = make(gru_scratch, name, 3, 4)
    before = [p.data_ptr() for p in layer.parameters()]
    assert layer.flatten_parameters() is None
    assert [p.data_ptr() for p in layer.parameters()] == before


class Called(nn.Module):
    """A model that torch.fx traces."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor, hx: Any) -> Any:
        return self.module(x), self.module(input=x, hx=hx)


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_fx_takes_layers_for_leaves(name):
    x, hx = (X, state(name, 1, 2, 4)) if name in LAYERS else (X[0], state(name, 2, 4))

    def act(room: Any) -> Any:
        traced = torch.fx.symbolic_trace(Called(make(room, name, 3, 4)))
        return traced(x, hx), [node.op for node in traced.graph.nodes]

    agree(act)
    with pytest.raises(torch.fx.proxy.TraceError, match=f"a model with a {name} in it"):
        torch.fx.symbolic_trace(make(gru_scratch, name, 3, 4))


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_torchscript_runs_the_namesake_with_the_very_same_parameters(name):
    module = nn.Sequential(make(gru_scratch, name, 3, 4))
    x = X if name in LAYERS else X[0]
    scripted = torch.jit.script(module)
    assert same(module(x), scripted(x))
    assert scripted.state_dict().keys() == module.state_dict().keys()
    if name in LAYERS:
        assert same(module(2 * x), torch.jit.trace(module, x)(2 * x))
    for book in (GRU(3, 4, reset_after=False), GRUCell(3, 4, reset_after=False)):
        with pytest.raises(RuntimeError, match="reset gate before the product"):
            torch.jit.script(book)
