"""Programs that a reader of edition 1.0 may write, each a function of the package `d2l` that it is written for.

They are run with the book's own package and with ours. Each returns what can be compared: a board's points, parameters,
batches, predictions, by name.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

Package = ModuleType
Result = dict[str, Any]
HIDDENS = 12


def learnt(model: Any) -> Result:
    """The points that a model left on its board, and its parameters."""
    points = {label: [(float(x), float(y)) for x, y in line] for label, line in model.board.data.items()}
    return {"board": points, **{name: value.detach() for name, value in model.named_parameters()}}


# ------------------------------------------------------------------------------------------------ bases


def object_oriented_design(d2l: Package) -> Result:
    """Hyperparameters that keep themselves, methods added later, a board, data and a model of the reader's own."""

    class Settings(d2l.HyperParameters):
        def __init__(self, a: int, b: str, hidden: float, _private: int = 0) -> None:
            product = a * 2  # noqa: F841 - kept, too
            self.save_hyperparameters(ignore=["hidden"])

    settings = Settings(3, "b", 0.5)

    @d2l.add_to_class(Settings)
    def describe(self: Any) -> str:
        return f"{self.a} {self.b} {self.product} {hasattr(self, 'hidden')}"

    board = d2l.ProgressBoard("x", display=False)
    for x in range(20):
        board.draw(x, x * x, "square", every_n=3)
        board.draw(x / 2, -x, "line", every_n=10)

    class Noisy(d2l.DataModule):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.batch_size = 7
            self.X = d2l.randn(60, 2)
            self.y = d2l.matmul(self.X, d2l.reshape(d2l.tensor([2.0, -3.4]), (-1, 1))) + 4.2 + d2l.randn(60, 1) * 0.01

        def get_dataloader(self, train: bool) -> Any:
            return self.get_tensorloader((self.X, self.y), train, slice(0, 40) if train else slice(40, None))

    class Regression(d2l.Module):
        def __init__(self, lr: float) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.w = nn.Parameter(d2l.randn(2, 1) * 0.01)
            self.b = nn.Parameter(d2l.zeros(1))

        def forward(self, X: Tensor) -> Tensor:
            return d2l.matmul(X, self.w) + self.b

        def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
            return d2l.reduce_mean((y_hat - y) ** 2 / 2)

    @d2l.add_to_class(Regression)
    def configure_optimizers(self: Any) -> Any:
        return d2l.SGD([self.w, self.b], self.lr)

    data, model, concise = Noisy(), Regression(0.1), d2l.LinearRegression(0.1)
    for each in (model, concise):
        d2l.Trainer(max_epochs=3).fit(each, data)
    return {
        "settings": [settings.describe(), sorted(settings.hparams)],
        "points": {label: [tuple(point) for point in line] for label, line in board.data.items()},
        "waiting": {label: len(points) for label, points in board.raw_points.items()},
        "defaults": [data.root, data.num_workers, model.plot_train_per_epoch, model.plot_valid_per_epoch],
        "scratch": learnt(model),
        "concise": learnt(concise),
    }


# ------------------------------------------------------------------------------------------------ language models


def text(d2l: Package) -> Result:
    """Section 9.3: vocabulary, windows and batches."""
    data = d2l.TimeMachine(batch_size=8, num_steps=5, num_train=50, num_val=21)
    words = d2l.Vocab([["a", "cat"], ["a", "dog", "cat", "a"]], min_freq=2, reserved_tokens=["<pad>"])
    return {
        "vocabulary": [*data.vocab.idx_to_token, *data.vocab.token_freqs],
        "words": [words.idx_to_token, words[["a", "dog", "<pad>"]], words.unk, len(words), words.to_tokens([0, 1])],
        "one": [data.vocab.to_tokens(torch.tensor([3])), data.vocab.to_tokens(torch.tensor([3, 4]))],
        "windows": [data.X, data.Y],
        "train": [part for _ in range(2) for batch in data.train_dataloader() for part in batch],
        "val": [part for batch in data.val_dataloader() for part in batch],
        "build": data.build("The Time Traveller", data.vocab)[0],
    }


def train_language_model(d2l: Package, make_rnn: Callable[[Package, int], Any], scratch: bool) -> Result:
    """Train on windows of the text, and go on with a prefix."""
    torch.manual_seed(1)
    data = d2l.TimeMachine(batch_size=32, num_steps=10, num_train=640, num_val=100)
    model = (d2l.RNNLMScratch if scratch else d2l.RNNLM)(make_rnn(d2l, len(data.vocab)), len(data.vocab), lr=2)
    if not scratch:
        model.plot_train_per_epoch = 5
    trainer = d2l.Trainer(max_epochs=3, gradient_clip_val=1)  # each epoch makes rounding ten times as large
    trainer.fit(model, data)
    counts = [trainer.epoch, trainer.train_batch_idx, trainer.val_batch_idx, trainer.num_train_batches]
    texts = [model.predict(prefix, 15, data.vocab, d2l.try_gpu()) for prefix in ("it has", "1 é")]
    return {"counts": counts, "texts": texts, **learnt(model)}


def readers_gru(d2l: Package, vocab_size: int) -> Any:
    """Section 10.2: parameters by the reader, the forward method added later."""

    class Gates(d2l.Module):
        def __init__(self, num_inputs: int, num_hiddens: int, sigma: float = 0.1) -> None:
            super().__init__()
            self.save_hyperparameters()
            for gate in "zrh":
                setattr(self, f"W_x{gate}", nn.Parameter(d2l.randn(num_inputs, num_hiddens) * sigma))
                setattr(self, f"W_h{gate}", nn.Parameter(d2l.randn(num_hiddens, num_hiddens) * sigma))
                setattr(self, f"b_{gate}", nn.Parameter(d2l.zeros(num_hiddens)))

    @d2l.add_to_class(Gates)
    def forward(self: Any, inputs: Tensor, H: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        if H is None:
            H = d2l.zeros((inputs.shape[1], self.num_hiddens), device=inputs.device)
        outputs = []
        for X in inputs:
            Z = d2l.sigmoid(d2l.matmul(X, self.W_xz) + d2l.matmul(H, self.W_hz) + self.b_z)
            R = d2l.sigmoid(d2l.matmul(X, self.W_xr) + d2l.matmul(H, self.W_hr) + self.b_r)
            candidate = d2l.tanh(d2l.matmul(X, self.W_xh) + d2l.matmul(R * H, self.W_hh) + self.b_h)
            H = Z * H + (1 - Z) * candidate
            outputs.append(H)
        return outputs, H

    return Gates(vocab_size, HIDDENS)


def readers_stack(d2l: Package, vocab_size: int) -> Any:
    """Section 10.3: layers from scratch on top of each other."""

    class Stack(d2l.Module):
        def __init__(self, num_inputs: int, num_hiddens: int, num_layers: int, sigma: float = 0.1) -> None:
            super().__init__()
            self.save_hyperparameters()
            sizes = [num_inputs, *[num_hiddens] * (num_layers - 1)]
            self.rnns = nn.Sequential(*[d2l.RNNScratch(size, num_hiddens, sigma) for size in sizes])

        def forward(self, inputs: Tensor, Hs: Any = None) -> Any:
            states = list(Hs or [None] * self.num_layers)
            for i, layer in enumerate(self.rnns):
                outputs, states[i] = layer(inputs, states[i])
                inputs = d2l.stack(outputs, 0)
            return inputs, states

    return Stack(vocab_size, HIDDENS, 2)


def readers_two_directions(d2l: Package, vocab_size: int) -> Any:
    """Section 10.4: a layer from scratch in each direction."""

    class TwoDirections(d2l.Module):
        def __init__(self, num_inputs: int, num_hiddens: int, sigma: float = 0.1) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.there = d2l.RNNScratch(num_inputs, num_hiddens, sigma)
            self.back = d2l.RNNScratch(num_inputs, num_hiddens, sigma)
            self.num_hiddens *= 2

        def forward(self, inputs: Tensor, Hs: Any = None) -> Any:
            there, back = Hs if Hs is not None else (None, None)
            outputs, there = self.there(inputs, there)
            reversed_outputs, back = self.back(inputs.flip(0), back)
            pairs = zip(outputs, reversed(reversed_outputs), strict=True)
            return [d2l.concat(pair, -1) for pair in pairs], (there, back)

    return TwoDirections(vocab_size, HIDDENS)


def readers_lstm(d2l: Package, vocab_size: int) -> Any:
    """Section 10.1: another layer of torch.nn under the package's class."""

    class LSTM(d2l.RNN):
        def __init__(self, num_inputs: int, num_hiddens: int) -> None:
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = nn.LSTM(num_inputs, num_hiddens)

    return LSTM(vocab_size, HIDDENS)


def readers_gru_of_two_directions(d2l: Package, vocab_size: int) -> Any:
    """Section 10.4, concise; the reader looks at the layer's type to draw its weights."""

    class TwoDirections(d2l.RNN):
        def __init__(self, num_inputs: int, num_hiddens: int) -> None:
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = nn.GRU(num_inputs, num_hiddens, bidirectional=True)
            self.num_hiddens *= 2

    layer = TwoDirections(vocab_size, HIDDENS)
    layer.apply(d2l.init_seq2seq)
    assert type(d2l.GRU(3, 4, 1).rnn) is nn.GRU
    return layer


def changed_later(d2l: Package) -> Result:
    """Any method that the pages override may be overridden, in any order."""

    class Model(d2l.RNNLMScratch):
        def one_hot(self, X: Tensor) -> Tensor:
            return d2l.expand_dims(d2l.astype(d2l.transpose(X), d2l.float32), 2) / self.vocab_size

        def init_params(self) -> None:
            self.scores = nn.LazyLinear(self.vocab_size)

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=self.lr)

    class Steps(d2l.Trainer):
        def prepare_batch(self, batch: Any) -> Any:
            return [part[:, :4] for part in batch]

        def clip_gradients(self, grad_clip_val: float, model: nn.Module) -> None:
            nn.utils.clip_grad_value_(model.parameters(), grad_clip_val)

    torch.manual_seed(1)
    data = d2l.TimeMachine(batch_size=32, num_steps=6, num_train=96, num_val=32)
    model = Model(d2l.GRU(1, HIDDENS, num_layers=2), len(data.vocab), lr=0.01)

    @d2l.add_to_class(Model)
    def output_layer(self: Any, hiddens: Tensor) -> Tensor:
        return d2l.swapaxes(self.scores(hiddens), 0, 1)

    Steps(max_epochs=2, gradient_clip_val=0.1).fit(model, data)
    return {"text": model.predict("a", 9, data.vocab), **learnt(model)}


LAYERS: dict[str, tuple[Callable[[Package, int], Any], bool]] = {
    "RNNScratch": (lambda d2l, size: d2l.RNNScratch(size, HIDDENS), True),
    "reader's GRU": (readers_gru, True),
    "reader's stack": (readers_stack, True),
    "reader's two directions": (readers_two_directions, True),
    "RNN": (lambda d2l, size: d2l.RNN(size, HIDDENS), False),
    "GRU": (lambda d2l, size: d2l.GRU(size, HIDDENS, num_layers=2, dropout=0.2), False),
    "reader's LSTM": (readers_lstm, False),
    "reader's GRU of two directions": (readers_gru_of_two_directions, False),
}
PROGRAMS: dict[str, Callable[[Package], Result]] = {
    "object-oriented design": object_oriented_design,
    "text": text,
    **{
        name: lambda d2l, make=make, scratch=scratch: train_language_model(d2l, make, scratch)
        for name, (make, scratch) in LAYERS.items()
    },
    "changed later": changed_later,
}
