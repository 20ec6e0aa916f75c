"""Ctrl-C and kill: what was finished is kept, and a resumed run equals an unbroken one, row by row and bit by bit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import pytest

from curate.store.store import Store

ROOT = Path(__file__).parents[2]
EPOCHS, HELD = 8, 6
HOLD = f"""
import sys
from contextlib import contextmanager
from curate import cli
from curate.train.commands import opening
real = opening.progress
@contextmanager
def progress(quiet):
    with real(quiet) as advance:
        def held(label, done, total, note):
            advance(label, done, total, note)
            if done == {HELD} and "val" in note:
                sys.stdin.read()
        yield held
opening.progress = progress
cli.main()
"""
"""`curate`, which does not end by itself: at epoch HELD it waits for its standard input, which nobody closes."""
LONG = pytest.mark.long
SCORED = [pytest.param(1, "val", marks=LONG), (3, "val"), pytest.param(4, "val", marks=LONG), (1, "scoring")]
TRAINED = [(1, "val"), *(pytest.param(*at, marks=LONG) for at in ((1, "scoring"), (4, "val"))), (2, "scoring")]
"""(how many signs of progress, with which note) before Ctrl-C."""
ROUNDS = ("train", "--method", "adaptive", "--epochs", "4", "--set", "method.rounds=2")


@pytest.fixture
def break_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str], None]:
    """Ctrl-C at the n-th sign of progress whose note holds `note`."""

    def prepare(count: int, note: str = "") -> None:
        @contextmanager
        def progress(quiet: bool) -> Iterator[Callable[[str, int, int, str], None]]:
            seen = iter(range(count - 1, -1, -1))

            def advance(label: str, done: int, total: int, told: str) -> None:
                if note in told and next(seen) == 0:
                    raise KeyboardInterrupt

            yield advance

        for module in ("curate.commands.data", "curate.train.commands.opening"):
            monkeypatch.setattr(f"{module}.progress", progress)

    return prepare


@pytest.mark.long
@pytest.mark.parametrize(("count", "note"), SCORED)
def test_a_resumed_scoring_equals_an_unbroken_one(
    curate: Callable,
    db: Path,
    clips: Path,
    small_settings: Callable,
    content: Callable,
    break_at: Callable,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    note: str,
) -> None:
    break_at(count, note)
    ended = curate(
        "score", "--dataset", "manifest", "--root", clips, "--epochs", "4", "--db", "broken.duckdb", *small_settings()
    )
    assert ended.code == 130 and ended.out == ""
    assert ended.err.splitlines()[-1] == (
        "interrupted: score-manifest-1 keeps every finished epoch; go on with "
        "`curate score --db broken.duckdb --resume --run score-manifest-1`"
    )
    broken = content(Path("broken.duckdb"))
    assert not broken["prediction"]
    assert {row[1] for row in broken["epoch"]} == set(range(1, 1 + (count if note == "val" else 4)))
    monkeypatch.undo()
    monkeypatch.chdir(db.parent)
    assert curate("score", "--resume", "--db", "broken.duckdb").code == 0
    assert content(Path("broken.duckdb"), unsteady=False) == content(db, unsteady=False)


@pytest.fixture(scope="module")
def unbroken(
    tmp_path_factory: pytest.TempPathFactory, scored_folder: Path, curate: Callable, content: Callable
) -> dict[str, list[tuple[object, ...]]]:
    """What a training of four epochs in two rounds leaves in the table."""
    folder = tmp_path_factory.mktemp("unbroken")
    shutil.copytree(scored_folder, folder, dirs_exist_ok=True)
    with chdir(folder):
        assert curate(*ROUNDS).code == 0
        return content(Path("curate.duckdb"), unsteady=False)


@pytest.mark.parametrize(("count", "note"), TRAINED)
def test_a_resumed_training_equals_an_unbroken_one(
    unbroken: dict[str, list[tuple[object, ...]]],
    curate: Callable,
    db: Path,
    content: Callable,
    break_at: Callable,
    count: int,
    note: str,
) -> None:
    break_at(count, note)
    assert curate(*ROUNDS).code == 130
    assert content(db, unsteady=False) != unbroken
    Store(db).runs.finish("adaptive-manifest-1", "running")  # as if it had been killed
    break_at(1)
    again = curate("train", "--resume", "--workers", "0").err.splitlines()[-1]
    assert again.endswith("go on with `curate train --resume --run adaptive-manifest-1 --workers 0`")
    break_at(1000)
    assert curate("train", "--resume").code == 0
    assert content(db, unsteady=False) == unbroken


def test_an_interrupt_before_the_run_begins_names_no_other_run(
    curate: Callable, db: Path, clips: Path, small_settings: Callable, tmp_path: Path, break_at: Callable
) -> None:
    Store(db).runs.finish("score-manifest-1", "interrupted")
    break_at(1, "items")
    ended = curate("score", "--dataset", "manifest", "--root", clips, "--cache", tmp_path / "cache", *small_settings())
    assert ended.code == 130
    last = ended.err.splitlines()[-1]
    assert last == "interrupted: no run was begun; media decoded so far are kept for the next time"


def test_the_same_command_after_an_interrupt_names_the_run_to_go_on_with(
    curate: Callable, db: Path, clips: Path, small_settings: Callable, break_at: Callable
) -> None:
    same = ("score", "--dataset", "manifest", "--root", clips, "--epochs", "4", "--db", "b.duckdb", *small_settings())
    break_at(1, "val")
    assert curate(*same).code == 130
    said = (
        "score-manifest-1 has the same data, settings and seed and is not done (interrupted); score-manifest-2 begins "
        "anew. To go on with the other one instead: `curate score --db b.duckdb --resume --run score-manifest-1`"
    )
    assert said in curate(*same).err
    assert "score-manifest-1 has" not in curate(*same, "--seed", "1").err
    break_at(10000)
    assert curate("score", "--db", "b.duckdb", "--resume", "--run", "score-manifest-1").code == 0
    assert "is not done" not in curate(*same).err
    break_at(1, "val")
    assert curate(*ROUNDS).code == 130
    assert "`curate train --resume --run adaptive-manifest-1`" in curate(*ROUNDS).err.splitlines()[0]


def test_a_scoring_with_a_checkpoint_is_resumed_with_its_weights(
    curate: Callable, db: Path, clips: Path, small_settings: Callable, content: Callable, break_at: Callable
) -> None:
    weights = db.with_suffix(".runs") / "score-manifest-1" / "last.pt"
    same = ("score", "--dataset", "manifest", "--root", clips, "--checkpoint", weights, *small_settings())
    assert curate(*same, "--db", "whole.duckdb").code == 0
    break_at(1, "scoring")
    assert curate(*same, "--db", "broken.duckdb").code == 130
    break_at(10000)
    assert curate("score", "--db", "broken.duckdb", "--resume").code == 0
    whole, broken = (content(Path(name), unsteady=False) for name in ("whole.duckdb", "broken.duckdb"))
    assert broken["prediction"] == whole["prediction"] and broken["epoch"] == whole["epoch"]


def test_an_interrupted_prepare_keeps_what_is_decoded_and_says_how_to_go_on(
    curate: Callable, clips: Path, tmp_path: Path, break_at: Callable
) -> None:
    break_at(2, "items")  # the first is said before anything is decoded
    ended = curate("prepare", "--dataset", "manifest", "--root", clips, "--cache", tmp_path / "cache", "--workers", "0")
    assert ended.code == 130
    last = ended.err.splitlines()[-1]
    assert last == "interrupted: media decoded so far are kept; the same command goes on where it was"
    (log,) = (tmp_path / "cache").glob("*.partial/done.jsonl")
    assert log.read_text().strip()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("where", ["here()", "Ending()"])
def test_a_command_without_words_of_its_own_ends_with_130_and_a_line(name: str, where: str) -> None:
    """Also if the signal comes at the end of an object, where Python drops every error."""
    code = f"""
import os, signal, time
from typer.core import TyperGroup
from curate import cli
def here():
    os.kill(os.getpid(), signal.{name})
    time.sleep(0.01)
class Ending:
    def __del__(self):
        here()
def invoke(self, ctx):
    {where}
    time.sleep(60)
TyperGroup.invoke = invoke
cli.main()
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", code, "runs"], capture_output=True, text=True, env=env)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "interrupted: what was stored before is as it was\n"


def begun(run: Path, *args: str | Path) -> subprocess.Popen[str]:
    """`curate ARGS` in a process group of its own, once its run has finished an epoch and before it can end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, *map(str, args)],
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    while not (run / "last.pt").exists() and process.poll() is None:
        time.sleep(0.02)
    return process


@pytest.mark.long
@pytest.mark.model
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_at_any_moment(
    curate: Callable, clips: Path, small_settings: Callable, content: Callable, end: signal.Signals
) -> None:
    command = ("score", "--dataset", "manifest", "--root", clips, "--epochs", str(EPOCHS), *small_settings(), "--db")
    process = begun(Path("broken.runs/score-manifest-1"), *command, "broken.duckdb")
    os.kill(process.pid, end) if end == signal.SIGTERM else os.killpg(process.pid, end)
    process.wait()
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert out == "" and "Traceback" not in err
    assert err.splitlines()[-1].startswith("interrupted: score-manifest-1 keeps every finished epoch; go on with")
    assert "interrupted" in curate("runs", "--db", "broken.duckdb").out
    assert curate("score", "--resume", "--db", "broken.duckdb").code == 0
    assert curate(*command, "whole.duckdb").code == 0
    assert content(Path("broken.duckdb"), unsteady=False) == content(Path("whole.duckdb"), unsteady=False)


@pytest.mark.long
@pytest.mark.model
def test_kill_in_the_midst_of_training(
    curate: Callable, db: Path, scored_folder: Path, tmp_path: Path, content: Callable
) -> None:
    command = ("train", "--method", "adaptive", "--epochs", str(EPOCHS), "--set", "method.rounds=2")
    whole = tmp_path / "whole"
    shutil.copytree(scored_folder, whole)
    process = begun(Path("curate.runs/adaptive-manifest-1"), *command)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    assert "killed" in curate("runs").out and "killed" in curate("sql", "SELECT status FROM run").out
    assert curate("train", "--resume").code == 0
    with chdir(whole):
        assert curate(*command).code == 0
    assert content(db, unsteady=False) == content(whole / "curate.duckdb", unsteady=False)


@pytest.mark.parametrize("step", ["command", "Commands.parse_args"])
def test_an_interrupt_before_the_command_begins_is_told_as_any_other(
    curate: Callable, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The commands with their options are made first, and settings are read, which takes a while."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"curate.cli.{step}", interrupted)
    assert curate("runs") == (130, "", "interrupted: nothing was begun\n")
