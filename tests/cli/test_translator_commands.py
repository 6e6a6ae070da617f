"""train-translator and translate: end to end at the smallest size, killed and resumed, and what they cannot use."""

from __future__ import annotations

import io
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import sacrebleu
import torch
from support.script_runs import RunScript, start_train, train

from gru_scratch.cli.summary import score_lines
from gru_scratch.text import corpus
from gru_scratch.text.pairs import Pair
from gru_scratch.training import heat_map
from gru_scratch.training.checkpoint import read_snapshot
from gru_scratch.training.translation_task import Score, load_translator

SMALL = ["--num-hiddens", "8", "--embedding", "6", "--batch-size", "16", "--num-pairs", "80"]
BY_THE_CLOCK = ("seconds", "minutes")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a translator of attention and one without."""
    folder = tmp_path_factory.mktemp("translators")
    train(folder, *SMALL, "--epochs", 2, "--out", "luong", script="train_translator.py")
    train(folder, *SMALL, "--epochs", 1, "--out", "none", "--decoder", "none", script="train_translator.py")
    return folder


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs))


def records(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in BY_THE_CLOCK} for line in lines]


class TestTraining:
    def test_what_it_prints_and_writes(self, runs: Path) -> None:
        printed = (runs / "output-0.txt").read_text()
        for said in (
            "note: no pairs are given: learning numbers to 1,000,000 and dates, made by the program",
            "pairs       numbers to 1,000,000 and dates: 64 to train on, 8 held out, 8 to test on",
            "source      words",
            "target      chars",
            "model       gru, two directions, attention of Luong, engine ",
            "run folder  luong",
            "held out: BLEU ",
            "test: BLEU ",
            " → ",
        ):
            assert said in printed
        files = {path.name for path in (runs / "luong").iterdir()}
        assert files == {
            *("model.safetensors", "best.safetensors", "config.json", "source-vocab.json", "target-vocab.json"),
            *("metrics.jsonl", "curve.png", "sample.txt", "test.json", "state", "manifest.json"),
        }
        last = records(runs / "luong")[-1]
        assert {"train_loss", "held_out_loss", "bleu", "exact_match"} <= last.keys()

    @pytest.mark.parametrize("decoder", ["luong", "bahdanau", "none"])
    def test_it_learns_pairs_by_heart(self, in_process: RunScript, tmp_path: Path, decoder: str) -> None:
        """And what sacrebleu says of the translations is what the run said."""
        pairs = [f"word{i} of{i}\tmot{i} le{i} de{i} la{i}\n" for i in range(8)]
        (tmp_path / "pairs.tsv").write_text("".join(pairs))
        options = ["--val-fraction", 0, "--test-fraction", 0, "--epochs", 120, "--num-hiddens", 24, "--dropout", 0]
        status, out, err = in_process(
            "train_translator", "--pairs", "pairs.tsv", "--decoder", decoder, *options, "--out", "run"
        )
        assert (status, err) == (0, "")
        sources, targets = zip(*(pair.strip().split("\t") for pair in pairs), strict=True)
        (tmp_path / "sources.txt").write_text("\n".join(sources))
        status, out, err = in_process("translate", "run", "--file", "sources.txt", "--beam", 3)
        assert (status, err) == (0, "")
        assert sacrebleu.corpus_bleu(out.splitlines(), [list(targets)]).score > 99

    def test_the_other_direction_and_the_books_pairs(
        self, in_process: RunScript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "fra-eng").mkdir()
        (tmp_path / "fra-eng" / "fra.txt").write_text("".join(f"Go {i}.\tVa {i} !\tCC-BY\n" for i in range(20)))
        monkeypatch.setenv(corpus.DATA_VARIABLE, str(tmp_path))
        options = ["--num-hiddens", 4, "--epochs", 1, "--reverse", "--pairs", "fra-eng", "--longest", 4]
        assert in_process("train_translator", *options, "--out", "run")[0] == 0
        run = load_translator(tmp_path / "run", torch.device("cpu"))
        assert run.source.tokens("Va 3!") == ["va", "3", "!"]
        assert "go" in run.target.vocab.token_to_idx

    def test_its_bleu_is_sacrebleus(self, runs: Path, in_process: RunScript, tmp_path: Path) -> None:
        """On a test part that is read again here, sentence by sentence."""
        from gru_scratch.text.pairs import made_pairs, split_pairs

        test = split_pairs(made_pairs(80), validation=0.1, test=0.1).test
        (tmp_path / "sources.txt").write_text("\n".join(pair.source for pair in test))
        status, out, _ = in_process("translate", runs / "luong", "--file", "sources.txt")
        assert status == 0
        targets = [pair.target for pair in test]
        expected = sacrebleu.corpus_bleu(out.split("\n")[:-1], [targets], tokenize="char").score
        said = json.loads((runs / "luong" / "test.json").read_text())
        assert said["bleu"] == pytest.approx(expected)
        lengths = Counter(str(len(pair.source.split())) for pair in test)
        assert {length: count for length, (count, _) in said["by_length"].items()} == lengths
        write_pairs(tmp_path / "test.tsv", test)
        status, out, _ = in_process("translate", runs / "luong", "--score", "test.tsv")
        assert status == 0
        said = [f"BLEU {expected:.2f}, exact match 0.00% of 8 sentences, by the words of the source:"]
        assert out.splitlines()[:1] == said

    def test_it_scores_pairs_by_the_length_of_their_sources(self, in_process: RunScript, tmp_path: Path) -> None:
        """Of a model that knows four pairs by heart, asked for these, for one of another target, and turned round."""
        pairs = [Pair(f"one{i} " * (i + 1), f"un{i} deux{i}") for i in range(4)]
        write_pairs(tmp_path / "pairs.tsv", pairs)
        options = ["--val-fraction", 0, "--test-fraction", 0, "--epochs", 200, "--num-hiddens", 24, "--dropout", 0]
        write_pairs(tmp_path / "other.tsv", [*pairs, Pair("one0", "deux0"), Pair("one0 one0", "trois")])
        said = "exact match 80.00% of 5 sentences, by the words of the source:\n"
        lines = ["1  100.00% of 1", "2   50.00% of 2", "3  100.00% of 1", "4  100.00% of 1"]
        assert in_process("train_translator", "--pairs", "pairs.tsv", *options, "--out", "run")[0] == 0
        status, out, err = in_process("translate", "run", "--score", "other.tsv", "--beam", 2)
        assert (status, err) == (0, "")
        assert out.partition(", ")[2] == said + "".join(f"        {line}\n" for line in lines)
        assert in_process("train_translator", "--pairs", "pairs.tsv", "--reverse", *options, "--out", "back")[0] == 0
        assert ", exact match 100.00% of 4 sentences" in in_process("translate", "back", "--score", "pairs.tsv")[1]

    def test_many_lengths_are_banded(self) -> None:
        score = Score(60, 1.5, 0.25, {3: (4, 1), 4: (6, 3), 47: (50, 11)})
        first, *bands = score_lines(score, "char")
        assert first == "BLEU 1.50, exact match 25.00% of 60 sentences, by the characters of the source:"
        assert bands == ["      1-5   40.00% of 10", "    46-50   22.00% of 50"]

    def test_killed_and_resumed_it_ends_at_the_same_bits(self, tmp_path: Path) -> None:
        options = [*SMALL, "--epochs", 12, "--eval-every", 7, "--save-seconds", 0, "--num-layers", 2]
        train(tmp_path, *options, "--out", "whole", script="train_translator.py")
        process = start_train(tmp_path, *options, "--out", "killed", script="train_translator.py")
        state, update = tmp_path / "killed" / "state", 0
        while update < 5 and process.exitcode is None:
            time.sleep(0.002)
            update = read_snapshot(state).record["update"] if state.exists() else 0
        process.kill()
        process.join(60)
        assert process.exitcode == -9
        train(tmp_path, "--resume", "killed", script="train_translator.py")
        ours, whole = (read_snapshot(tmp_path / name / "state") for name in ("killed", "whole"))
        assert ours.tensors.keys() == whole.tensors.keys()
        for name, tensor in whole.tensors.items():
            assert torch.equal(ours.tensors[name], tensor), name
        assert records(tmp_path / "killed") == records(tmp_path / "whole")
        for name in ("model.safetensors", "sample.txt", "test.json"):
            assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    @pytest.mark.parametrize(
        ("content", "options", "message"),
        [
            ("a\tb\nc\n", [], "line 2 of pairs.tsv has one column: expected a source and a target, separated by a tab"),
            ("a\tb\n \t \n", [], "line 2 of pairs.tsv has an empty source"),
            ("a\tb\n", ["--val-fraction", 0.9], "no pair is left to train on: all 1 are for validation and test"),
            ("a b c\td\n", ["--longest", 2, "--val-fraction", 0, "--test-fraction", 0], "no pair is left to train on"),
            ("a\tb\n", ["--cell", "elman"], "cell must be one of rnn, gru, lstm"),
            ("a\tb\n", ["--engine", "builtin", "--cell", "mgu"], "engine builtin has the cells rnn, gru, lstm"),
            ("a\tb\n", ["--compile"], "compile is an option of train alone"),
            ("a\tb\n", ["--max-pairs", 0], "max_pairs must be at least 1, received 0"),
            ("a\tb\n", ["--num-pairs", 9], "num_pairs has no effect with pairs pairs.tsv"),
            ("a\tb\n", ["--largest=9"], "largest has no effect with pairs pairs.tsv"),
            ("a\tb\n", ["--keep", "best"], "keep best needs a held-out part, received none of 1 pairs"),
            ("a\tb\n", ["--val-fraction", 0, "--patience", 2], "patience 2 needs a held-out part, received val_fr"),
        ],
    )
    def test_what_it_cannot_use(
        self, in_process: RunScript, tmp_path: Path, content: str, options: list[object], message: str
    ) -> None:
        (tmp_path / "pairs.tsv").write_text(content)
        status, out, err = in_process("train_translator", "--pairs", "pairs.tsv", *options)
        assert (status, out) == (2, "")
        assert err.startswith("error: ")
        assert message in err
        assert len(err.splitlines()) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["pairs.tsv"]

    def test_a_run_on_other_pairs_does_not_go_on(self, runs: Path, in_process: RunScript) -> None:
        status, _, err = in_process("train_translator", "--resume", runs / "luong", "--num-pairs", 90)
        assert (status, err) == (2, "error: the run was made with num_pairs 80, not 90\n")


class TestTranslating:
    def test_one_sentence_with_its_likeliest_translations(self, runs: Path, in_process: RunScript) -> None:
        status, out, err = in_process("translate", runs / "luong", "--text", "one hundred", "--beam", 4, "--n-best", 3)
        assert (status, err) == (0, "")
        scores = [float(line.split("\t")[0]) for line in out.splitlines()]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)

    def test_the_lines_of_a_pipe(self, runs: Path, in_process: RunScript, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("one hundred\nOne  Hundred\n"))
        status, out, err = in_process("translate", runs / "none")
        assert (status, err) == (0, "")
        first, second = out.splitlines()
        assert first == second

    def test_words_outside_the_vocabulary_are_named(self, runs: Path, in_process: RunScript) -> None:
        status, out, err = in_process("translate", runs / "luong", "--text", "one zebra, two zebras")
        assert status == 0
        assert err == "note: not in the vocabulary, read as <unk>: zebra, ,, zebras\n"
        assert len(out.splitlines()) == 1

    def test_attention_is_drawn_and_a_missing_font_is_named(
        self, runs: Path, in_process: RunScript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(heat_map, "_other_fonts", dict)
        status, out, err = in_process("translate", runs / "luong", "--text", "one hundred", "--attention", "a.png")
        assert status == 0
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
        drawn = "".join(dict.fromkeys(out.strip()))
        assert err == f"note: no font here has {drawn}, drawn as boxes: install one that has, such as Noto Sans CJK\n"

    @pytest.mark.parametrize(
        ("run", "options", "message"),
        [
            ("luong", ["--text", "one", "--beam", 0], "beam must be at least 1, received 0"),
            ("luong", ["--text", "one", "--beam", 2, "--n-best", 3], "n_best must be at most the beam, 2, received 3"),
            ("luong", ["--text", "one", "--alpha", 1.0], "expected --beam above 1, received 1"),
            ("luong", ["--score", "x", "--beam", 2, "--n-best", 2], "expected --n-best 1, received 2"),
            ("luong", ["--text", " "], "expected a sentence, received the empty text ' '"),
            ("luong", ["--file", "lines.txt"], "line 2 of lines.txt is empty: expected a sentence on each line"),
            ("luong", ["--file", "lines.txt", "--text", "one"], "expected --text or --file, received both"),
            ("none", ["--text", "one", "--attention", "a.png"], "has no attention to draw: its decoder is none"),
            ("absent", ["--text", "one"], "there is no run folder"),
            ("luong", ["--score", "lines.txt"], "line 1 of lines.txt has one column"),
            ("luong", ["--score", "lines.txt", "--file", "lines.txt"], "expected --score or --file, received both"),
        ],
    )
    def test_what_it_cannot_use(
        self, runs: Path, in_process: RunScript, tmp_path: Path, run: str, options: list[object], message: str
    ) -> None:
        (tmp_path / "lines.txt").write_text("one\n\ntwo\n")
        status, out, err = in_process("translate", runs / run, *options)
        assert (status, out) == (2, "")
        assert err.startswith("error: ")
        assert message in err
        assert len(err.splitlines()) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["lines.txt"]

    @pytest.mark.parametrize(
        ("script", "options"),
        [
            ("generate", []),
            ("classify", ["--text", "one"]),
            ("explore", []),
        ],
    )
    def test_other_commands_say_which_opens_it(
        self, runs: Path, in_process: RunScript, script: str, options: list[object]
    ) -> None:
        status, out, err = in_process(script, runs / "luong", *options)
        assert (status, out) == (2, "")
        assert "holds a translator, which gru-scratch translate and train-translator --resume can open" in err
        status, out, err = in_process("train", "--resume", runs / "luong")
        assert (status, out) == (2, "")
        assert "holds a translator" in err
