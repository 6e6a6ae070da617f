"""A text that is larger than what may be kept of it in memory: numbered, and trained on."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

from support.script_runs import FORKS
from support.small_runs import small_run

from gru_scratch.text.corpus import story_path

TEXT_BYTES = 1 << 27
ENCODING_BYTES = 40_000_000
"""Far below a tenth of what the project promises for a text ten times as long."""


def peak() -> int:
    """Bytes of memory that this process has had at once, at most."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def measure(folder: Path) -> None:
    """Number the text of a folder and train on it; how much more memory that took than was taken before."""
    os.chdir(folder)
    before = peak()
    options = {"num_hiddens": 4, "max_tokens": -1, "val_fraction": 0.0, "max_updates": 150, "batch_size": 16}
    trainer = small_run(Path("t.txt"), sampling="random", **options)
    encoding = peak() - before
    trainer.run()
    found = {"encoding": encoding, "all": peak() - before, "tokens": trainer.task.text.num_tokens}
    Path("found.json").write_text(json.dumps(found))


def test_it_is_never_in_memory(tmp_path: Path) -> None:
    story = story_path().read_bytes()
    with open(tmp_path / "t.txt", "wb") as file:
        for _ in range(TEXT_BYTES // len(story) + 1):
            file.write(story)
    process = FORKS.Process(target=measure, args=(tmp_path,))
    process.start()
    process.join(300)
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["tokens"] > 0.9 * TEXT_BYTES
    assert found["encoding"] < ENCODING_BYTES
    assert found["all"] < 0.7 * TEXT_BYTES
