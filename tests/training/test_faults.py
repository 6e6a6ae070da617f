"""Full disks, damaged and disguised files, two writers, odd texts and poor terminals: said in a line, nothing lost."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import runpy
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.disk_calls import before_each
from support.script_runs import SCRIPTS, start_train
from support.small_runs import CPU, same_tensors, small_run

from gru_scratch.generate.continuation import generate
from gru_scratch.text.corpus import Text
from gru_scratch.text.token_file import open_token_file
from gru_scratch.training.build import get_weights
from gru_scratch.training.checkpoint import MANIFEST, read_manifest, read_snapshot, read_verified
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.curve import draw_curve
from gru_scratch.training.data import read_run_text
from gru_scratch.training.folder import create_folder, load_run, only_writer, read_state, save_run
from gru_scratch.training.text_task import TextTask
from gru_scratch.training.trainer import Trainer

SMALL = shlex.split("--num-hiddens 6 --batch-size 4 --num-steps 7 --max-tokens 300 --val-fraction 0.001")
DERIVED = ("best.safetensors", "config.json", "curve.png", "model.safetensors", "sample.txt", "vocab.json")

Script = Callable[..., tuple[int, str, str]]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Script:
    """Run a script in this process, in an empty working folder: (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SCRIPTS))

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPTS / name), run_name="__main__")
        captured = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, captured.out, captured.err

    return run


def saved(folder: Path, trainer: Trainer[TextTask], sample: str | None = None) -> Path:
    folder.mkdir()
    save_run(folder, trainer, sample)
    return folder


@pytest.fixture
def finished(text: Text) -> Trainer[TextTask]:
    trainer = small_run(text.path, optimizer="adamw", lr=0.01)
    trainer.run()
    return trainer


@pytest.fixture
def folder(finished: Trainer[TextTask], tmp_path: Path) -> Path:
    return saved(tmp_path / "run", finished, "time traveller\n")


class TestDamage:
    @settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_any_byte_of_any_file_is_noticed_or_harmless(
        self, text: Text, finished: Trainer[TextTask], folder: Path, data: st.DataObject
    ) -> None:
        """By all who read: a model at its end, a model at its best, and a run that goes on."""
        path = data.draw(st.sampled_from(sorted(folder.iterdir())))
        content = path.read_bytes()
        place = data.draw(st.integers(0, len(content) - 1))
        flipped = content[place] ^ data.draw(st.integers(1, 255))
        path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
        try:
            for best in (False, True):
                run = self.read_or_noticed(lambda best=best: load_run(folder, CPU, best=best))  # type: ignore[misc]
                if run is not None:
                    assert run.config == finished.config
                    assert run.vocab.idx_to_token == finished.task.text.vocab.idx_to_token
                    expected = finished.state.best if best else finished.task.weights()
                    assert same_tensors(get_weights(run.config, run.model), expected)
            state = self.read_or_noticed(lambda: read_state(folder))
            if state is not None:
                again = small_run(text.path, optimizer="adamw", lr=0.01)
                again.restore(state)
                assert same_tensors(again.snapshot().tensors, finished.snapshot().tensors)
            else:
                assert path.name == "state"
        finally:
            path.write_bytes(content)

    @staticmethod
    def read_or_noticed(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except ValueError:
            return None

    def test_all_but_the_state_is_made_anew_when_a_run_goes_on(self, script: Script, text: Text) -> None:
        status, _, _ = script("train.py", "--text", text.path, *SMALL, "--epochs", 2, "--out", "run")
        assert status == 0
        run = Path("run")
        whole = {name: (run / name).read_bytes() for name in DERIVED}
        sums = {name: known[0] for name, known in read_manifest(run).items()}
        for path in [*map(run.joinpath, DERIVED), run / MANIFEST]:
            path.write_bytes(path.read_bytes()[:40] + b"\0" + path.read_bytes()[41:])
        with pytest.raises(ValueError, match="damaged"):
            load_run(run, CPU)
        assert script("train.py", "--resume", "run")[0] == 0
        assert {name: (run / name).read_bytes() for name in DERIVED} == whole
        assert {name: known[0] for name, known in read_manifest(run).items()} == sums

    def test_a_damaged_file_is_not_vouched_for_by_the_manifest_that_comes_next(
        self, finished: Trainer[TextTask], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not even where the process ends between the manifest and the file itself."""
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\1")

        def replace(source: Path, target: Path, real: Any = os.replace) -> None:
            if Path(target) == weights:
                raise KeyboardInterrupt
            real(source, target)

        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            save_run(folder, finished, "")
        with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
            load_run(folder, CPU)

    def test_a_model_can_be_read_while_its_run_saves(
        self, finished: Trainer[TextTask], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = read_manifest

        def saves_meanwhile(where: Path) -> dict[str, list[str]]:
            finished.state.history.append(finished.state.history[-1])
            finished.task.model.linear.bias.data += 1  # type: ignore[union-attr]
            save_run(where, finished, None)
            return real(where)

        monkeypatch.setattr("gru_scratch.training.checkpoint.read_manifest", saves_meanwhile)
        with monkeypatch.context() as patch:
            patch.setattr("gru_scratch.training.folder.write_files", self.write_with(real))
            assert read_verified(folder, "model.safetensors")

    @staticmethod
    def write_with(read: Any) -> Any:
        """`write_files`, which looks at the manifest by itself."""
        from gru_scratch.training import checkpoint

        def write(folder: Path, files: dict[str, bytes]) -> None:
            patched, checkpoint.read_manifest = checkpoint.read_manifest, read
            try:
                checkpoint.write_files(folder, files)
            finally:
                checkpoint.read_manifest = patched

        return write

    def test_a_pickle_in_place_of_a_state_is_never_executed(self, script: Script, folder: Path) -> None:
        content = pickle.dumps(Bomb())
        for disguised in (content, hashlib.sha256(content).digest() + content):
            (folder / "state").write_bytes(disguised)
            status, out, err = script("train.py", "--resume", "run")
            assert (status, out, err.count("\n")) == (2, "", 1)
            assert "state is damaged" in err
        assert not Path("executed").exists()
        pickle.loads(content)
        assert Path("executed").exists()

    def test_a_state_without_a_record_is_none(self, tmp_path: Path) -> None:
        payload = (2).to_bytes(8, "little") + b"{}"
        (tmp_path / "state").write_bytes(hashlib.sha256(payload).digest() + payload)
        with pytest.raises(ValueError, match="no state of a run: it has no record"):
            read_snapshot(tmp_path / "state")


class Bomb:
    """Unpickling it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


def failing_from(monkeypatch: pytest.MonkeyPatch, call: int, number: int) -> None:
    """Let every request to sync or to rename a file fail, from the `call`-th on."""

    def act(count: int) -> None:
        if count >= call:
            raise OSError(number, os.strerror(number))

    before_each(monkeypatch, act)


class TestSavingFails:
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
    def test_the_last_checkpoint_stays_whole(
        self, finished: Trainer[TextTask], folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        for call in range(1, 60):
            with monkeypatch.context() as patch:
                failing_from(patch, call, number)
                said = self.said_by_saving(folder, finished)
            if said is None:
                break
            assert (
                f"cannot save the run in {folder}: {os.strerror(number)}; the last checkpoint there is intact" == said
            )
            load_run(folder, CPU)
            load_run(folder, CPU, best=True)
            read_state(folder)
            assert not list(folder.glob("*.tmp"))
        assert 15 < call < 59

    @staticmethod
    def said_by_saving(folder: Path, trainer: Trainer[TextTask]) -> str | None:
        try:
            save_run(folder, trainer, None)
        except OSError as error:
            return str(error)
        return None

    def test_a_run_says_so_and_goes_on_later_to_the_same_bits(
        self, script: Script, text: Text, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        options = ["--text", text.path, *SMALL, "--epochs", 2, "--save-seconds", 0]
        assert script("train.py", *options, "--out", "whole")[0] == 0
        with monkeypatch.context() as patch:
            failing_from(patch, 150, errno.ENOSPC)
            status, _, err = script("train.py", *options, "--out", "run")
        assert (status, err.count("\n")) == (2, 1)
        assert "error: cannot save the run in run: No space left on device; the last checkpoint there is intact" in err
        load_run(Path("run"), CPU)
        assert 0 < read_state(Path("run")).record["update"] < read_state(Path("whole")).record["update"]
        assert script("train.py", "--resume", "run")[0] == 0
        assert same_tensors(read_state(Path("run")).tensors, read_state(Path("whole")).tensors)

    def test_a_token_file_that_cannot_be_written_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "t.txt"
        path.write_text("abc")
        failing_from(monkeypatch, 1, errno.ENOSPC)
        with pytest.raises(OSError, match=r"cannot write .*t\.txt\.char\.tokens: No space .*; token_dir names another"):
            open_token_file(path)
        assert list(tmp_path.iterdir()) == [path]
        with pytest.raises(OSError, match=r"cannot make the folder .* for token files"):
            open_token_file(path, folder=path / "inside")


class TestTwoRuns:
    def test_one_folder_has_one_writer(self, script: Script, tmp_path: Path, text: Text) -> None:
        other = start_train(tmp_path, "--text", text.path, *SMALL, "--epochs", 10**6, "--out", "run")
        try:
            while not (tmp_path / "run" / MANIFEST).exists():
                assert other.is_alive(), (tmp_path / "output.txt").read_text()
                time.sleep(0.01)
            status, _, err = script("train.py", "--resume", "run")
            assert (status, err) == (2, "error: another run is writing to run\n")
            status, _, err = script("train.py", "--text", text.path, *SMALL, "--out", "run")
            assert (status, err) == (2, "error: the run folder run is not empty: expected a new one\n")
        finally:
            other.kill()
            other.join(60)

    def test_two_that_found_the_same_folder_empty(self, tmp_path: Path) -> None:
        with only_writer(tmp_path, new=True):
            with pytest.raises(ValueError, match="another run is writing to"), only_writer(tmp_path, new=True):
                pass
            (tmp_path / "state").touch()
        with pytest.raises(ValueError, match="another run has written to"), only_writer(tmp_path, new=True):
            pass
        with only_writer(tmp_path, new=False):
            pass

    def test_a_folder_whose_run_was_killed_before_its_first_state_is_taken(self, tmp_path: Path) -> None:
        (tmp_path / "state.tmp").write_text("a par")
        assert create_folder(TrainConfig(out=tmp_path)) == tmp_path
        with only_writer(tmp_path, new=True):
            pass


class TestTexts:
    def test_a_text_that_has_changed_since(self, script: Script) -> None:
        Path("t.txt").write_text("bad cab dad\n" * 60)
        options = ["--text", "t.txt", *SMALL, "--epochs", 1]
        assert script("train.py", *options, "--token-dir", "tokens", "--out", "run")[0] == 0
        Path("t.txt").write_text("bad cab add\n" * 60)
        status, _, err = script("train.py", "--resume", "run", "--epochs", 2)
        assert (status, err.count("\n")) == (2, 2)
        assert "char.tokens is made anew: the text has changed since it was made" in err
        assert err.endswith("error: the run was made on another text than t.txt\n")
        Path("t.txt").write_text("bad cab dad\n" * 60)
        Path("t.txt").rename("moved.txt")
        assert "there is no text file t.txt" in script("train.py", "--resume", "run", "--epochs", 2)[2]
        assert script("train.py", "--resume", "run", "--epochs", 2, "--text", "moved.txt")[0] == 0

    def test_windows_line_ends_are_line_ends(self, tmp_path: Path) -> None:
        found = []
        for name, end in (("unix.txt", b"\n"), ("windows.txt", b"\r\n"), ("mac.txt", b"\r")):
            (tmp_path / name).write_bytes(b"one line" + end + b"another" + end)
            found.append(read_run_text(TrainConfig(text=tmp_path / name)))
        assert [text.vocab.idx_to_token for text in found] == [found[0].vocab.idx_to_token] * 3
        assert [text.train.tolist() for text in found] == [found[0].train.tolist()] * 3  # type: ignore[union-attr]
        assert found[0].prefixes == ("one line\nanother\n",)

    @pytest.mark.parametrize("engine", ["fused", "textbook", "builtin"])
    def test_one_repeated_character(self, tmp_path: Path, engine: str) -> None:
        path = tmp_path / "t.txt"
        path.write_text("a" * 900)
        trainer = small_run(path, engine=engine, epochs=30, val_fraction=0.5, val_tokens=-1)
        assert trainer.run()
        assert trainer.state.history[-1]["held_out_perplexity"] == pytest.approx(1, abs=1e-3)
        saved(tmp_path / "run", trainer)
        run = load_run(tmp_path / "run", CPU)
        assert generate(run.model, run.vocab, "a", 5) == "aaaaaa"
        assert generate(run.model, run.vocab, "a", 5, temperature=1.0) == "aaaaaa"

    def test_a_vocabulary_of_100_000_symbols(self, tmp_path: Path) -> None:
        symbols = [chr(code) for code in range(0x100, 0x1A000) if not 0xD800 <= code < 0xE000][:100_000]
        path = tmp_path / "t.txt"
        path.write_text("".join(symbols))
        trainer = small_run(path, num_hiddens=2, max_updates=2, max_tokens=-1)
        assert trainer.run()
        saved(tmp_path / "run", trainer)
        run = load_run(tmp_path / "run", CPU)
        assert len(run.vocab) == 100_001
        assert len(generate(run.model, run.vocab, symbols[7], 3, temperature=1.0, top_p=0.9)) == 4


class AsciiTerminal(io.TextIOWrapper):
    """A terminal that knows no character but those of ASCII."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="ascii")

    def shown(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]


class Pipe(io.StringIO):
    """A pipe whose reader goes away after some lines."""

    def __init__(self, lines: int, other: io.TextIOBase) -> None:
        super().__init__()
        self.lines, self.other = lines, other

    def write(self, text: str) -> int:
        if self.getvalue().count("\n") >= self.lines:
            raise BrokenPipeError
        return super().write(text)

    def fileno(self) -> int:
        return self.other.fileno()


class TestTerminals:
    def test_without_utf_8(self, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("日本.txt").write_text("時間旅行 — ü\n" * 80)
        terminal = AsciiTerminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        assert script("train.py", "--text", "日本.txt", *SMALL, "--epochs", 2, "--out", "run")[0] == 0
        assert "text        ??.txt, 720 characters; trained on the first 300\n" in terminal.shown()
        assert script("generate.py", "run", "--prefix", "時間", "--length", 4)[0] == 0
        assert terminal.shown().splitlines()[-1].startswith("??")
        status, _, err = script("generate.py", "run", "--prefix", "Zeit")
        assert (status, err.count("\n")) == (2, 1)

    def test_an_argument_that_the_locale_cannot_read(self, script: Script) -> None:
        Path("t.txt").write_text("時間旅行 — ü\n" * 80)
        assert script("train.py", "--text", "t.txt", *SMALL, "--epochs", 1, "--out", "run")[0] == 0
        environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        command = [sys.executable, str(SCRIPTS / "generate.py"), "run", "--prefix", "時間", "--length", "4"]
        done = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(b"??")

    @pytest.mark.parametrize("read", [1, 7, 8])
    def test_output_that_is_no_longer_read(
        self, script: Script, text: Text, monkeypatch: pytest.MonkeyPatch, read: int
    ) -> None:
        """Gone while the header is printed, which is before the run, or when the run has ended and is kept."""
        options = ["--text", text.path, *SMALL, "--epochs", 3, "--test-fraction", 0.001, "--out", "run"]
        with open(os.devnull, "w") as nowhere:
            monkeypatch.setattr(sys, "stdout", Pipe(read, nowhere))
            status, _, err = script("train.py", *options)
        assert (status, err) == (141, "")
        if read > 6:
            assert read_state(Path("run")).record["epoch"] == 3
            assert len(Path("run/metrics.jsonl").read_text().splitlines()) == 3
            assert Path("run/sample.txt").read_text()
            assert Path("run/test.json").read_text()


def test_a_picture_is_drawn_for_any_name_and_for_gradients_of_zero() -> None:
    record = {"epoch": 1, "train_perplexity": 1.0, "gradient_norm": 0.0, "clipped_share": 0.0}
    for name in ("cost$_{$.txt", "日本.txt", "caf\udce9.txt", "tab\t.txt", "two\nlines"):
        assert draw_curve([record, {**record, "epoch": 2}], name).startswith(b"\x89PNG")
