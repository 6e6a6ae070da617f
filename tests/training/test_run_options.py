"""What the options of a run promise: tokens, first parameters, bounds, what is kept, numbers, advice."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.script_runs import train
from support.small_runs import CPU, history_of, same_tensors, small_run, stopped_at

from gru_scratch.cli.generate import show
from gru_scratch.generate.continuation import generate
from gru_scratch.text.corpus import Text
from gru_scratch.training.build import build_model, count_parameters, get_weights
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.evaluate import MIN_UPDATES, advice_if_stuck, evaluate, final_losses, unigram_loss
from gru_scratch.training.folder import load_run, save_run


class TestTokens:
    def test_bytes_of_any_file(self, tmp_path: Path) -> None:
        path = tmp_path / "data.bin"
        path.write_bytes(bytes(range(256)) * 4)
        trainer = small_run(path, tokens="byte", max_tokens=-1, epochs=1)
        trainer.run()
        assert trainer.task.text.train.tolist()[:3] == [1, 2, 3]  # type: ignore[union-attr]
        assert len(trainer.task.text.vocab) == 257
        save_run(tmp_path, trainer, None)
        run = load_run(tmp_path, CPU)
        assert len(generate(run.model, run.vocab, "é", 5, kind="byte", seed=0)) > 1

    def test_other_texts_are_raw_unless_asked(self, tmp_path: Path) -> None:
        path = tmp_path / "t.txt"
        path.write_text("A b—c 1\n" * 20)
        assert small_run(path, max_tokens=100).task.text.vocab.idx_to_token[1:] == [" ", "A", "b", "—", "c", "1", "\n"]
        assert small_run(path, max_tokens=60, cleaning="book").task.text.cleaning == "book"
        assert TrainConfig().cleaning == "auto"


class TestFirstParameters:
    def test_orthogonal(self, text: Text) -> None:
        weights = get_weights(*self.made(text, cell="lstm", init="orthogonal", embedding=5))
        for gate in weights["rnn.weight_hh_l0"].split(6):
            torch.testing.assert_close(gate @ gate.T, torch.eye(6), rtol=0, atol=1e-5)
        assert not weights["rnn.bias_ih_l0"].any()
        bound = math.sqrt(6 / (6 + 5))
        assert 0.8 * bound < weights["rnn.weight_ih_l0"].abs().max() <= bound

    def test_the_books_in_layers(self, text: Text) -> None:
        weights = get_weights(*self.made(text, cell="lstm", init="book", num_layers=2, num_hiddens=40))
        for name, weight in weights.items():
            if "bias" in name:
                assert not weight.any(), name
            else:
                assert weight.std() == pytest.approx(0.01, rel=0.1), name

    def test_torchs(self, text: Text) -> None:
        config, model = self.made(text, init="torch", num_hiddens=16)
        assert not config.is_the_books
        weights = get_weights(config, model)
        assert all(0.2 < weight.abs().max() <= 0.25 for name, weight in weights.items() if "rnn" in name)

    @pytest.mark.parametrize("engine", ["fused", "textbook", "builtin"])
    @pytest.mark.parametrize("layers", [1, 2])
    def test_the_bias_of_the_forget_gate(self, text: Text, engine: str, layers: int) -> None:
        options = {"cell": "lstm", "engine": engine, "num_layers": layers}
        plain, biased = (get_weights(*self.made(text, **options, forget_bias=b)) for b in (0.0, 1.5))
        for name, weight in plain.items():
            expected = weight.clone()
            if "bias_ih" in name:
                expected[6:12] += 1.5  # i, f, g, o
            torch.testing.assert_close(biased[name], expected, rtol=0, atol=1e-6)
        with pytest.raises(
            ValueError,
            match="forget_bias needs a cell in which a gate carries the state from step to step",
        ):
            self.made(text, cell="rnn", forget_bias=1.0)

    @pytest.mark.parametrize("engine", ["fused", "textbook", "builtin"])
    def test_a_gru_holds_longer_by_its_update_gate(self, text: Text, engine: str) -> None:
        plain, biased = (get_weights(*self.made(text, engine=engine, forget_bias=b)) for b in (0.0, 1.5))
        expected = plain["rnn.bias_ih_l0"].clone()
        expected[6:12] += 1.5  # r, z, n
        torch.testing.assert_close(biased["rnn.bias_ih_l0"], expected, rtol=0, atol=1e-6)

    def test_tied_weights_are_one_matrix(self, text: Text, tmp_path: Path) -> None:
        options = {"embedding": 6, "optimizer": "adamw", "lr": 0.01}
        tied, free = small_run(text.path, **options, tie_weights=True), small_run(text.path, **options)
        size = len(tied.task.text.vocab)
        assert count_parameters(free.task.model) - count_parameters(tied.task.model) == 6 * size
        tied.run()
        assert tied.task.model.linear.weight is tied.task.model.embedding.weight  # type: ignore[union-attr]
        save_run(tmp_path, tied, None)
        run = load_run(tmp_path, CPU)
        assert run.model.linear.weight is run.model.embedding.weight  # type: ignore[union-attr]
        assert same_tensors(get_weights(run.config, run.model), tied.task.weights())
        with pytest.raises(ValueError, match="tie_weights needs an embedding as wide as num_hiddens, 6, received 5"):
            small_run(text.path, embedding=5, tie_weights=True)

    @staticmethod
    def made(text: Text, **options: Any) -> tuple[TrainConfig, Any]:
        trainer = small_run(text.path, **options)
        return trainer.config, trainer.task.model


class TestEnds:
    @pytest.fixture
    def worsening(self, text: Text) -> dict[str, Any]:
        """A run that learns its 100 characters by heart, and what to predict elsewhere ever worse."""
        return {"optimizer": "adamw", "lr": 0.05, "epochs": 40, "max_tokens": 100, "num_hiddens": 16}

    def test_patience_and_the_best(self, text: Text, worsening: dict[str, Any], tmp_path: Path) -> None:
        run = small_run(text.path, **worsening, keep="best", patience=4, test_fraction=0.001)
        assert run.run()
        losses = [record["held_out_loss"] for record in run.state.history]
        best = losses.index(min(losses))
        assert len(losses) == best + 1 + 4 < 40
        again = stopped_at(small_run(text.path, **worsening), run.state.history[best]["update"])
        assert same_tensors(run.final_weights(), again.task.weights())

        save_run(tmp_path, run, None)
        assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "best.safetensors").read_bytes()
        last = {name: weight.clone() for name, weight in run.task.weights().items()}
        with run.with_final_weights():
            assert same_tensors(run.task.weights(), run.state.best)
        assert same_tensors(run.task.weights(), last)
        assert run.keeps_best()
        with run.with_final_weights():
            tested = final_losses(run.task.alone, run.task.text.test, CPU, "best")
        assert (tested.weights, tested.tokens) == ("best", len(run.task.text.test))

        def loss() -> float:
            return evaluate(run.task.alone, run.task.text.test, CPU, rows=1, num_steps=1024).loss

        assert tested.carried != loss()
        with run.with_final_weights():
            assert tested.carried == loss()

    def test_without_patience_it_goes_on_and_keeps_the_last(self, text: Text, worsening: dict[str, Any]) -> None:
        run = small_run(text.path, **worsening)
        run.run()
        assert run.state.epoch == 40
        assert same_tensors(run.final_weights(), run.task.weights())
        with run.with_final_weights():
            assert not same_tensors(run.task.weights(), run.state.best)

    def test_by_updates_and_by_the_clock(self, text: Text) -> None:
        run = small_run(text.path, max_updates=17, eval_every=5)
        assert run.run()
        assert [record["update"] for record in run.state.history] == [5, 10, 15, 17]
        assert all("held_out_loss" in record for record in run.state.history)
        run = small_run(text.path, minutes=0.003)
        assert run.run()
        assert run.state.history[-1]["minutes"] >= 0.003
        assert run.state.update > 0

    def test_every_record_has_norm_and_clipped_share(self, text: Text) -> None:
        run = small_run(text.path, clip=1e-3, eval_every=5)
        run.run()
        assert all(record["clipped_share"] == 1 and record["gradient_norm"] > 1e-3 for record in run.state.history)
        run = small_run(text.path, clip=1e3)
        run.run()
        assert all(record["clipped_share"] == 0 for record in run.state.history)


class TestNumbers:
    def test_their_types(self, text: Text) -> None:
        exact, plain, mixed = (small_run(text.path, precision=p, epochs=1) for p in ("fp64", "fp32", "bf16"))
        types = [{weight.dtype for weight in run.task.weights().values()} for run in (exact, plain, mixed)]
        assert types == [{torch.float64}, {torch.float32}, {torch.float32}]
        losses = []
        for run in (exact, plain, mixed):
            run.run()
            losses.append(run.state.history[-1]["train_loss"])
        assert losses[1] == pytest.approx(losses[0], rel=1e-5)
        assert losses[2] == pytest.approx(losses[0], rel=1e-2)
        assert len({*losses}) == 3

    @pytest.mark.parametrize("engine", ["fused", "textbook"])
    @pytest.mark.parametrize("layers", [1, 2])
    def test_compiled_runs_are_the_same_runs(
        self, text: Text, monkeypatch: pytest.MonkeyPatch, engine: str, layers: int
    ) -> None:
        """By a translator that leaves the arithmetic as it is."""
        asked = []
        monkeypatch.setattr(torch, "compile", partial(self.translated, torch.compile, asked))
        options = {"engine": engine, "num_layers": layers, "max_updates": 4, "num_steps": 3}
        compiled, plain = small_run(text.path, **options, compile=True), small_run(text.path, **options)
        for run in (compiled, plain):
            run.run()
        assert len(asked) == 1
        losses = [[record["train_loss"] for record in history_of(run)] for run in (compiled, plain)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)

    @staticmethod
    def translated(compile_model: Any, asked: list[Any], model: Any) -> Any:
        asked.append(model)
        return compile_model(model, backend="eager")

    def test_threads(self, text: Text, tmp_path: Path) -> None:
        small = ["--num-hiddens", 4, "--batch-size", 4, "--num-steps", 7, "--max-tokens", 300, "--epochs", 1]
        printed = train(tmp_path, "--text", text.path, *small, "--threads", 2)
        assert "\ndevice      cpu, 2 threads\n" in printed


class TestAdvice:
    def test_the_loss_of_frequencies(self) -> None:
        assert unigram_loss(torch.tensor([0, 2, 2])) == pytest.approx(math.log(2))
        assert unigram_loss(torch.tensor([0, 9])) == 0

    @pytest.mark.parametrize(
        ("update", "loss", "unigram", "advises"),
        [
            (MIN_UPDATES, 2.85, 2.86, True),
            (MIN_UPDATES - 1, 2.85, 2.86, False),
            (MIN_UPDATES, 2.2, 2.86, False),
            (MIN_UPDATES, 0.0, 0.0, False),
        ],
    )
    def test_when(self, update: int, loss: float, unigram: float, advises: bool) -> None:
        advice = advice_if_stuck([{"update": update, "train_loss": loss}], unigram)
        assert (advice is not None) == advises
        assert advice_if_stuck([], unigram) is None

    def test_a_run_that_learns_nothing_says_so_once(self, text: Text, tmp_path: Path) -> None:
        small = [
            "--num-hiddens",
            4,
            "--batch-size",
            4,
            "--num-steps",
            4,
            "--max-tokens",
            2000,
            "--lr",
            1e-4,
            "--val-fraction",
            0,
        ]
        printed = train(tmp_path, "--text", text.path, *small, "--max-updates", 900, "--out", "run")
        notes = [line for line in printed.splitlines() if line.startswith("note: ")]
        assert len(notes) == 1
        assert "guessing each token by its frequency alone gives" in notes[0]
        assert "Try a larger lr" in notes[0]
        last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
        assert last["train_loss"] > 2


class TestGeneration:
    def test_samples_at_the_terminal(self, text: Text, tmp_path: Path) -> None:
        trainer = small_run(text.path)
        trainer.run()
        (tmp_path / "run").mkdir()
        save_run(tmp_path / "run", trainer, None)

        def printed(*options: object) -> str:
            return train(tmp_path, "run", "--prefix", "time", "--length", 9, *options, script="generate.py")

        assert len(printed().rstrip("\n")) == len("time") + 9
        drawn = printed("--n", 3, "--seed", 4, "--temperature", 5.0, "--top-p", 0.99, "--top-k", 20)
        texts = drawn.removesuffix("\n").split("\n" + "-" * 20 + "\n")
        assert [len(each) for each in texts] == [13] * 3
        assert len({*texts}) == 3
        assert drawn == printed("--n", 3, "--seed", 4, "--temperature", 5.0, "--top-p", 0.99, "--top-k", 20)
        assert printed("--top-k", 1, "--seed", 1) == printed()

    def test_characters_are_shown_as_they_come(self, capsys: pytest.CaptureFixture[str]) -> None:
        def rows() -> Iterator[list[str]]:
            for pieces in (["ti", "tr"], ["m", "a"], ["e", "p"]):
                yield pieces
                assert capsys.readouterr().out == pieces[0]

        show(rows())
        assert capsys.readouterr().out == f"\n{'-' * 20}\ntrap\n"


def test_a_model_of_every_option_is_made() -> None:
    config = TrainConfig(cell="lstm", num_layers=2, embedding=8, num_hiddens=8, dropout=0.1, tie_weights=True)
    model = build_model(config, 5, CPU)
    assert count_parameters(model) == 5 * 8 + 2 * 4 * 8 * (8 + 8 + 2) + 5


def test_products_may_be_rounded(text: Text, tmp_path: Path) -> None:
    """The run says so to PyTorch, which then may, where the processor has instructions for it."""
    options = ["--text", text.path, "--num-hiddens", 6, "--epochs", 2]
    exact = train(tmp_path, *options, "--out", "exact")
    rounded = train(tmp_path, *options, "--matmul-precision", "medium", "--out", "rounded")
    assert "products" not in exact
    assert "thread, products of precision medium\n" in rounded
    curves = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("exact", "rounded")]
    losses = [[json.loads(line)["train_loss"] for line in curve] for curve in curves]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
