"""The options of a training run, in one place: names, defaults, help and checks."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from tyro.conf import DisallowNone

from gru_scratch.cells import CELLS, is_path
from gru_scratch.text.kinds import KINDS

Engine: TypeAlias = Literal["fused", "textbook", "builtin"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
BUILTIN_CELLS = ("rnn", "gru", "lstm")
CHOICES = {
    "tokens": KINDS,
    "cleaning": ("auto", "book", "raw"),
    "init": ("auto", "book", "torch", "orthogonal"),
    "optimizer": ("sgd", "adamw"),
    "schedule": ("constant", "cosine"),
    "keep": ("last", "best"),
    "precision": ("fp32", "bf16", "fp64"),
    "matmul_precision": ("highest", "high", "medium"),
}


@dataclass(frozen=True)
class TrainConfig:
    """Train a character model. The defaults are the settings of Dive into Deep Learning, chapters 8 and 9."""

    cell: str = "gru"
    """Recurrent cell: rnn, gru, lstm, mgu, cifg, peephole-lstm, layer-norm-gru, layer-norm-lstm; or one of your own, as
    path/to/file.py:ClassName."""
    engine: Engine = "fused"
    """fused: the fast engine, with gradients by hand. textbook: the equations step by step, with autograd. builtin: the
    layer of torch.nn, which has rnn, gru and lstm."""
    text: Path | None = None
    """Text file to learn, in UTF-8 (None: The Time Machine)."""
    tokens: Literal["char", "word", "byte"] = "char"
    """What is predicted one after another: characters, words between white space, or bytes, of any file at all."""
    cleaning: Literal["auto", "book", "raw"] = "auto"
    """book: only letters, in lower case, and single spaces. raw: the text as it is, with \\r\\n read as \\n. auto: book
    for The Time Machine and the story that stands in for it, raw for any other text."""
    min_freq: int = 0
    """Tokens that occur less often in the text count as unknown."""
    token_dir: Path | None = None
    """Folder for the token file of a large text (None: beside the text). If given, small texts get one too."""
    batch_size: int = 32
    """Sequences in a minibatch."""
    num_steps: int = 35
    """Characters of a sequence, through which gradients flow."""
    num_hiddens: int = 256
    """Hidden units."""
    num_layers: int = 1
    """Recurrent layers, each reading the one below."""
    embedding: int = 0
    """Size of the learnt vector of each token; 0: one-hot vectors, as the book."""
    dropout: float = 0.0
    """Probability of zeroing an output between layers and before the last linear layer, in training."""
    locked_dropout: bool = False
    """Whether dropout zeroes the same units at every step of a sequence, instead of others at each."""
    weight_dropout: float = 0.0
    """Probability of zeroing a recurrent weight for the whole of an update."""
    tie_weights: bool = False
    """Score tokens by their embeddings; embedding must be num-hiddens."""
    init: Literal["auto", "book", "torch", "orthogonal"] = "auto"
    """First parameters. book: N(0, 0.01), biases 0. torch: those of torch.nn. orthogonal: recurrent matrices orthogonal
    gate by gate, the others Glorot-uniform, biases 0. auto: book for one layer as in the book, else torch."""
    forget_bias: float = 0.0
    """Added to the first bias of the forget gate, or of a GRU's update gate, which has its part: units hold longer at
    first what they have seen."""
    reset_after: DisallowNone[bool | None] = None
    """Whether the GRU's reset gate acts after the candidate's recurrent product, as in nn.GRU, or before it, as in the
    book (None: before; after with engine builtin, which has no other)."""
    lr: float = 1.0
    """Learning rate; about 1 for sgd, about 0.002 for adamw."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """sgd: stochastic gradient descent, as the book. adamw: torch.optim.AdamW."""
    weight_decay: float = 0.01
    """AdamW's, of matrices; biases do not decay."""
    beta1: float = 0.9
    """AdamW's memory of gradients."""
    beta2: float = 0.99
    """AdamW's memory of squared gradients."""
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: the learning rate falls along half a cosine to min-lr at the end of the run."""
    min_lr: float | None = None
    """Where the cosine ends (None: a tenth of lr)."""
    warmup: int = 0
    """Updates in which the learning rate rises to lr."""
    clip: float = 1.0
    """Largest norm that all gradients together may have."""
    epochs: int = 500
    """End after this many passes over the training text."""
    max_updates: int | None = None
    """End after this many updates instead."""
    minutes: float | None = None
    """End after this much time instead, in minutes by the clock, evaluations and checkpoints included."""
    patience: int | None = None
    """End when the held-out loss has not fallen for so many evaluations in a row (None: never)."""
    keep: Literal["last", "best"] = "last"
    """Which parameters model.safetensors holds at the end: the last, or those of the lowest held-out loss, which are
    in best.safetensors in any case."""
    eval_every: int | None = None
    """Evaluate every so many updates (None: about 50 times in a run)."""
    max_tokens: int = 10_000
    """Train on this many characters from the start of the text; -1 for all of it."""
    sampling: Literal["sequential", "random"] = "sequential"
    """sequential: a batch goes on where the one before ended, and so does its state. random: shuffled, state zero."""
    val_fraction: float | None = None
    """Part to test on, of what max-tokens leaves over (None: 0.1 of it). If it leaves nothing over, this part of the
    text, its end, is kept from training, but only when this option is given."""
    val_tokens: int = 1_000_000
    """Held-out tokens that are read at an evaluation, at most; -1 for all."""
    test_fraction: float = 0.0
    """Part of the text, its end, that is kept from training and from evaluations, and read once when the run ends."""
    save_seconds: float = 10.0
    """Seconds between checkpoints; more where saving takes long, so that it takes a twentieth of the time at most."""
    seed: int = 0
    """Seed of the initial parameters and of the order of batches."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU where there is one."""
    watch_gradients: bool = False
    """Log with every evaluation how far gradients reach: the derivative of each layer's last state with respect to its
    state k steps before, up to num-steps, and the largest singular values of its recurrent matrices."""
    precision: Literal["fp32", "bf16", "fp64"] = "fp32"
    """Numbers to compute in; bf16: products in bfloat16, parameters in float32 (autocast)."""
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """How exact products in float32 have to be, as torch.set_float32_matmul_precision: medium may round what is
    multiplied to bfloat16, which processors with instructions for it multiply up to three times as fast; high to
    TensorFloat32, on GPUs that have it. All else, sums of products too, stays float32."""
    compile: bool = False
    """Let torch.compile translate the model; the first update then takes long."""
    threads: int | None = None
    """Threads of the processor that PyTorch may use (None: PyTorch's own choice)."""
    out: Path | None = None
    """Folder to write, new or empty (None: runs/CELL-ENGINE, with a number added if that is taken)."""

    def validate(self) -> None:
        """Raise ValueError or TypeError, in one sentence, for the first option that no run can use."""
        if not is_path(self.cell):
            _one_of("cell", self.cell, (*CELLS, "path/to/file.py:ClassName"))
        _one_of("engine", self.engine, ENGINES)
        self._check_engine()
        _one_of("sampling", self.sampling, ("sequential", "random"))
        for name in ("batch_size", "num_steps", "num_hiddens", "num_layers", "epochs"):
            _whole_number(name, getattr(self, name), least=1)
        for name in ("max_updates", "patience", "eval_every", "threads"):
            if getattr(self, name) is not None:
                _whole_number(name, getattr(self, name), least=1)
        for name in ("seed", "min_freq", "embedding", "warmup"):
            _whole_number(name, getattr(self, name), least=0)
        for name, choices in CHOICES.items():
            _one_of(name, getattr(self, name), choices)
        _whole_number("val_tokens", self.val_tokens, least=-1)
        self._check_numbers()
        self._check_model()
        self._check_bound()
        _whole_number("max_tokens", self.max_tokens, least=-1)
        if self.seed >= 2**63:
            raise ValueError(f"seed must be below 2**63, received {self.seed}")
        if self.max_tokens == 0:
            raise ValueError("max_tokens must be at least 1, or -1 for the whole text, received 0")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr must be a finite number above 0, received {self.lr}")
        if not self.clip > 0:
            raise ValueError(f"clip must be a number above 0, received {self.clip}")
        if self.val_fraction is not None and not 0 <= self.val_fraction <= 1:
            raise ValueError(f"val_fraction must be between 0 and 1, received {self.val_fraction}")

    def _check_numbers(self) -> None:
        for name in ("dropout", "weight_dropout", "beta1", "beta2", "test_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, received {getattr(self, name)}")
        for name in ("weight_decay", "min_lr", "save_seconds"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a finite number of at least 0, received {value}")
        if not math.isfinite(self.forget_bias):
            raise ValueError(f"forget_bias must be a finite number, received {self.forget_bias}")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ValueError(f"minutes must be a finite number above 0, received {self.minutes}")
        if self.val_tokens in (0, 1):
            raise ValueError(f"val_tokens must be at least 2, or -1 for all, received {self.val_tokens}")

    def _check_model(self) -> None:
        if self.tie_weights and self.embedding != self.num_hiddens:
            raise ValueError(
                f"tie_weights needs an embedding as wide as num_hiddens, {self.num_hiddens}, received {self.embedding}"
            )

    def _check_bound(self) -> None:
        given = [name for name in ("max_updates", "minutes") if getattr(self, name) is not None]
        if self.epochs != TrainConfig.epochs:
            given.append("epochs")
        if len(given) > 1:
            raise ValueError(f"a run ends by one of epochs, max_updates and minutes, received {' and '.join(given)}")

    def _check_engine(self) -> None:
        if self.reset_after is not None and self.cell != "gru":
            raise ValueError(f"reset_after is an option of the cell gru; the cell is {self.cell}")
        if self.engine != "builtin":
            return
        if self.cell not in BUILTIN_CELLS:
            raise ValueError(
                f"engine builtin has the cells {', '.join(BUILTIN_CELLS)} of torch.nn alone, received {self.cell}: "
                "engines fused and textbook have every cell"
            )
        if self.locked_dropout or self.weight_dropout:
            raise ValueError(
                "engine builtin has neither locked_dropout nor weight_dropout: the other engines have both"
            )
        if self.reset_after is False:
            raise ValueError(
                "engine builtin cannot reset before the product: nn.GRU's reset gate acts after it, and no choice of "
                "parameters makes the two equal; engines fused and textbook have both"
            )

    @property
    def resets_after(self) -> bool | None:
        """Whether the GRU's reset gate acts after the recurrent product; None for other cells."""
        if self.cell != "gru":
            return None
        return self.engine == "builtin" if self.reset_after is None else self.reset_after

    @property
    def is_the_books(self) -> bool:
        """Whether the model is one of the book's own: one layer of its RNN, GRU or LSTM, with one bias a gate."""
        books_cell = self.cell in ("rnn", "lstm") or self.resets_after is False
        extras = (self.embedding, self.dropout, self.weight_dropout, self.tie_weights)
        plain = not any(extras) and self.init in ("auto", "book")
        return self.engine != "builtin" and books_cell and self.num_layers == 1 and plain

    @property
    def cell_name(self) -> str:
        """The cell's name without the path of its file."""
        return self.cell.rpartition(":")[2] if is_path(self.cell) else self.cell

    def under_engine(self, engine: Engine) -> TrainConfig:
        """The same model on another engine. ValueError, with the reason, if that engine cannot compute it."""
        config = replace(self, engine=engine, reset_after=self.resets_after)
        config.validate()
        return config

    def to_json(self) -> dict[str, Any]:
        """The options as JSON holds them: paths as strings."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, options: dict[str, Any]) -> TrainConfig:
        """The inverse of `to_json`. ValueError for options that are not these, or that `validate` refuses."""
        paths = {
            name: Path(options[name]) for name in ("text", "out", "token_dir") if isinstance(options.get(name), str)
        }
        try:
            config = cls(**{**options, **paths})
            config.validate()
        except TypeError as error:
            raise ValueError(f"these are not the options of a run: {error}") from None
        return config


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, received {value!r}")


def _whole_number(name: str, value: object, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, received {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, received {value}")
