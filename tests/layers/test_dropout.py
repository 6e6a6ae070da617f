"""What only our layers have of dropout: the same units at every step, and recurrent weights."""

from __future__ import annotations

import copy
import pickle
from typing import Any, get_args

import pytest
import torch
from support.one_layer import assert_close
from torch import Tensor, nn

from gru_scratch import GRU, LSTM, RNN, Recurrent
from gru_scratch.cells import LSTMEquations
from gru_scratch.layers.dropout import DropoutMasks, dropout, keep
from gru_scratch.models.language import RNNModel

T, B, D, H = 9, 4, 3, 6


MASKS = get_args(DropoutMasks)


class TestFunction:
    @pytest.mark.parametrize("masks", MASKS)
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
    def test_in_training_what_stays_is_scaled_and_the_share_is_right(
        self, masks: DropoutMasks, dtype: torch.dtype
    ) -> None:
        outputs = torch.ones(50, 40, 30, dtype=dtype, requires_grad=True)
        y = dropout(outputs, 0.25, True, masks)
        assert y.dtype == dtype
        assert y.unique().tolist() == pytest.approx([0, 1 / 0.75], rel=1e-2)
        assert (y == 0).double().mean() == pytest.approx(0.25, abs=0.04)
        assert bool((y[0] == y).all()) == (masks == "locked")
        y.sum().backward()  # type: ignore[no-untyped-call]
        assert torch.equal(outputs.grad, y)

    @pytest.mark.parametrize("masks", MASKS)
    def test_otherwise_the_outputs_are_themselves_and_nothing_is_drawn(self, masks: DropoutMasks) -> None:
        outputs, before = torch.randn(T, B, H), torch.get_rng_state()
        assert dropout(outputs, 0.5, False, masks) is outputs
        assert dropout(outputs, 0.0, True, masks) is outputs
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize("masks", MASKS)
    def test_of_all_nothing_stays(self, masks: DropoutMasks) -> None:
        assert not dropout(torch.randn(T, B, H), 1.0, True, masks).any()

    def test_sequences_and_units_are_locked_apart(self) -> None:
        mask = dropout(torch.ones(T, 30, 20), 0.5, True, "locked")[0]
        assert len(mask.unique(dim=0)) == 30
        assert len(mask.unique(dim=1).t()) == 20


MAKERS: dict[str, Any] = {
    "rnn": RNN,
    "gru": GRU,
    "gru, reset before": lambda *args, **kwargs: GRU(*args, reset_after=False, **kwargs),
    "lstm": LSTM,
    "recurrent": lambda *args, **kwargs: Recurrent(LSTMEquations(), *args, **kwargs),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
class TestWeightDropout:
    @pytest.mark.parametrize("engine", ["fused", "textbook"])
    @pytest.mark.parametrize("shape", [{}, {"num_layers": 2, "bidirectional": True}], ids=["one", "stack"])
    def test_a_call_is_that_of_a_layer_with_the_weights_that_are_left(
        self, make: Any, engine: str, shape: dict[str, Any]
    ) -> None:
        layer = make(D, H, engine=engine, weight_dropout=0.4, **shape).double()
        plain = make(D, H, engine=engine, **shape).double()
        plain.load_state_dict(layer.state_dict())
        x, share = torch.randn(T, B, D).double(), torch.randn(T, B, H * (2 if shape else 1)).double()
        torch.manual_seed(3)
        y, _ = layer(x)
        torch.manual_seed(3)
        left = {name: w * keep(w, 0.4) for name, w in plain.named_parameters() if "weight_hh" in name}
        expected, _ = torch.func.functional_call(plain, left, (x,))
        assert_close(y, expected, 1e-10)
        gradients = torch.autograd.grad((y * share).sum(), list(layer.parameters()))
        for found, exact in zip(
            gradients, torch.autograd.grad((expected * share).sum(), list(plain.parameters())), strict=True
        ):
            assert_close(found, exact, 1e-10)
        by_name = dict(zip(dict(layer.named_parameters()), gradients, strict=True))
        assert all((by_name[name][weight == 0] == 0).all() for name, weight in left.items())
        assert 0.1 < (left["weight_hh_l0"] == 0).double().mean() < 0.7

    def test_every_call_drops_others_and_evaluation_none(self, make: Any) -> None:
        layer, plain, x = make(D, H, weight_dropout=0.5), make(D, H), torch.randn(T, B, D)
        plain.load_state_dict(layer.state_dict())
        first, second = (layer(x)[0] for _ in range(2))
        assert not torch.allclose(first, second)
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([9, 7, 2, 1]))
        assert not torch.allclose(layer(packed)[0].data, layer(packed)[0].data)
        assert torch.equal(layer.eval()(x)[0], plain(x)[0])

    def test_it_is_shown_kept_and_copied(self, make: Any) -> None:
        layer = make(D, H, num_layers=2, dropout=0.5, weight_dropout=0.25, dropout_masks="locked")
        for twin in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert "weight_dropout=0.25" in repr(twin)
            assert "dropout_masks='locked'" in repr(twin)
        assert "_dropout" not in repr(make(D, H))

    def test_unknown_masks_are_refused(self, make: Any) -> None:
        with pytest.raises(ValueError, match="dropout_masks must be one of 'torch', 'quick', 'locked', received 'x'"):
            make(D, H, dropout_masks="x")

    @pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
    def test_a_probability_that_leaves_nothing_is_refused(self, make: Any, p: float) -> None:
        with pytest.raises(ValueError, match=f"weight_dropout must be at least 0 and below 1, received {p}"):
            make(D, H, weight_dropout=p)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_locked_dropout_between_layers(make: Any) -> None:
    """The second layer reads the first one's outputs times one mask for all steps."""
    layer = make(D, H, num_layers=2, dropout=0.5, dropout_masks="locked").double()
    lower, upper = make(D, H).double(), make(H, H).double()
    for k, one in enumerate((lower, upper)):
        one.load_state_dict({n[:-1] + "0": w for n, w in layer.state_dict().items() if n.endswith(str(k))})
    x = torch.randn(T, B, D).double()
    torch.manual_seed(5)
    y, _ = layer(x)
    torch.manual_seed(5)
    below = lower(x)[0]
    mask = dropout(torch.ones_like(below), 0.5, True, "locked")
    assert mask.unique().tolist() == [0, 2]
    assert_close(y, upper(below * mask)[0], 1e-10)


@pytest.mark.parametrize("options", [{"weight_dropout": 0.5}, {"dropout_masks": "locked"}])
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_torchscript_is_refused_what_torch_nn_has_not(options: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match=r"no nn\.GRU drops out as this one does"):
        torch.jit.script(GRU(D, H, **options))


def test_a_model_locks_the_dropout_before_its_scores() -> None:
    model = RNNModel(GRU(D, H), D, dropout=0.5, dropout_masks="locked")
    seen: list[Tensor] = []
    model.linear.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(torch.randint(D, (B, T)), None)
    zero = seen[0].view(T, B, H) == 0
    assert 0 < zero.double().mean() < 1
    assert (zero == zero[0]).all()
