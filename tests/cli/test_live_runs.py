"""A run that another process is still working on is neither resumed nor removed."""

from __future__ import annotations

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
