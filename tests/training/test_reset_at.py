"""A text whose separator clears the state: trained, evaluated, resumed and continued as its pieces apart."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from support.small_runs import CPU, history_of, same_tensors, small_run, stopped_at, through_a_file
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch import GRU, LSTM, RNNModel
from gru_scratch.generate.continuation import generate
from gru_scratch.generate.stepping import can_step
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.evaluate import evaluate
from gru_scratch.training.folder import load_run, save_run

V, H, SEPARATOR = 6, 5, 2


def apart(model: RNNModel, X: Tensor) -> Tensor:
    """The scores (T * B, V) of the pieces of each row, each from the zero state: a separator begins a piece."""
    model.reset_at = None
    rows = []
    for row in X:
        cuts = [0, *(t for t in range(1, len(row)) if row[t] == SEPARATOR), len(row)]
        pieces = [model(row[None, a:b], model.begin_state(batch_size=1))[0] for a, b in pairwise(cuts)]
        rows.append(torch.cat(pieces))
    model.reset_at = SEPARATOR
    return torch.stack(rows, 1).flatten(0, 1)


@pytest.mark.parametrize("make", [GRU, LSTM], ids=["gru", "lstm"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "batch_first": True}, {"engine": "textbook"}], ids=repr)
def test_loss_and_gradients_are_those_of_the_pieces(make: Any, options: dict[str, Any]) -> None:
    model = RNNModel(make(V, H, **options), V, reset_at=SEPARATOR).double()
    X, Y = torch.randint(V, (3, 20)), torch.randint(V, (60,))
    results = []
    for scores_of in (lambda X: model(X, model.begin_state(batch_size=3))[0], lambda X: apart(model, X)):
        loss = F.cross_entropy(scores_of(X), Y)
        results.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_state_that_is_carried_along_reaches_to_the_separator() -> None:
    model = RNNModel(LSTM(V, H), V, reset_at=SEPARATOR).double()
    X = torch.tensor([[1, 3, SEPARATOR, 4, 1]])
    carried = torch.randn(1, 1, H).double(), torch.randn(1, 1, H).double()
    (with_state, final), (without, other) = model(X, carried), model(X, model.begin_state())
    assert not torch.isclose(with_state[:2], without[:2]).all(1).any()
    torch.testing.assert_close((with_state[2:], final), (without[2:], other))


def test_what_is_no_token_or_cannot_be_cleared_is_refused() -> None:
    with pytest.raises(ValueError, match="reset_at must be a token from 0 to 5, received 6"):
        RNNModel(GRU(V, H), V, reset_at=6)
    with pytest.raises(ValueError, match=r"reset_at needs a layer of gru_scratch, received GRU"):
        RNNModel(nn.GRU(V, H), V, reset_at=1)
    with pytest.raises(ValueError, match="engine builtin cannot clear a state inside a sequence"):
        TrainConfig(reset_at="a", engine="builtin")
    with pytest.raises(ValueError, match="watch_gradients follows a state that is never cleared"):
        TrainConfig(reset_at="a", watch_gradients=True)


LINES = "so it was\nand here\nwe are\n"


def lines(folder: Path, name: str = "lines.txt") -> Path:
    path = folder / name
    path.write_text(LINES * 30)
    return path


@pytest.mark.parametrize(
    ("reset_at", "options", "received"),
    [
        ("we", {}, "'we'"),
        ("", {}, "''"),
        ("\u2603", {}, "'\u2603'"),
        ("\u00e9", {"tokens": "byte"}, "'\u00e9'"),
        (r"\n", {"tokens": "word"}, r"'\\n'"),
        (r"\n", {"cleaning": "book"}, r"'\\n'"),
        ("w", {"min_freq": 100}, "'w'"),
        ("<unk>", {"tokens": "word"}, "'<unk>'"),
    ],
)
def test_what_is_not_one_token_of_the_text_is_refused(
    tmp_path: Path, reset_at: str, options: dict[str, Any], received: str
) -> None:
    with pytest.raises(ValueError, match=f"reset_at must be one token of the text's vocabulary, received {received}"):
        small_run(lines(tmp_path), reset_at=reset_at, **options)


@pytest.mark.parametrize(
    "options", [{}, {"engine": "textbook", "cell": "lstm"}, {"sampling": "random", "num_layers": 2}], ids=repr
)
def test_a_run_trains_resumes_and_is_read_back(tmp_path: Path, options: dict[str, Any]) -> None:
    text = lines(tmp_path)
    whole, other = (small_run(text, max_tokens=-1, reset_at=token, **options) for token in (r"\n", None))
    assert whole.run()
    other.run()
    assert not same_tensors(whole.final_weights(), other.final_weights())
    part = stopped_at(small_run(text, max_tokens=-1, reset_at=r"\n", **options), 5)
    snapshot = through_a_file(part.snapshot(), tmp_path / "state")
    part = small_run(text, max_tokens=-1, reset_at=r"\n", **options)
    part.restore(snapshot)
    part.run()
    assert history_of(part) == history_of(whole)
    assert same_tensors(part.final_weights(), whole.final_weights())
    with pytest.raises(ValueError, match=r"the run was made with reset_at None, not \\n"):
        part.restore(other.snapshot())
    save_run(tmp_path, whole, None)
    loaded = load_run(tmp_path, CPU)
    assert loaded.vocab.to_tokens(loaded.model.reset_at) == "\n"  # type: ignore[union-attr, arg-type]
    tokens = loaded.vocab.encode(LINES * 3)
    losses = [evaluate(model, tokens, CPU, rows=2, num_steps=9).loss for model in (whole.task.model, loaded.model)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("how", ["step by step", "call by call"])
def test_a_continuation_forgets_what_comes_before_the_separator(tmp_path: Path, how: str) -> None:
    run = small_run(lines(tmp_path), max_tokens=-1, epochs=20, lr=2.0, num_hiddens=16, reset_at=r"\n")
    run.run()
    model: Any = run.task.model
    assert can_step(model)
    if how == "call by call":
        model.register_forward_hook(lambda *args: None)
        assert not can_step(model)
    texts = [generate(model, run.task.text.vocab, f"{before}\nw", 30) for before in ("so it", "and here we", "")]
    assert len({text.partition("\n")[2] for text in texts}) == 1
