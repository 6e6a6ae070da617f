"""The folder of a run: its files, and how a model is read back from it.

model.safetensors   parameters under torch.nn's names
config.json         options of the run, kind of model, text, versions
vocab.json          the tokens and their counts
best.safetensors    the parameters of the lowest held-out loss, if there is a held-out text
metrics.jsonl       one record an epoch or an evaluation
curve.png           perplexity, gradient norm and clipped share
sample.txt          continuations of two prefixes
test.json           losses on the test part of the text, if there is one
state               all that the run needs to resume
manifest.json       SHA-256 sums of the others, but `state`, which carries its own
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from gru_scratch.cells import CellFile, is_path
from gru_scratch.engines.names import Engine
from gru_scratch.text.files import Lock, make_empty, make_folder, write_atomically
from gru_scratch.text.reading import TextPath
from gru_scratch.text.vocab import Vocab
from gru_scratch.training.build import Model, build_model, reset_token, set_weights
from gru_scratch.training.checkpoint import (
    Snapshot,
    pack_snapshot,
    read_json,
    read_snapshot,
    read_tensors,
    read_verified,
    write_files,
)
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.curve import draw_curve
from gru_scratch.training.options import Options, RunOptions, from_plain
from gru_scratch.training.text_task import FORMAT
from gru_scratch.training.trainer import Trainer

STATE = "state"
LANGUAGE_MODEL, TRANSLATOR, CLASSIFIER = "language model", "translator", "classifier"
"""The kinds of run. A folder that does not say its kind holds a language model."""
COMMANDS = {
    LANGUAGE_MODEL: "gru-scratch generate, explore and train --resume",
    TRANSLATOR: "gru-scratch translate and train-translator --resume",
    CLASSIFIER: "gru-scratch classify and train-classifier --resume",
}
LEFTOVERS = (f"{STATE}.tmp",)
"""The files that a run leaves behind if it is killed while it writes its first state."""
X_AXES = {"epochs": "epoch", "max_updates": "update", "minutes": "minutes"}


def create_folder(options: RunOptions) -> Path:
    """Make the folder that a run asks for; ValueError as `make_folder`."""
    return make_folder(options.out, options.folder_name, what="run folder", leftovers=LEFTOVERS)


@contextmanager
def only_writer(folder: Path, *, new: bool) -> Iterator[None]:
    """Within the block no other run writes to `folder`. ValueError if one does, or has since a `new` one was made."""
    with Lock(folder) as lock:
        if not lock.take():
            raise ValueError(f"another run is writing to {folder}")
        if new and not make_empty(folder, LEFTOVERS):
            raise ValueError(f"another run has written to {folder}")
        yield


def save_run(folder: Path, trainer: Trainer[Any], sample: str | None, snapshot: Snapshot | None = None) -> None:
    """Write all files of the folder again, `state` first, from which the others can be made.

    Args:
        sample: the text of sample.txt; None leaves it and curve.png, which take long, as they are.
        snapshot: the trainer's state, if the caller has it already.

    Raises OSError, with the folder, if a file cannot be written; the older files are then still intact.
    """
    task, state = trainer.task, trainer.state
    snapshot = trainer.snapshot() if snapshot is None else snapshot
    files = {
        **task.files(),
        "metrics.jsonl": "".join(json.dumps(record) + "\n" for record in state.history).encode(),
        "model.safetensors": _pack(trainer.final_weights()),
    }
    if state.best:
        files["best.safetensors"] = _pack(state.best)
    if sample is not None:
        files["curve.png"] = draw_curve(state.history, task.title, X_AXES[trainer.bound.kind])
        files["sample.txt"] = sample.encode()
    try:
        write_atomically(folder / STATE, pack_snapshot(snapshot))
        write_files(folder, files)
    except OSError as error:
        raise OSError(
            f"cannot save the run in {folder}: {error.strerror or error}; the last checkpoint there is intact"
        ) from error


def save_test(folder: Path, result: dict[str, Any]) -> None:
    """Write test.json."""
    write_files(folder, {"test.json": _json(result)})


def read_state(folder: Path) -> Snapshot:
    """The state of a run. FileNotFoundError or ValueError, with the path, where there is none or it is damaged."""
    if not folder.exists():
        raise FileNotFoundError(f"there is no run folder {folder}")
    path = folder / STATE
    if not path.is_file():
        raise ValueError(f"{folder} is not a run that can be resumed: it has no file {STATE}")
    return read_snapshot(path)


def stored_config(folder: Path) -> TrainConfig:
    """The options that a language model was trained with; raises as `stored_options`."""
    return stored_options(folder, LANGUAGE_MODEL, TrainConfig)


def stored_options(folder: Path, kind: str, options: type[Options]) -> Options:
    """The options that a run was made with.

    Raises ValueError if they are those of another kind of run, or not this version's; else as `read_state`.
    """
    record = read_state(folder).record
    check_kind(folder, record, kind)
    try:
        return options.from_json(record["options"])
    except KeyError as error:
        raise ValueError(f"{folder / STATE} is of another version of this program: {error}") from None


def _pack(weights: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: weight.detach().cpu().contiguous() for name, weight in weights.items()})


@dataclass(frozen=True)
class LoadedRun:
    """A trained model, and what is needed to use it."""

    config: TrainConfig
    vocab: Vocab
    model: Model
    cleaning: str
    """How the text of the run was cleaned: book or raw."""
    text_path: TextPath
    """Where the text of the run was."""
    text_sha256: str
    """Of that text."""


def load_run(
    folder: Path,
    device: torch.device,
    *,
    cell: str | None = None,
    engine: Engine | None = None,
    best: bool = False,
) -> LoadedRun:
    """Read a model back from its run folder.

    A user's cell is imported from the file that the run recorded, if that has not changed since; code that lies in the
    run folder itself is never executed.

    Args:
        folder: the run folder.
        device: where to put the parameters.
        cell: another file to load the user's cell from, as path/to/file.py:ClassName.
        engine: the engine to run the model on (None: the run's own).
        best: whether to load the parameters of the lowest held-out loss.

    Raises FileNotFoundError if there is no such folder, or no file of its cell; ValueError, with the file, if it is not
    a run folder, if anything in it is missing, cut short or changed, or if the engine cannot compute the cell.
    """
    files = RunFiles(folder, LANGUAGE_MODEL)
    with files.complete():
        config = TrainConfig.from_json(files.described["options"])
        if engine is None and config.engine == "native":
            engine = "auto"  # a model trained on a machine with a compiler can be read on one without
        if engine is not None:
            config = config.under_engine(engine)
        cell_file = files.cell_file(config.cell, files.described["model"]["cell_file"], cell)
        vocab = Vocab.from_json(files.text("vocab.json"))
        model = build_model(config, len(vocab), device, cell_file, reset_token(config, vocab))
        set_weights(config, model, files.weights(best=best))
        text = files.described["text"]
        run = LoadedRun(config, vocab, model, text["cleaning"], from_plain(text["path"], True), text["sha256"])
    if isinstance(model, nn.Module):
        model.eval()
    return run


class RunFiles:
    """The files of a run folder, each checked as it is read.

    Raises FileNotFoundError if there is no such folder; ValueError, with the file, if it is not a run folder, if
    anything in it is missing, cut short or changed, or if the run is of another kind, which names the command for it.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        if not folder.exists():
            raise FileNotFoundError(f"there is no run folder {folder}")
        if not folder.is_dir():
            raise ValueError(f"expected a run folder, received the file {folder}")
        self.folder, self.path = folder, folder / "config.json"
        self.described = read_json(read_verified(folder, "config.json"), self.path)
        if self.described.get("format") != FORMAT:
            raise ValueError(
                f"{self.path} is of format {self.described.get('format')}; this version reads format {FORMAT}"
            )
        check_kind(folder, self.described, kind)

    @contextmanager
    def complete(self) -> Iterator[None]:
        """Within the block, a name that is missing in `described` means that the file is damaged."""
        try:
            yield
        except KeyError as error:
            raise ValueError(f"{self.path} is damaged: it has no {error}") from None

    def text(self, name: str) -> str:
        """The characters of a file."""
        return read_verified(self.folder, name).decode()

    def weights(self, *, best: bool) -> dict[str, Tensor]:
        """The parameters: those that the run kept, or those of its best evaluation."""
        name = "best.safetensors" if best else "model.safetensors"
        return read_tensors(read_verified(self.folder, name), self.folder / name)

    def cell_file(self, cell: str, recorded: Any, given: str | None) -> CellFile | None:
        """The file of a user's cell: the one given, else the one recorded; None for a shipped cell."""
        if not is_path(cell):
            if given is not None:
                raise ValueError(f"{self.folder} has the shipped cell {cell}, which needs no file, received {given!r}")
            return None
        try:
            file = CellFile(**recorded) if given is None else CellFile.find(given)
        except TypeError:
            raise ValueError(f"{self.path} is damaged: it does not record the file of {cell}") from None
        if self.folder.resolve() in Path(file.path).resolve().parents:
            raise ValueError(f"{file.path} lies in the run folder, whose files are read but never executed")
        try:
            file.load()
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"{error}; a cell given as path/to/file.py:{file.name} would be taken instead") from None
        return file


def check_kind(folder: Path, recorded: Mapping[str, Any], kind: str) -> None:
    """ValueError, with the commands for it, if the run in a folder is of another kind."""
    recorded_kind = recorded.get("kind", LANGUAGE_MODEL)
    if recorded_kind != kind:
        commands = COMMANDS.get(recorded_kind)
        taken = f"which {commands} can open" if commands else "which this version does not know"
        raise ValueError(f"{folder} holds a {recorded_kind}, {taken}; expected a {kind}")


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
