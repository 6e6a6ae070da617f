"""The options, one update, the loop, and whole runs: against the book's, and stopped and resumed."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gru_scratch.models.language import RNNModel, RNNModelScratch
from gru_scratch.text.corpus import Text
from gru_scratch.training.build import build_model, get_weights, set_weights
from gru_scratch.training.checkpoint import pack_snapshot, read_snapshot
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.data import divide, read_run_text
from gru_scratch.training.evaluate import evaluate
from gru_scratch.training.hardware import pick_device
from gru_scratch.training.loop import Meter, perplexity, train_epoch, updates
from gru_scratch.training.text_task import TextTask
from gru_scratch.training.trainer import Trainer
from gru_scratch.training.update import NotFiniteError, grad_clipping, sgd

CPU = torch.device("cpu")
SMALL = TrainConfig(
    batch_size=4, num_steps=7, num_hiddens=12, epochs=3, max_tokens=200, val_fraction=0.001, engine="textbook"
)
ALL = [(cell, engine) for cell in ("rnn", "gru", "lstm") for engine in ("fused", "textbook", "builtin")]


def params_of(model: Any) -> list[Tensor]:
    """The parameters that training changes."""
    params = list(model.parameters()) if isinstance(model, nn.Module) else model.params
    return [param for param in params if param.requires_grad]


def small_run(text: Text, **options: Any) -> Trainer[TextTask]:
    config = dataclasses.replace(SMALL, text=text.path, **options)
    run_text = read_run_text(config)
    torch.manual_seed(config.seed)
    return Trainer(TextTask(config, build_model(config, len(run_text.vocab), CPU), run_text, CPU))


class ListModel:
    """A model made of functions, as far as clipping sees it."""

    def __init__(self, *params: Tensor) -> None:
        self.params = list(params)


def with_grad(*values: float) -> Tensor:
    param = torch.zeros(len(values), requires_grad=True)
    param.grad = torch.tensor(values)
    return param


class TestConfig:
    def test_the_defaults_are_the_books(self) -> None:
        config = TrainConfig()
        assert (config.batch_size, config.num_steps, config.num_hiddens) == (32, 35, 256)
        assert (config.lr, config.clip, config.epochs, config.max_tokens) == (1.0, 1.0, 500, 10_000)
        assert (config.cell, config.engine, config.sampling) == ("gru", "auto", "sequential")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("cell", "gruu"),
            ("engine", "cudnn"),
            ("sampling", "shuffled"),
            ("batch_size", 0),
            ("num_steps", -1),
            ("num_hiddens", 0),
            ("epochs", 0),
            ("max_tokens", 0),
            ("max_tokens", -2),
            ("seed", -1),
            ("seed", 2**63),
            ("lr", -1.0),
            ("lr", 0.0),
            ("lr", math.nan),
            ("lr", math.inf),
            ("clip", 0.0),
            ("clip", math.nan),
            ("val_fraction", -0.1),
            ("val_fraction", 1.5),
            ("val_fraction", math.nan),
        ],
    )
    def test_a_value_that_no_run_can_use_is_named(self, name: str, value: Any) -> None:
        with pytest.raises(ValueError, match=name) as error:
            TrainConfig(**{name: value})
        assert str(value) in str(error.value)

    def test_a_size_that_is_no_whole_number_is_a_type_error(self) -> None:
        with pytest.raises(TypeError, match=r"batch_size must be a whole number, received 2\.5"):
            TrainConfig(batch_size=2.5)  # type: ignore[arg-type]

    def test_json_and_back(self) -> None:
        config = TrainConfig(text=Path("a.txt"), lr=0.5, val_fraction=0.2)
        assert TrainConfig.from_json(config.to_json()) == config

    def test_json_with_an_option_that_is_not_ours_is_refused(self) -> None:
        with pytest.raises(ValueError, match="colour"):
            TrainConfig.from_json({"colour": "red"})


class TestClipping:
    @pytest.mark.parametrize(
        ("grad", "after"),
        [
            ((0.3, 0.4), (0.3, 0.4)),  # below the bound
            ((0.6, 0.8), (0.6, 0.8)),  # at it
            ((3.0, 4.0), (0.6, 0.8)),  # above it
            ((0.0, 0.0), (0.0, 0.0)),
        ],
    )
    def test_below_at_and_above_the_bound(self, grad: tuple[float, float], after: tuple[float, float]) -> None:
        param = with_grad(*grad)
        norm = grad_clipping(ListModel(param), 1.0)
        assert norm == pytest.approx(math.hypot(*grad))
        torch.testing.assert_close(param.grad, torch.tensor(after))

    def test_the_norm_is_of_all_parameters_together(self) -> None:
        first, second = with_grad(3.0), with_grad(4.0)
        assert grad_clipping(ListModel(first, second), 1.0) == pytest.approx(5.0)
        assert first.grad is not None
        assert second.grad is not None
        assert (first.grad.item(), second.grad.item()) == pytest.approx((0.6, 0.8))

    def test_parameters_without_gradient_are_left_alone(self) -> None:
        still = torch.ones(2, requires_grad=True)
        module = nn.Module()
        module.still, module.frozen, module.moving = (nn.Parameter(torch.ones(2)) for _ in range(3))
        module.frozen.requires_grad_(False)
        module.moving.grad = torch.tensor([3.0, 4.0])
        assert grad_clipping(module, 1.0) == pytest.approx(5.0)
        assert grad_clipping(ListModel(still, with_grad(3.0)), 10.0) == pytest.approx(3.0)
        assert module.still.grad is None
        assert module.frozen.grad is None
        assert still.grad is None

    def test_no_gradient_at_all(self) -> None:
        assert grad_clipping(nn.Linear(2, 2), 1.0) == 0.0

    @pytest.mark.parametrize("bad", [math.nan, math.inf, 3e38])
    def test_a_norm_that_is_not_finite_is_an_error_that_names_the_parameter(self, bad: float) -> None:
        module = nn.Linear(2, 1)
        module.weight.grad = torch.ones(1, 2)
        module.bias.grad = torch.tensor([bad])
        with pytest.raises(NotFiniteError, match=r"norm .* is (nan|inf).*\bbias\b"):
            grad_clipping(module, 1.0)
        assert torch.equal(module.weight.grad, torch.ones(1, 2))
        with pytest.raises(NotFiniteError, match=r"params\[1\], of shape \(1,\)"):
            grad_clipping(ListModel(with_grad(1.0), with_grad(bad)), 1.0)

    def test_a_bound_that_is_no_bound_is_refused(self) -> None:
        with pytest.raises(ValueError, match="above 0, received nan"):
            grad_clipping(nn.Linear(2, 1), math.nan)

    def test_bit_for_bit_the_books(self, book: ModuleType) -> None:
        grads = [torch.randn(7, 5), torch.randn(5), torch.randn(3, 3, 3)]
        for scale in (0.01, 1.0, 100.0):
            ours, theirs = (ListModel(*(torch.zeros_like(g, requires_grad=True) for g in grads)) for _ in range(2))
            for model in (ours, theirs):
                for param, grad in zip(model.params, grads, strict=True):
                    param.grad = grad * scale
            grad_clipping(ours, 1.0)
            book.grad_clipping(theirs, 1)
            assert all(torch.equal(p.grad, q.grad) for p, q in zip(ours.params, theirs.params, strict=True))


class TestSgd:
    def test_bit_for_bit_the_books(self, book: ModuleType) -> None:
        start, grad = torch.randn(5, 4), torch.randn(5, 4)
        ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
        ours.grad, theirs.grad = grad.clone(), grad.clone()
        sgd([ours], 0.3, 7)
        book.sgd([theirs], 0.3, 7)
        assert torch.equal(ours, theirs)
        assert torch.equal(ours.grad, torch.zeros(5, 4))
        assert not torch.equal(ours, start)

    def test_a_parameter_without_gradient_stays(self) -> None:
        param = torch.ones(3, requires_grad=True)
        sgd([param], 1.0, 1)
        assert torch.equal(param, torch.ones(3))


class Echo(nn.Module):
    """Predicts with one weight, and notes the states it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.seen: list[Tensor] = []
        self.begun = 0

    def begin_state(self, batch_size: int, device: torch.device) -> Tensor:
        self.begun += 1
        return torch.zeros(1, batch_size, 1)

    def forward(self, X: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(state)
        return self.weight.expand(X.numel(), 3), state + 1 + self.weight.sum()


def three_batches() -> Iterator[tuple[Tensor, Tensor]]:
    for _ in range(3):
        yield torch.zeros(2, 4, dtype=torch.long), torch.ones(2, 4, dtype=torch.long)


class TestLoop:
    @pytest.mark.parametrize("random_iter", [False, True])
    @pytest.mark.parametrize(("cell", "engine"), ALL)
    def test_bit_for_bit_the_books_epochs(
        self, book: ModuleType, text: Text, cell: str, engine: str, random_iter: bool
    ) -> None:
        batches, vocab = book.load_data_time_machine(4, 7, random_iter, 300)
        config = dataclasses.replace(SMALL, cell=cell, engine=engine)

        def run(epochs: int, epoch: Any) -> tuple[list[float], list[Tensor]]:
            torch.manual_seed(1)
            random.seed(1)
            model = build_model(config, len(vocab), CPU)
            if isinstance(model, nn.Module):
                updater: Any = torch.optim.SGD(model.parameters(), 1.0)
            else:

                def updater(batch_size: int) -> None:
                    sgd(model.params, 1.0, batch_size)

            return [epoch(model, updater) for _ in range(epochs)], params_of(model)

        loss = nn.CrossEntropyLoss()
        theirs = run(3, lambda net, up: book.train_epoch_ch8(net, batches, loss, up, CPU, random_iter)[0])
        ours = run(3, lambda net, up: train_epoch(net, batches, loss, up, CPU, carry_state=not random_iter).perplexity)
        assert ours[0] == theirs[0]
        assert len(set(ours[0])) == 3
        assert all(torch.equal(p, q) for p, q in zip(ours[1], theirs[1], strict=True))

    @pytest.mark.parametrize(("carry", "begun"), [(True, 1), (False, 3)])
    def test_the_state_is_carried_and_detached_or_fresh(self, carry: bool, begun: int) -> None:
        net = Echo()
        loss = nn.CrossEntropyLoss()
        made = list(updates(net, three_batches(), loss, torch.optim.SGD(net.parameters(), 0.0), CPU, carry_state=carry))
        assert net.begun == begun
        assert [state.max().item() for state in net.seen] == ([0, 1, 2] if carry else [0, 0, 0])
        assert not any(state.requires_grad for state in net.seen)
        assert [update.tokens for update in made] == [8, 8, 8]
        assert made[0].summed_loss == pytest.approx(8 * math.log(3))

    def test_a_state_to_start_from(self) -> None:
        net = Echo()
        updater = torch.optim.SGD(net.parameters(), 0.0)
        start = torch.full((1, 2, 1), 5.0)
        list(updates(net, three_batches(), nn.CrossEntropyLoss(), updater, CPU, carry_state=True, state=start))
        assert [state.max().item() for state in net.seen] == [5, 6, 7]

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_parameters(self, bad: float) -> None:
        net = Echo()

        def loss(y_hat: Tensor, y: Tensor) -> Tensor:
            return y_hat.sum() * bad

        net.weight.data += 1
        with pytest.raises(NotFiniteError, match="loss became NaN or infinite"):
            train_epoch(net, three_batches(), loss, torch.optim.SGD(net.parameters(), 1.0), CPU, carry_state=True)
        assert torch.equal(net.weight, torch.ones(3))

    def test_no_batch_is_an_error(self) -> None:
        net = Echo()
        updater = torch.optim.SGD(net.parameters(), 1.0)
        with pytest.raises(ValueError, match="no batch"):
            train_epoch(net, [], nn.CrossEntropyLoss(), updater, CPU, carry_state=True)

    def test_perplexity(self) -> None:
        assert perplexity(math.log(28)) == pytest.approx(28)
        assert perplexity(1e4) == math.inf
        assert Meter(summed_loss=4.0, tokens=2, seconds=0.5).tokens_per_second == 4.0

    @pytest.mark.parametrize(("cell", "engine"), ALL)
    def test_evaluation_is_the_mean_loss_over_the_text_with_the_state_carried(self, cell: str, engine: str) -> None:
        model = build_model(dataclasses.replace(SMALL, cell=cell, engine=engine), 5, CPU)
        tokens = torch.randint(5, (50,))
        with torch.no_grad():
            scores, _ = model(tokens[:-1].reshape(1, -1), model.begin_state(batch_size=1, device=CPU))
        whole = nn.functional.cross_entropy(scores, tokens[1:])
        meter = evaluate(model, tokens, CPU, rows=1, num_steps=7)
        assert meter.tokens == 49
        assert meter.loss == pytest.approx(whole.item(), rel=1e-6)
        rows = evaluate(model, tokens, CPU, rows=3, num_steps=7)
        assert rows.tokens == 48
        assert evaluate(model, tokens[:2], CPU, rows=3, num_steps=7).tokens == 1

    def test_evaluation_is_made_in_eval_mode_and_leaves_the_mode_as_it_was(self) -> None:
        net = RNNModel(nn.GRU(5, 4, num_layers=2, dropout=0.9), 5)
        tokens = torch.randint(5, (40,))
        losses = {evaluate(net, tokens, CPU, rows=1, num_steps=7).loss for _ in range(3)}
        assert len(losses) == 1
        assert net.training


class TestDivide:
    def test_held_out_is_the_first_tenth_of_the_unused_rest(self) -> None:
        train, held_out, label = divide(torch.arange(100), 40, None)
        assert train.tolist() == list(range(40))
        assert held_out.tolist() == list(range(40, 46))
        assert "first 0.1 of the text that is not trained on" in label

    def test_the_fraction_can_be_chosen(self) -> None:
        assert divide(torch.arange(100), 40, 0.5)[1].tolist() == list(range(40, 70))
        assert divide(torch.arange(100), 40, 1.0)[1].tolist() == list(range(40, 100))

    @pytest.mark.parametrize("max_tokens", [-1, 100, 1000])
    def test_where_there_is_no_rest_nothing_is_held_out_unless_asked_for(self, max_tokens: int) -> None:
        train, held_out, label = divide(torch.arange(100), max_tokens, None)
        assert len(train) == 100
        assert len(held_out) == 0
        assert label.startswith("none")
        train, held_out, label = divide(torch.arange(100), max_tokens, 0.2)
        assert train.tolist() == list(range(80))
        assert held_out.tolist() == list(range(80, 100))
        assert "last 0.2 of the text, kept from training" in label

    @pytest.mark.parametrize(("max_tokens", "fraction"), [(40, 0.0), (-1, 0.0), (95, None)])
    def test_a_part_too_small_to_test_on_is_none(self, max_tokens: int, fraction: float | None) -> None:
        _, held_out, label = divide(torch.arange(100), max_tokens, fraction)
        assert len(held_out) == 0
        assert label.startswith("none")


class TestRunText:
    def test_the_vocabulary_is_of_the_whole_text(self, tmp_path: Path) -> None:
        path = tmp_path / "t.txt"
        path.write_text("aaa b\nZ!")
        text = read_run_text(TrainConfig(text=path, max_tokens=3, cleaning="book"))
        assert text.vocab.idx_to_token == ["<unk>", "a", " ", "b", "z"]
        assert text.train.tolist() == [1, 1, 1]
        assert text.num_tokens == 6

    def test_a_text_without_a_letter_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "t.txt"
        path.write_text("123\n")
        with pytest.raises(ValueError, match="no letter from a to z"):
            read_run_text(TrainConfig(text=path, cleaning="book"))


class TestBuild:
    @pytest.mark.parametrize(("cell", "engine"), ALL)
    def test_weights_out_and_in_again_to_the_bit(self, cell: str, engine: str) -> None:
        config = dataclasses.replace(SMALL, cell=cell, engine=engine)
        model, other = build_model(config, 5, CPU), build_model(config, 5, CPU)
        with torch.no_grad():
            for param in params_of(model):
                param.normal_()
        weights = get_weights(config, model)
        assert list(weights) == list(RNNModel(nn.LSTM(5, 12), 5).state_dict())
        set_weights(config, other, weights)
        assert all(torch.equal(p, q) for p, q in zip(params_of(model), params_of(other), strict=True))

    @pytest.mark.parametrize("cell", ["rnn", "lstm"])
    def test_textbook_weights_mean_the_same_in_the_builtin_layer(self, cell: str) -> None:
        textbook = dataclasses.replace(SMALL, cell=cell)
        builtin = dataclasses.replace(SMALL, cell=cell, engine="builtin")
        model, layer = build_model(textbook, 5, CPU), build_model(builtin, 5, CPU)
        with torch.no_grad():
            for param in params_of(model):
                param.normal_()
        set_weights(builtin, layer, get_weights(textbook, model))
        X = torch.randint(5, (3, 9))
        scores, _ = model(X, model.begin_state(batch_size=3, device=CPU))
        same, _ = layer(X, layer.begin_state(batch_size=3, device=CPU))
        torch.testing.assert_close(scores, same, rtol=1e-5, atol=1e-5)

    def test_weights_of_another_model_are_refused(self) -> None:
        config = dataclasses.replace(SMALL, cell="gru")
        weights = get_weights(config, build_model(config, 6, CPU))
        with pytest.raises(ValueError, match=r"expected rnn.weight_ih_l0 \(36, 5\), received \(36, 6\)"):
            set_weights(config, build_model(config, 5, CPU), weights)
        del weights["linear.bias"]
        with pytest.raises(ValueError, match="received none"):
            set_weights(config, build_model(config, 6, CPU), weights)

    def test_a_model_that_does_not_fit_into_memory_is_a_value_error(self) -> None:
        with pytest.raises(
            ValueError, match=r"a gru of 1,000,000,000,000 hidden units needs at least .* GiB of memory"
        ):
            build_model(TrainConfig(num_hiddens=10**12), 28, CPU)

    @pytest.mark.parametrize("name", ["", "tpu", "cpu:0", "cpu:x", "meta", "cuda:99"])
    def test_a_device_that_is_not_here_is_named(self, name: str) -> None:
        with pytest.raises(ValueError, match=repr(name)):
            pick_device(name)

    def test_devices_that_are_here(self) -> None:
        assert pick_device("cpu") == CPU
        assert pick_device("auto").type in ("cpu", "cuda")


class TestTrainer:
    def test_a_run_is_the_books_train_ch8(self, book: ModuleType, text: Text) -> None:
        trainer = small_run(text)
        reports: list[dict[str, Any]] = []
        assert trainer.run(report=reports.append)
        batches, vocab = book.load_data_time_machine(4, 7, False, 200)
        torch.manual_seed(0)
        random.seed(0)
        scratch = trainer.task.model
        assert isinstance(scratch, RNNModelScratch)
        net = book.RNNModelScratch(len(vocab), 12, CPU, None_params, scratch.init_state, scratch.forward_fn)
        net.params = build_model(trainer.task.config, len(vocab), CPU).params  # type: ignore[union-attr]
        loss = nn.CrossEntropyLoss()
        for epoch in range(3):
            perplexity, _ = book.train_epoch_ch8(
                net, batches, loss, lambda batch_size: book.sgd(net.params, 1.0, batch_size), CPU, False
            )
            assert reports[epoch]["train_perplexity"] == perplexity
        assert all(torch.equal(p, q) for p, q in zip(scratch.params, net.params, strict=True))

    def test_what_is_reported(self, text: Text) -> None:
        trainer = small_run(text)
        trainer.run()
        assert [record["epoch"] for record in trainer.state.history] == [1, 2, 3]
        for record in trainer.state.history:
            assert record["train_perplexity"] == pytest.approx(math.exp(record["train_loss"]))
            assert record["held_out_perplexity"] == pytest.approx(math.exp(record["held_out_loss"]))
            assert record["tokens"] in (6 * 28, 7 * 28)  # as the offset has it
        assert record["seconds"] > 0

    def test_held_out_text_is_read_about_fifty_times_and_at_the_end(self, text: Text) -> None:
        trainer = small_run(text, epochs=110, num_hiddens=2)
        trainer.run()
        tested = [record["epoch"] for record in trainer.state.history if "held_out_loss" in record]
        assert tested == list(range(2, 111, 2))

    def test_saved_before_the_first_update_and_at_the_end(self, text: Text) -> None:
        trainer = small_run(text)
        saves: list[int] = []
        trainer.run(save=lambda: saves.append(trainer.state.update))
        assert saves == [0, trainer.state.update]

    def test_saved_whenever_the_time_has_passed_also_within_an_epoch(self, text: Text) -> None:
        trainer = small_run(text)
        saves: list[int] = []
        trainer.run(save=lambda: saves.append(trainer.state.update), save_seconds=0.0)
        assert saves == list(range(trainer.state.update + 1))

    def test_a_divergence_names_the_epoch_and_what_helps(self, text: Text) -> None:
        trainer = small_run(text, lr=1e38)
        saves: list[int] = []
        with pytest.raises(NotFiniteError, match=r"in epoch 1: try a lower lr than 1e\+38, or a lower clip than 1"):
            trainer.run(save=lambda: saves.append(trainer.state.epoch))
        assert saves == [0]

    @pytest.mark.parametrize("sampling", ["sequential", "random"])
    @pytest.mark.parametrize(("cell", "engine"), ALL)
    def test_stopped_anywhere_and_resumed_ends_with_the_same_bits(
        self, text: Text, tmp_path: Path, cell: str, engine: str, sampling: str
    ) -> None:
        options = {"cell": cell, "engine": engine, "sampling": sampling, "epochs": 2}
        whole = small_run(text, **options)
        asked = 0

        def count() -> bool:
            nonlocal asked
            asked += 1
            return False

        whole.run(should_stop=count)
        assert asked > 8
        for stop_at in range(1, asked):
            answers = iter([False] * (stop_at - 1) + [True] * asked)
            first = small_run(text, **options)
            assert not first.run(should_stop=lambda answers=answers: next(answers))  # type: ignore[misc]
            path = tmp_path / "state"
            path.write_bytes(pack_snapshot(first.snapshot()))
            second = small_run(text, **options)
            second.restore(read_snapshot(path))
            assert second.run()
            pairs = zip(params_of(second.task.model), params_of(whole.task.model), strict=True)
            assert all(torch.equal(p, q) for p, q in pairs), f"stopped at {stop_at}"
            losses = [[r["train_loss"] for r in run.state.history] for run in (second, whole)]
            assert losses[0] == losses[1]

    def test_a_snapshot_of_another_run_is_refused(self, text: Text) -> None:
        snapshot = small_run(text).snapshot()
        with pytest.raises(ValueError, match=r"made with lr 1\.0, not 0\.5"):
            small_run(text, lr=0.5).restore(snapshot)
        other = small_run(text)
        other.task.text = dataclasses.replace(other.task.text, sha256="0")
        with pytest.raises(ValueError, match="another text"):
            other.restore(snapshot)

    def test_a_text_shorter_than_a_batch_is_refused_at_once(self, text: Text) -> None:
        with pytest.raises(ValueError, match="it has 30 tokens, and one batch of 4 sequences of 7 steps needs 36"):
            small_run(text, max_tokens=30)


def None_params(vocab_size: int, num_hiddens: int, device: torch.device) -> None:
    """Draws nothing: the test gives the parameters."""
