"""Go on with a run: its options from its `state`, and a folder that one run at a time may write to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gru_scratch.text.locking import Lock
from gru_scratch.training.checkpoint import Snapshot, holds_nothing, read_snapshot
from gru_scratch.training.config import TrainConfig

STATE = "state"


def read_state(folder: Path) -> Snapshot:
    """The state of a run. FileNotFoundError or ValueError, with the path, where there is none or it is damaged."""
    if not folder.exists():
        raise FileNotFoundError(f"there is no run folder {folder}")
    path = folder / STATE
    if not path.is_file():
        raise ValueError(f"{folder} is not a run that can go on: it has no file {STATE}")
    return read_snapshot(path)


def stored_config(snapshot: Snapshot, folder: Path) -> TrainConfig:
    """The options that the run was made with. ValueError if they are not this version's."""
    try:
        return TrainConfig.from_json(snapshot.record["options"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{folder / STATE} is of another version of this program: {error}") from None


@contextmanager
def only_writer(folder: Path, *, new: bool) -> Iterator[None]:
    """Within the block no other run writes to `folder`. ValueError if one does, or has since a `new` one was made."""
    lock = Lock(folder)
    try:
        if not lock.take():
            raise ValueError(f"another run is writing to {folder}")
        if new and not holds_nothing(folder):
            raise ValueError(f"another run has written to {folder}")
        yield
    finally:
        lock.release()
