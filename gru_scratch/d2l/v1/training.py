"""Models, data and the loop that brings them together: the bases of all classes of edition 1.0."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from gru_scratch.d2l import tools
from gru_scratch.d2l.v1.board import HyperParameters, ProgressBoard
from gru_scratch.training.update import grad_clipping

Batch = Sequence[Tensor]


class Module(nn.Module, HyperParameters):
    """Base of models: a subclass defines `loss`, and `forward` or a network `net`.

    A point of its curves is the mean over some batches: the arguments say how many points an epoch gets.
    """

    trainer: Any
    net: Any
    lr: float
    plot_train_per_epoch: int
    plot_valid_per_epoch: int

    def __init__(self, plot_train_per_epoch: int = 2, plot_valid_per_epoch: int = 1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.board = ProgressBoard()

    def loss(self, y_hat: Any, y: Any) -> Tensor:
        """The loss of outputs `y_hat` against labels `y`, which training minimises."""
        raise NotImplementedError(f"{type(self).__name__} has to define loss(y_hat, y)")

    def forward(self, X: Any) -> Any:
        if not hasattr(self, "net"):
            raise NotImplementedError(f"{type(self).__name__} has to define forward, or a network `net`")
        return self.net(X)

    def plot(self, key: str, value: Tensor, train: bool) -> None:
        """Put a value on the board, at the epoch that training has come to; RuntimeError before training."""
        if not hasattr(self, "trainer"):
            raise RuntimeError(f"{type(self).__name__} has no trainer yet: call Trainer.fit first")
        trainer = self.trainer
        self.board.xlabel = "epoch"
        if train:
            epoch = trainer.train_batch_idx / trainer.num_train_batches
            every_n = trainer.num_train_batches / self.plot_train_per_epoch
        else:
            epoch = trainer.epoch + 1
            every_n = trainer.num_val_batches / self.plot_valid_per_epoch
        label = f"{'train' if train else 'val'}_{key}"
        self.board.draw(epoch, value.detach().cpu().numpy(), label, every_n=int(every_n))

    def training_step(self, batch: Batch) -> Tensor:
        """The loss of a batch, whose last entry is the label."""
        loss = self.loss(self(*batch[:-1]), batch[-1])
        self.plot("loss", loss, train=True)
        return loss

    def validation_step(self, batch: Batch) -> None:
        """Put the loss of a batch on the board."""
        self.plot("loss", self.loss(self(*batch[:-1]), batch[-1]), train=False)

    def configure_optimizers(self) -> Any:
        """What updates the parameters: plain gradient descent at the rate `lr`."""
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def apply_init(self, inputs: Sequence[Any], init: Callable[[nn.Module], object] | None = None) -> None:
        """Give lazy layers of `net` their sizes by a call, then initialise its parameters by `init`."""
        self.forward(*inputs)
        if init is not None:
            self.net.apply(init)


class Classifier(Module):
    """Base of models that score classes, on the last axis of what they return."""

    def loss(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """The cross-entropy: its mean, or with `averaged=False` that of each label."""
        reduction = "mean" if averaged else "none"
        return F.cross_entropy(Y_hat.reshape(-1, Y_hat.shape[-1]), Y.reshape(-1), reduction=reduction)

    def accuracy(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """The share of labels that have the best score, or with `averaged=False` 1 or 0 for each label."""
        best = Y_hat.reshape(-1, Y_hat.shape[-1]).argmax(dim=1)
        hits = (best.type(Y.dtype) == Y.reshape(-1)).float()
        return hits.mean() if averaged else hits

    def validation_step(self, batch: Batch) -> None:
        """Put the loss and the accuracy of a batch on the board."""
        scores = self(*batch[:-1])
        self.plot("loss", self.loss(scores, batch[-1]), train=False)
        self.plot("acc", self.accuracy(scores, batch[-1]), train=False)

    def layer_summary(self, X_shape: Sequence[int]) -> None:
        """Print what shape each layer of `net` gives an input of this shape."""
        X = torch.randn(*X_shape)
        for layer in self.net:
            X = layer(X)
            print(type(layer).__name__, "output shape:\t", X.shape)


class LinearRegression(Module):
    """A linear layer of one output under the squared error."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.LazyLinear(1)

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(y_hat, y)

    def get_w_b(self) -> tuple[Tensor, Tensor]:
        """Weight and bias."""
        return self.net.weight.data, self.net.bias.data


class SGD(HyperParameters):
    """Plain gradient descent."""

    params: Sequence[Tensor]
    lr: float

    def __init__(self, params: Sequence[Tensor], lr: float) -> None:
        self.save_hyperparameters()

    def step(self) -> None:
        """Subtract `lr` times its gradient from each parameter; to be called under `torch.no_grad()`."""
        for param in self.params:
            param -= self.lr * param.grad  # type: ignore[operator]

    def zero_grad(self) -> None:
        for param in self.params:
            if param.grad is not None:
                param.grad.zero_()


class DataModule(HyperParameters):
    """Base of data: a subclass defines `get_dataloader`, and has a `batch_size` where it calls `get_tensorloader`."""

    root: str
    num_workers: int
    batch_size: int

    def __init__(self, root: str = "../data", num_workers: int = 4) -> None:
        self.save_hyperparameters()

    def get_dataloader(self, train: bool) -> Any:
        """The batches to train on, or those to validate with."""
        raise NotImplementedError(f"{type(self).__name__} has to define get_dataloader(train)")

    def train_dataloader(self) -> Any:
        return self.get_dataloader(train=True)

    def val_dataloader(self) -> Any:
        return self.get_dataloader(train=False)

    def get_tensorloader(
        self, tensors: Sequence[Tensor], train: bool, indices: slice | Tensor = slice(None)
    ) -> DataLoader[Any]:
        """Batches of the chosen rows of tensors, shuffled anew in each epoch of training."""
        chosen = [tensor[indices] for tensor in tensors]
        if train and not len(chosen[0]):
            raise ValueError("there is no batch to train on: no example is chosen for training")
        return tools.load_array(chosen, self.batch_size, is_train=train)


class Trainer(HyperParameters):
    """Trains a model for `max_epochs`, on a GPU if `num_gpus` is above 0 and there is one.

    Gradients are clipped to the common norm `gradient_clip_val` if it is above 0.
    """

    max_epochs: int
    num_gpus: int
    gradient_clip_val: float
    train_dataloader: Iterable[Batch]
    val_dataloader: Iterable[Batch] | None

    def __init__(self, max_epochs: int, num_gpus: int = 0, gradient_clip_val: float = 0) -> None:
        self.save_hyperparameters()
        self.gpus = [tools.gpu(i) for i in range(min(num_gpus, tools.num_gpus()))]

    def prepare_data(self, data: Any) -> None:
        """Take the batches; ValueError if there are none to train on."""
        self.train_dataloader, self.val_dataloader = data.train_dataloader(), data.val_dataloader()
        self.num_train_batches = len(self.train_dataloader)  # type: ignore[arg-type]
        self.num_val_batches = 0 if self.val_dataloader is None else len(self.val_dataloader)  # type: ignore[arg-type]
        if not self.num_train_batches:
            raise ValueError(f"there is no batch to train on: {type(data).__name__} has fewer examples than one batch")

    def prepare_model(self, model: Any) -> None:
        """Take the model, to the GPU if one is used."""
        model.trainer = self
        model.board.xlim = [0, self.max_epochs]
        if self.gpus:
            model.to(self.gpus[0])
        self.model = model

    def prepare_batch(self, batch: Batch) -> Batch:
        """The batch on the model's device."""
        return [part.to(self.gpus[0]) for part in batch] if self.gpus else batch

    def fit(self, model: Any, data: Any) -> None:
        """Train a model on data."""
        self.prepare_data(data)
        self.prepare_model(model)
        self.optim = model.configure_optimizers()
        self.epoch = self.train_batch_idx = self.val_batch_idx = 0
        for epoch in range(self.max_epochs):
            self.epoch = epoch
            self.fit_epoch()

    def fit_epoch(self) -> None:
        """One epoch: an update for each batch, then a validation step for each batch of validation."""
        self.model.train()
        for batch in self.train_dataloader:
            loss = self.model.training_step(self.prepare_batch(batch))
            self.optim.zero_grad()
            loss.backward()
            with torch.no_grad():
                if self.gradient_clip_val > 0:
                    self.clip_gradients(self.gradient_clip_val, self.model)
                self.optim.step()
            self.train_batch_idx += 1
        if self.val_dataloader is None:
            return
        self.model.eval()
        for batch in self.val_dataloader:
            with torch.no_grad():
                self.model.validation_step(self.prepare_batch(batch))
            self.val_batch_idx += 1

    def clip_gradients(self, grad_clip_val: float, model: nn.Module) -> None:
        """Scale all gradients down together where their common norm is above `grad_clip_val`."""
        grad_clipping(model, grad_clip_val)
