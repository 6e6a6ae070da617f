"""Edition 1.0: its names, what the book leaves to an obscure error, and data of the user's."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support.book_package import import_book_v1
from support.made_pairs import made_text, write_pairs
from torch import nn

from gru_scratch.d2l import tensors, v1
from gru_scratch.text import corpus

STORY = (
    "The Time Traveller (for so it will be convenient to speak of him) was expounding a recondite matter to us. " * 3
)


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v1.TimeMachine, "_download", lambda self: STORY)


# ------------------------------------------------------------------------------------------------ names

SHORT_NAMES = {name for name in vars(tensors) if not name.startswith("_")} - {"Any", "Tensor", "annotations", "torch"}


def test_all_names_are_there() -> None:
    assert all(hasattr(v1, name) for name in v1.__all__)
    assert len(v1.__all__) == len(set(v1.__all__))
    assert len(SHORT_NAMES) > 35
    assert set(v1.__all__) >= SHORT_NAMES


def test_signatures_are_the_packages() -> None:
    """Every parameter of the package's is there, in its place, and what is optional there is so here."""
    book = import_book_v1()
    if book is None:
        pytest.skip("d2l 1.0.3 is not at hand")
    for name in sorted(set(v1.__all__) - SHORT_NAMES - {"plt", "DATA_URL", "DATA_HUB", "nn_Module"}):
        pairs = [(getattr(v1, name), getattr(book, name))]
        if inspect.isclass(pairs[0][0]):
            methods = [key for key, value in vars(pairs[0][1]).items() if inspect.isfunction(value)]
            pairs = [(getattr(pairs[0][0], key), getattr(pairs[0][1], key)) for key in methods if key != "__getitem__"]
        for ours, theirs in pairs:
            mine, its = (list(inspect.signature(f).parameters.values()) for f in (ours, theirs))
            its = [parameter for parameter in its if parameter.kind is not parameter.VAR_KEYWORD]
            assert [p.name for p in mine[: len(its)]] == [p.name for p in its], f"{name}: {theirs.__qualname__}"
            optional = [(p.default is p.empty) <= (q.default is q.empty) for p, q in zip(mine, its, strict=False)]
            assert all(optional), f"{name}: {theirs.__qualname__}"


def test_short_names_do_what_they_say() -> None:
    x = v1.reshape(v1.arange(6, dtype=v1.float32), (2, 3))
    assert v1.size(x) == 6
    assert torch.equal(v1.transpose(x), v1.swapaxes(x, 0, 1))
    assert v1.argmax(x, 1).tolist() == [2, 2]
    assert v1.reduce_mean(x, 0).tolist() == [1.5, 2.5, 3.5]
    assert v1.reduce_sum(x, 1).tolist() == [3, 12]
    assert v1.astype(x, v1.int32).dtype == v1.to(x, torch.int32).dtype == torch.int32
    assert v1.expand_dims(x, 1).shape == (2, 1, 3)
    assert v1.repeat(x, 2, 1).shape == (4, 3)
    assert v1.numpy(nn.Parameter(x)).tolist() == x.tolist()


def test_checks_raise_as_asserts_do() -> None:
    v1.check_len([1, 2], 2)
    v1.check_shape(torch.zeros(2, 3), (2, 3))
    with pytest.raises(AssertionError, match="expected 3 entries, received 2"):
        v1.check_len([1, 2], 3)
    with pytest.raises(AssertionError, match=r"expected the shape \(3,\), received \(2, 3\)"):
        v1.check_shape(torch.zeros(2, 3), (3,))


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(v1.gpu(1)) == "cuda:1"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert (v1.num_gpus(), v1.try_gpu(), v1.try_all_gpus()) == (0, v1.cpu(), [])
    assert v1.Trainer(1, num_gpus=2).gpus == []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert v1.try_all_gpus() == [v1.gpu(0), v1.gpu(1)]


# ------------------------------------------------------------------------------------------------ data of the user's


def test_the_text_is_the_librarys(text: corpus.Text, capsys: pytest.CaptureFixture[str]) -> None:
    data = v1.TimeMachine(batch_size=2, num_steps=4, num_train=3, num_val=2)
    assert data._download().splitlines() == corpus.load_text().raw.splitlines()
    assert len(data.X) == len(data._preprocess(data._download())) - 4
    assert bool(capsys.readouterr().err) == (text.name == "the shipped story")


def test_pairs_are_those_of_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pairs(tmp_path)
    monkeypatch.setenv(corpus.DATA_VARIABLE, str(tmp_path))
    data = v1.MTFraEng(batch_size=3, num_train=20, num_val=5)
    assert data._download() == made_text()
    assert len(data.train_dataloader()) == 7


# ------------------------------------------------------------------------------------------------ bad input


def fit(model: Any, data: Any) -> None:
    v1.Trainer(max_epochs=1).fit(model, data)


class Numbers(v1.DataModule):
    """Rows of numbers, so many for training."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count, self.batch_size = count, 2

    def get_dataloader(self, train: bool) -> Any:
        return self.get_tensorloader((torch.zeros(9, 1), torch.zeros(9, 1)), train, slice(self.count))


@pytest.mark.usefixtures("story")
def test_what_the_book_leaves_to_an_obscure_error_is_a_sentence() -> None:
    class Batches(v1.DataModule):
        def get_dataloader(self, train: bool) -> Any:
            return []

    class WithNet(v1.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.lr = nn.Linear(1, 1), 0.1

    model = v1.LinearRegression(0.1)
    for call, error, message in (
        (lambda: fit(model, Numbers(0)), ValueError, "no batch to train on: no example is chosen"),
        (lambda: fit(model, Batches()), ValueError, "no batch to train on: Batches has fewer examples than one batch"),
        (lambda: fit(model, v1.DataModule()), NotImplementedError, r"DataModule has to define get_dataloader\(train\)"),
        (lambda: fit(WithNet(), Numbers(4)), NotImplementedError, r"WithNet has to define loss\(y_hat, y\)"),
        (lambda: v1.Module()(1), NotImplementedError, "Module has to define forward, or a network `net`"),
        (lambda: model.plot("loss", torch.zeros(1), True), RuntimeError, "LinearRegression has no trainer yet"),
        (lambda: v1.TimeMachine(2, 5, 300, 300), ValueError, r"num_train \+ num_val of at most \d+, .* 300 \+ 300"),
        (lambda: v1.TimeMachine(2, 5000), ValueError, "at most 0, the text's windows of 5001 characters"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_too_few_pairs_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v1.MTFraEng, "_download", lambda self: made_text())
    with pytest.raises(ValueError, match=r"at most 100, the pairs of the file, received 512 \+ 128"):
        v1.MTFraEng(batch_size=2)


@pytest.mark.usefixtures("story")
def test_unknown_characters_are_unk() -> None:
    data = v1.TimeMachine(4, 5, 8, 4)
    model = v1.RNNLMScratch(v1.RNNScratch(len(data.vocab), 4), len(data.vocab))
    assert model.predict("é", 0, data.vocab) == "<unk>"


# ------------------------------------------------------------------------------------------------ layers


@pytest.mark.parametrize(
    "layer", [nn.RNN(3, 4, nonlinearity="relu"), nn.GRU(3, 4, 2), nn.LSTM(3, 4, bidirectional=True)]
)
def test_layers_of_torch_keep_their_parameters(layer: nn.Module) -> None:
    """They run on the engine; what is trained are their own parameters, and a copy has its own."""
    model = v1.RNN(3, 4)
    model.rnn = layer
    X = torch.randn(5, 2, 3)
    outputs, _ = model(X)
    torch.testing.assert_close(outputs, layer(X)[0])
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    twin = copy.deepcopy(model).double()
    assert twin(X.double())[0].dtype == torch.float64
    assert list(model.state_dict()) == [f"rnn.{name}" for name in layer.state_dict()]


def test_another_layer_is_called_as_it_is() -> None:
    class Twice(nn.Module):
        def forward(self, inputs: torch.Tensor, state: Any) -> Any:
            return 2 * inputs, state

    model = v1.RNN(3, 4)
    model.rnn = Twice()
    assert model(torch.ones(1), None)[0] == 2


def test_import_brings_little_more_than_torch_and_matplotlib() -> None:
    """Of other packages none but those that the two bring anyway, and what this package needs for its text."""

    def packages(statement: str) -> set[str]:
        code = f"{statement}; import sys; print(*(name.partition('.')[0] for name in sys.modules))"
        found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        return set(found.stdout.split()) - set(sys.stdlib_module_names)

    more = packages("import gru_scratch.d2l.v1") - packages("import torch; from matplotlib import pyplot")
    assert {name for name in more if not name.startswith("_")} <= {"gru_scratch", "pooch", "platformdirs", "requests"}
