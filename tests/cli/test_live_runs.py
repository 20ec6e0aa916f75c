"""A run that another process is still working on is neither resumed nor removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curate.store.store import Store

ROOT = Path(__file__).parents[2]
HOLD = (
    "import sys; from pathlib import Path; from curate.files.lock import claimed\n"
    "with claimed(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def live(db: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the scored run, whose status says that it is running."""
    Store(db).runs.start(Store(db).runs.find())
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(db.with_suffix(".runs") / "score-manifest-1")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.communicate()


@pytest.mark.parametrize(
    "command", [("score", "--resume", "--quiet"), ("runs", "score-manifest-1", "--remove", "--yes")]
)
def test_a_live_run_is_left_alone_and_a_dead_one_is_not(
    refused: Callable, curate: Callable, live: subprocess.Popen[str], command: tuple[str, ...]
) -> None:
    told = refused(*command, code=4)
    assert f"score-manifest-1 is being worked on by process {live.pid} " in told
    live.kill()
    live.wait()
    assert curate(*command).code == 0


KILLED = """
import os, signal, sys
from curate import cli
from curate.store.rounds import Rounds
Rounds.write = lambda *args, **named: os.kill(os.getpid(), signal.SIGKILL)
sys.argv = ["curate", "score", "--predictions", "preds.csv"]
cli.main()
"""


def test_saved_predictions_whose_scoring_was_killed_are_not_running(curate: Callable, preds_of_clips: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED], env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert ended.returncode == -signal.SIGKILL
    assert "killed" in curate("sql", "SELECT status FROM run").out
    listed, one = curate("runs"), curate("runs", "score-preds-1")
    assert "killed" in listed.out and "running" not in listed.out + one.out
    for told in (listed.err, one.err):
        assert "score-preds-1: its process is gone" in told and "`curate runs score-preds-1 --remove`" in told
    assert curate("runs", "--quiet").err == ""
    assert "--resume" not in curate("select").err
    assert "no unfinished score run" in curate("score", "--resume").err
    assert curate("score", "--predictions", "preds.csv").code == 0
    assert curate("runs", "score-preds-1", "--remove", "--yes").code == 0
    assert not Path("curate.runs").exists()
    assert "killed" not in curate("runs").out and "its process" not in curate("runs").err


def test_of_saved_predictions_no_folder_stays(curate: Callable, preds_of_clips: Path) -> None:
    assert curate("score", "--predictions", "preds.csv").code == 0
    assert curate("score", "--refit", "score-preds-1", "--gap", "kl").code == 0
    assert not Path("curate.runs").exists()
