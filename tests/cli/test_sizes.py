"""Numbers that size something: each command says in one line what is too much, before it works or makes a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.script_runs import RunScript
from support.small_runs import small_run

from gru_scratch.text.corpus import Text
from gru_scratch.training import hardware
from gru_scratch.training.folder import save_run
from gru_scratch.training.options import MOST_THREADS

MUCH = 10**9

TOO_MUCH = [
    ("train_translator", ["--num-hiddens", MUCH], "a gru of 1,000,000,000 hidden units that reads 64 numbers needs at"),
    ("train_translator", ["--num-pairs", 2 * MUCH, "--largest", 2 * MUCH], "a set of 2,000,000,000 pairs needs at"),
    ("train_classifier", ["--embedding", MUCH], "hidden units that reads 1,000,000,000 numbers needs at least"),
    ("gradients", ["--num-hiddens", MUCH], "a study with num_hiddens 1,000,000,000, batch_size 32, num_steps 35 needs"),
    ("gradients", ["--batch-size", MUCH], "batch_size 1,000,000,000, num_steps 35 needs at least"),
    ("gradients", ["--sequences", MUCH], "sequences 1,000,000,000, span 500 needs at least"),
    ("gradients", ["--seeds", MUCH], "seeds must be at most 10,000, received 1,000,000,000"),
    ("memory", ["--batch-size", MUCH], "a study with num_hiddens 32, batch_size 1,000,000,000 needs at least"),
    ("memory", ["--lengths", 10, MUCH], "32 units on 512 sequences of 1,000,000,000 steps needs at least"),
    ("memory", ["--seeds", MUCH], "seeds must be at most 10,000, received"),
    ("memory", ["--first-seed", 2**63], "seeds must be below 2**61, received"),
    ("forecast", ["--length", MUCH], "a series of 1,000,000,000 values needs at least"),
    ("forecast", ["--length", 10 * MUCH, "--series", "noisy-sine"], "a series of 10,000,000,000 values needs at least"),
    ("forecast", ["--order", MUCH], "a study with num_hiddens 32, batch_size 64, order 1,000,000,000 needs at least"),
    ("forecast", ["--seeds", MUCH], "seeds must be at most 10,000, received"),
    (
        "compare",
        ["--batch-size", MUCH],
        "a training step of batch 1000000000, steps 35, hidden 256, vocabulary 28 needs",
    ),
    ("compare", ["--threads", MUCH], f"threads must be at least 1 and at most {MOST_THREADS}, received"),
]


@pytest.mark.parametrize(("script", "words", "says"), TOO_MUCH, ids=[f"{s} {w[0]} {w[-1]}" for s, w, _ in TOO_MUCH])
def test_a_number_that_asks_for_too_much(
    script: str, words: list[object], says: str, in_process: RunScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "machine_bytes", lambda: 2**34)
    status, out, err = in_process(script, *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err
    assert not Path("runs").exists()


def test_what_a_run_of_a_text_and_its_samples_need(
    in_process: RunScript, text: Text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = small_run(text.path)
    (tmp_path / "run").mkdir()
    save_run(tmp_path / "run", trainer, None)
    for words, says in (
        (["--length", 10**30], "length must be at most"),
        (["--length", 10**12, "--n", 4], "a length of 1,000,000,000,000 needs at least 29,802.3 GiB"),
        (["--n", 10**12], "n = 1,000,000,000,000 needs at least"),
    ):
        status, out, err = in_process("generate", "run", "--device", "cpu", *words)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert says in err
    monkeypatch.setattr(hardware, "machine_bytes", lambda: 2**20)
    with pytest.raises(ValueError, match="a batch of 64 sequences of 256 steps needs at least"):
        small_run(text.path, batch_size=64, num_steps=256, max_tokens=100_000)
