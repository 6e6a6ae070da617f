"""The options of every training run, whatever it trains, in the groups in which help shows them.

Each kind of run adds groups of its own; see `gru_scratch.training.config`. Options are checked once, when they are
made. Neither PyTorch nor matplotlib is imported, so that help appears at once.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

BOUNDS = ("epochs", "max_updates", "minutes")
"""Options that end a run, of which one is given. It may grow when the run is resumed."""
MAY_DIFFER: tuple[str, ...] = (*BOUNDS, "out", "device")
"""Options that may change when a run is resumed."""

MOST_THREADS = 4096

Options = TypeVar("Options", bound="RunOptions")


@dataclass(frozen=True)
class Otherwise:
    """In an option's `Annotated` type: what None (or an empty tuple) means, which help shows as the default."""

    meaning: str


@dataclass(frozen=True)
class OptimisationOptions:
    """How the parameters are updated."""

    batch_size: int = 32
    """Examples in a minibatch."""
    lr: float = 1.0
    """Learning rate; about 1 suits sgd, about 0.002 adamw."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """sgd is stochastic gradient descent, as in the book; adamw is torch.optim.AdamW."""
    weight_decay: float = 0.01
    """Weight decay of AdamW, for matrices; biases do not decay."""
    beta1: float = 0.9
    """AdamW's decay rate of the mean of gradients."""
    beta2: float = 0.99
    """AdamW's decay rate of the mean of squared gradients."""
    schedule: Literal["constant", "cosine"] = "constant"
    """With cosine the learning rate falls along half a cosine to --min-lr at the end of the run."""
    min_lr: Annotated[float | None, Otherwise("a tenth of lr")] = None
    """Learning rate at the end of the cosine."""
    warmup: int = 0
    """Updates in which the learning rate rises to lr."""
    clip: float = 1.0
    """Norm to which all gradients together are clipped."""
    seed: int = 0
    """Seed of the initial parameters and of the order of batches."""


@dataclass(frozen=True)
class EndOptions:
    """When the run ends, how often it is evaluated, and which parameters it keeps."""

    epochs: int = 500
    """End after this many passes over the training data."""
    max_updates: Annotated[int | None, Otherwise("by epochs")] = None
    """End after this many updates instead."""
    minutes: Annotated[float | None, Otherwise("by epochs")] = None
    """End after this much time instead, in minutes by the clock, evaluations and checkpoints included."""
    patience: Annotated[int | None, Otherwise("never")] = None
    """End when the held-out loss has not fallen for this many evaluations in a row."""
    keep: Literal["last", "best"] = "last"
    """Parameters in model.safetensors at the end: the last, or those of the lowest held-out loss, which are always in
    best.safetensors. Without a held-out part they are the last."""
    eval_every: Annotated[int | None, Otherwise("about 50 times in a run")] = None
    """Evaluate after every this many updates."""


@dataclass(frozen=True)
class MachineOptions:
    """Device, threads and precision of the run."""

    device: str = "auto"
    """One of cpu, cuda, cuda:N and mps; auto takes a GPU where there is one."""
    threads: Annotated[int | Literal["auto"] | None, Otherwise("as many as there are processors")] = None
    """Processor threads that PyTorch may use. With auto the run measures once whether one or all are faster, and keeps
    that number when it is resumed."""
    precision: Literal["fp32", "bf16", "fp64"] = "fp32"
    """Dtype to compute in. With bf16 products are in bfloat16 and parameters in float32 (autocast)."""
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """Precision of products in float32, as in torch.set_float32_matmul_precision. With medium the factors may be
    rounded to bfloat16, which some processors multiply up to three times as fast; with high to TensorFloat32, on GPUs
    that have it. Sums, and all else, stay in float32."""
    compile: bool = False
    """Compile the model with torch.compile; the first update then takes long."""


@dataclass(frozen=True)
class FolderOptions:
    """Folder of the run, and its checkpoints."""

    out: Annotated[Path | None, Otherwise("runs/CELL or runs/CELL-ENGINE, numbered where that is taken")] = None
    """Folder to write, new or empty."""
    save_seconds: float = 10.0
    """Seconds between checkpoints; longer if saving would take more than a twentieth of the time."""


@dataclass(frozen=True)
class ResumableFolderOptions(FolderOptions):
    __doc__ = FolderOptions.__doc__

    resume: Annotated[Path | None, Otherwise("a new run")] = None
    """Run folder to resume. The run keeps its options; only --epochs, --max-updates or --minutes may be raised."""


@dataclass(frozen=True)
class RunOptions(OptimisationOptions, EndOptions, MachineOptions, FolderOptions):
    """The options of every run, which `gru_scratch.training.trainer.Trainer` and the run folder read.

    Raises ValueError or TypeError for the first invalid option.
    """

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise for the first invalid option. A run with more options checks those after these."""
        check_choices(self)
        check_whole(self, ("batch_size", "epochs"), least=1)
        check_whole(self, ("max_updates", "patience", "eval_every"), least=1)
        if self.threads != "auto":
            check_whole(self, ("threads",), least=1)
            if self.threads is not None and self.threads > MOST_THREADS:
                raise ValueError(f"threads must be at most {MOST_THREADS}, received {self.threads}")
        check_whole(self, ("seed", "warmup"), least=0)
        if self.seed >= 2**63:
            raise ValueError(f"seed must be below 2**63, received {self.seed}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr must be a finite number above 0, received {self.lr}")
        if not self.clip > 0:
            raise ValueError(f"clip must be a number above 0, received {self.clip}")
        check_below_one(self, ("beta1", "beta2"))
        for name in ("weight_decay", "min_lr", "save_seconds"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a finite number of at least 0, received {value}")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ValueError(f"minutes must be a finite number above 0, received {self.minutes}")
        given = [name for name in ("max_updates", "minutes") if getattr(self, name) is not None]
        if self.epochs != type(self).epochs:
            given.append("epochs")
        if len(given) > 1:
            raise ValueError(f"a run ends by one of epochs, max_updates and minutes, received {' and '.join(given)}")

    def idle(self) -> dict[str, str]:
        """The options that have no effect beside the others, each with the reason."""
        idle: dict[str, str] = {}
        if self.optimizer == "sgd":
            idle |= dict.fromkeys(("weight_decay", "beta1", "beta2"), "with optimizer sgd: expected adamw")
        if self.schedule == "constant":
            idle["min_lr"] = "with schedule constant: expected cosine"
        if self.precision == "fp64":
            idle["matmul_precision"] = "with precision fp64: expected fp32"
        return idle

    def check_given(self, given: Collection[str]) -> None:
        """Raise ValueError for an option that was `given` for a new run, and has no effect beside the others."""
        for name, reason in self.idle().items():
            if name in given:
                raise ValueError(f"{name} has no effect {reason}")

    def check_held_out(self, given: Collection[str], label: str) -> None:
        """Raise ValueError for an option that was `given` for a new run without a held-out part, and would read it.

        `label` says why there is none, which for some runs the data alone can tell.
        """
        for name in ("keep", "patience", "val_tokens"):
            if name in given and getattr(self, name) not in (None, "last"):
                raise ValueError(f"{name} {getattr(self, name)} needs a held-out part, received {label}")

    @property
    def folder_name(self) -> str:
        """The name of the folder under runs/ where `out` is not given."""
        raise NotImplementedError

    @property
    def may_differ(self) -> tuple[str, ...]:
        """The options that may change when the run is resumed; of these, the bound may only grow."""
        return MAY_DIFFER

    def to_json(self) -> dict[str, Any]:
        """The options as JSON holds them."""
        return {name: to_plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls: type[Options], options: dict[str, Any]) -> Options:
        """The inverse of `to_json`. ValueError for options that are not these, or that no run can use."""
        hints = get_type_hints(cls)
        if unknown := sorted(options.keys() - hints.keys()):
            raise ValueError(
                f"a newer version of gru_scratch made this run: this one does not know its option {', '.join(unknown)}"
            )
        try:
            return cls(**{name: from_plain(value, Path in get_args(hints[name])) for name, value in options.items()})
        except TypeError as error:
            raise ValueError(f"these are not the options of a run: {error}") from None

    def check_goes_on(self, made: dict[str, Any]) -> None:
        """Raise ValueError unless a run that was made with these options, as from `to_json`, can be resumed with ours.

        An option that did not exist when the run was made had its default.
        """
        old = {**type(self)().to_json(), **made}
        for name, value in self.to_json().items():
            if name not in self.may_differ and old.get(name) != value:
                raise ValueError(f"the run was made with {name} {old.get(name)}, not {value}")
        for name in BOUNDS:
            before, now = old.get(name), getattr(self, name)
            if before != now and (before is None or now is None or now < before):
                raise ValueError(f"the run was made with {name} {before}, which may grow but not become {now}")


def to_plain(value: object) -> Any:
    """A value as JSON holds it: a path as a string, a tuple as a list."""
    if isinstance(value, tuple):
        return [to_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def from_plain(value: Any, is_path: bool) -> Any:
    """The inverse of `to_plain`; strings are paths, if `is_path` says so."""
    if isinstance(value, list):
        return tuple(from_plain(each, is_path) for each in value)
    return Path(value) if is_path and isinstance(value, str) else value


def check_choices(options: RunOptions) -> None:
    """Raise ValueError for an option that has none of the values that its type lists."""
    for name, hint in get_type_hints(type(options)).items():
        if get_origin(hint) is Literal:
            check_one_of(name, getattr(options, name), get_args(hint))


def check_one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, received {value!r}")


def check_whole(options: RunOptions, names: tuple[str, ...], *, least: int) -> None:
    """Raise TypeError or ValueError for an option that is neither None nor a whole number of at least `least`."""
    optional = {field.name for field in fields(options) if field.default is None}
    for name in names:
        value = getattr(options, name)
        if value is None and name in optional:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be a whole number, received {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, received {value}")


def check_below_one(options: RunOptions, names: tuple[str, ...]) -> None:
    for name in names:
        if not 0 <= getattr(options, name) < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, received {getattr(options, name)}")
