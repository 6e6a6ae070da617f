"""Several processes train one model: the losses of one process, files by the first alone, and a clear end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.script_runs import SCRIPTS, start_train, train

from gru_scratch.text.corpus import Text
from gru_scratch.training.checkpoint import read_snapshot
from gru_scratch.training.folder import load_run
from gru_scratch.training.processes import Processes, explain

SMALL = [
    "--num-hiddens",
    "6",
    "--batch-size",
    "4",
    "--num-steps",
    "7",
    "--max-tokens",
    "400",
    "--val-fraction",
    "0.001",
]
EXACT = [*SMALL, "--precision", "fp64"]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def train_together(cwd: Path, *arguments: object, count: int = 2, status: int = 0) -> list[str]:
    """`train.py` in so many processes as torchrun sets them up, each in a folder of its own; what each printed."""
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
    running, folders = [], []
    for rank in range(count):
        folder = cwd if rank == 0 else cwd / f"rank-{rank}"
        folder.mkdir(exist_ok=True)
        own = {**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        running.append(start_train(folder, *arguments, output="printed.txt", **own))
        folders.append(folder)
    for process in running:
        process.join(300)
    printed = [(folder / "printed.txt").read_text() for folder in folders]
    for folder in folders:
        (folder / "printed.txt").unlink()
    assert [process.exitcode for process in running] == [status] * count, printed
    return printed


def losses(folder: Path) -> list[Any]:
    """Of training and of the held-out text, and norms, in their order."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    names = ("train_loss", "held_out_loss", "gradient_norm", "tokens")
    return [record[name] for record in records for name in names if name in record]


def check_same_run(folder: Path, other: Path) -> None:
    assert losses(folder) == pytest.approx(losses(other), rel=0, abs=1e-9)
    ours, theirs = (read_snapshot(each / "state").tensors for each in (folder, other))
    names = [name for name in theirs if not name.startswith("generator")]
    assert {"carried.0"} < set(names) <= set(ours)
    for name in names:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        ["--engine", "textbook", "--max-updates", "20"],
        ["--cell", "lstm", "--num-layers", "2", "--optimizer", "adamw", "--lr", "0.01", "--max-updates", "20"],
    ],
    ids=["book", "adamw"],
)
def test_two_processes_give_the_losses_of_one_and_the_first_alone_writes(
    tmp_path: Path, text: Text, options: list[str]
) -> None:
    options = ["--text", str(text.path), *EXACT, *options, "--eval-every", "5"]
    train(tmp_path, *options, "--out", "one")
    first, second = train_together(tmp_path, *options, "--out", "two")
    assert "training perplexity" in first
    assert second == ""
    assert list((tmp_path / "rank-1").iterdir()) == []
    check_same_run(tmp_path / "two", tmp_path / "one")
    assert len([name for name in read_snapshot(tmp_path / "two" / "state").tensors if "generator" in name]) == 2
    load_run(tmp_path / "two", torch.device("cpu"))


def test_it_goes_on_with_another_number_of_processes(tmp_path: Path, text: Text) -> None:
    """Two, then one, then four, each from the middle of an epoch: the run of one process."""
    options = ["--text", str(text.path), *EXACT, "--eval-every", "4"]
    train(tmp_path, *options, "--max-updates", 12, "--out", "one")
    train_together(tmp_path, *options, "--max-updates", 4, "--out", "run")
    train(tmp_path, "--resume", "run", "--max-updates", 8)
    for rank in (1, 2, 3):
        (tmp_path / f"rank-{rank}").mkdir(exist_ok=True)
        (tmp_path / f"rank-{rank}" / "run").symlink_to(tmp_path / "run")
    train_together(tmp_path, "--resume", "run", "--max-updates", 12, count=4)
    check_same_run(tmp_path / "run", tmp_path / "one")


def test_what_they_cannot_do_is_said(tmp_path: Path, text: Text) -> None:
    printed = train_together(tmp_path, "--text", text.path, *SMALL, "--batch-size", 3, status=2)
    assert len(set(printed)) == 1
    assert "of all processes together and must be a multiple of their number, 2, received 3\n" in printed[0]
    assert printed[0].count("\n") == 1
    first, second = train_together(tmp_path, "--text", "nowhere.txt", *SMALL, status=2)
    assert first == "error: there is no text file nowhere.txt\n"
    assert second.startswith("error: process 1: another process of this run has ended")
    assert second.count("\n") == 1
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").touch()
    first, second = train_together(tmp_path, "--text", text.path, *SMALL, "--out", "taken", status=2)
    assert first == "error: the run folder taken is not empty: expected a new one\n"
    assert second.startswith("error: process 1: another process of this run has ended")


NOTES_ITS_NUMBER = """
import os, runpy, sys
from pathlib import Path

Path("process-" + os.environ["RANK"]).write_text(str(os.getpid()))
sys.path.insert(0, sys.argv[1])
del sys.argv[:1]
runpy.run_path(sys.argv[0] + "/train.py", run_name="__main__")
"""


def wait_for_update(state: Path, update: int, is_running: Callable[[], bool]) -> int:
    """Until the state of a run has come further than that; where it is then."""
    while not (state.exists() and read_snapshot(state).record["update"] > update):
        assert is_running()
        time.sleep(0.02)
    return int(read_snapshot(state).record["update"])


def test_torchrun_ends_the_job_when_a_process_dies_and_the_run_goes_on_with_one(tmp_path: Path, text: Text) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    options = ["--text", str(text.path), *SMALL, "--epochs", str(10**6), "--save-seconds", "0", "--out", "run"]
    (tmp_path / "noting.py").write_text(NOTES_ITS_NUMBER)
    command = [*torchrun, "noting.py", str(SCRIPTS), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    state = tmp_path / "run" / "state"
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as job:
        wait_for_update(state, 3, lambda: job.poll() is None)
        os.kill(int((tmp_path / "process-1").read_text()), signal.SIGKILL)
        _, err = job.communicate(timeout=200)
    assert job.returncode != 0
    assert "SIGKILL" in err
    reached = read_snapshot(state).record["update"]
    alone = start_train(tmp_path, "--resume", "run")
    assert wait_for_update(state, reached, alone.is_alive) > reached
    alone.kill()
    alone.join(60)


class TestFailures:
    def test_another_process_that_ended(self) -> None:
        gloo = "[/a/gloo/pair.cc:553] Connection closed by peer [127.0.0.1]:1. This is typically caused by a crash. See"
        said = explain(RuntimeError(gloo), Processes(1, 2))
        assert said == "process 1: another process of this run has ended (Connection closed by peer [127.0.0.1]:1)"
        assert explain(RuntimeError(gloo), Processes()) is None

    def test_memory_that_ran_out(self) -> None:
        with pytest.raises(RuntimeError) as error:
            torch.empty(10**16)
        for short in (error.value, MemoryError("no room"), torch.OutOfMemoryError("CUDA")):
            assert str(explain(short, Processes())).startswith("memory ran out (")

    def test_faults_of_the_program_stay_what_they_are(self) -> None:
        with pytest.raises(RuntimeError) as error:
            torch.zeros(2) @ torch.zeros(3)
        assert explain(error.value, Processes(0, 2)) is None
