"""Commands in several processes: the same results, no orphans, one message when one of them is lost, and resuming."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.model, pytest.mark.long]
ROOT = Path(__file__).parents[2]
TRAIN = ("train", "--method", "adaptive", "--epochs", "6", "--set", "method.rounds=2", "--processes", "2")
EITHER = pytest.mark.parametrize("divided", [(), ("--set", "model.sharded=true")], ids=["whole", "divided"])
CLOSE = 1e-3
"""Of float32 numbers after some epochs: sums are taken in another order."""


def begun(run: Path, *args: str | Path, **variables: str) -> tuple[subprocess.Popen[str], list[int]]:
    """`curate ARGS` in a session of its own, once its run has finished an epoch, and its other processes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "curate", *map(str, args)],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
    )
    while not (run / "last.pt").exists() and process.poll() is None:
        time.sleep(0.02)
    tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in tasks}
    return process, [pid for pid, command in commands.items() if b"spawn_main" in command]


def gone(pids: list[int]) -> bool:
    """Whether processes end, or wait for a parent that does not ask for their status any more."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        states = [Path(f"/proc/{pid}/stat") for pid in pids]
        if not any(p.exists() and ") Z" not in p.read_text() for p in states):
            return True
        time.sleep(0.1)
    return False


def rows(content: Callable, db: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the tables that a scoring writes."""
    found = steady(content, db)
    return {table: found[table] for table in ("sample", "prediction", "gap", "posterior", "epoch", "fold_epoch")}


def steady(content: Callable, db: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row, but for the memory of a step: it is of the first process, and depends on when messages arrive."""
    found = content(db, unsteady=False)
    return found | {table: [row for row in found[table] if "memory" not in row] for table in ("epoch", "fold_epoch")}


@EITHER
def test_scoring_writes_every_sample_once_as_one_process_does(
    divided: tuple[str, ...], curate: Callable, clips: Path, small_settings: Callable, content: Callable
) -> None:
    command = ("score", "--dataset", "manifest", "--root", clips, "--epochs", "2", "--folds", "2", *small_settings())
    ended = [curate(*command, "--db", f"{n}.duckdb", "--processes", n, *divided) for n in ("1", "2")]
    assert [e.code for e in ended] == [0, 0], ended
    assert "encoders run in 2 processes" in ended[1].err
    told = [e.err.count("they are whole") for e in ended], [e.err.count("has 1/2 of the encoders") for e in ended]
    assert told == (([1, 0], [0, 1]) if divided else ([0, 0], [0, 0]))
    one, two = (rows(content, Path(f"{n}.duckdb")) for n in (1, 2))
    for table, expected in one.items():
        assert len(two[table]) == len(expected), table
        for here, there in zip(two[table], expected, strict=True):
            for x, y in zip(here, there, strict=True):
                assert x == (pytest.approx(y, abs=CLOSE) if isinstance(y, float) else y), table
    tested = [curate("evaluate", "--db", "2.duckdb", "--processes", n, "-q", "--format", "csv") for n in ("1", "2")]
    assert tested[0] == tested[1] and tested[0].code == 0


@EITHER
def test_a_lost_process_ends_all_and_the_resumed_run_equals_the_unbroken_one(
    divided: tuple[str, ...], curate: Callable, db: Path, scored_folder: Path, tmp_path: Path, content: Callable
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(scored_folder, whole)
    process, others = begun(Path("curate.runs/adaptive-manifest-1"), *TRAIN, *divided)
    assert len(others) == 1
    os.kill(others[0], signal.SIGKILL)
    out, err = process.communicate()
    told = [line for line in err.splitlines() if line.startswith(("error:", "hint:"))]
    assert process.returncode == 1 and out == "" and "Traceback" not in err, err
    assert len(told) == 2 and "process 1 was ended by SIGKILL" in told[0]
    assert "`curate train --resume --run adaptive-manifest-1 --processes 2`" in told[1]
    assert "failed" in curate("runs").out
    assert curate("train", "--resume", "--processes", "2").code == 0
    with chdir(whole):
        assert curate(*TRAIN, *divided).code == 0
    assert steady(content, db) == steady(content, whole / "curate.duckdb")


@pytest.mark.parametrize("rank", ["0", "1"])
def test_one_process_of_a_launcher_alone_says_whom_it_waits_for_and_can_be_ended(rank: str, db: Path) -> None:
    """Variables that are left of another job; the port is one that nobody listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    variables = {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    process = subprocess.Popen(
        [sys.executable, "-m", "curate", "evaluate", "--db", db],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    assert f"process {rank} of 2" in said and f"127.0.0.1:{port}" in said
    process.terminate()
    assert "interrupted" in process.communicate()[1]
    assert process.returncode == 130


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_command_ends_all(how: signal.Signals, db: Path) -> None:
    process, others = begun(Path("curate.runs/adaptive-manifest-1"), *TRAIN[:-1], "3", TMPDIR=str(db.parent))
    assert len(others) == 2
    os.killpg(process.pid, how) if how == signal.SIGINT else process.send_signal(how)
    out, err = process.communicate()
    asked = how in (signal.SIGINT, signal.SIGTERM)
    assert process.returncode == (130 if asked else -how), err
    assert out == "" and "Traceback" not in err
    if asked:
        assert err.splitlines()[-1].startswith("interrupted: adaptive-manifest-1 keeps every finished epoch")
    assert gone(others)
    assert not list(db.parent.glob("curate-*")), "nothing is left in the folder of temporary files"


def torchrun(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """`torchrun --standalone --nproc-per-node=2 -m curate ARGS`: on a free port, so that several can run at once."""
    options = ("--standalone", "--nproc-per-node=2")
    command = [sys.executable, "-m", "torch.distributed.run", *options, "-m", "curate", *map(str, args)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=variables, check=False, timeout=300)


@EITHER
def test_torchrun_runs_one_command(divided: tuple[str, ...], db: Path, curate: Callable) -> None:
    """Results and messages come once, and the other process ends whatever the command is."""
    ended = torchrun("train", "--method", "joint", "--epochs", "2", "--format", "csv", *divided)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) == 4 and ended.stdout.count("fused") == 1
    assert ended.stderr.count("encoders run in 2 processes") == 1
    assert curate("runs", "--format", "csv").out.count("joint-manifest-1") == 1
    for command in (("runs",), ("train", "--help"), ("score", "--refit", "score-manifest-1")):
        ended = torchrun(*command)
        assert ended.returncode == 0, ended.stderr
        assert len(re.findall(r"^score-manifest-1|^score-manifest-2: | Usage: ", ended.stdout, re.MULTILINE)) == 1


def test_processes_are_for_models(refused: Callable, curate: Callable, db: Path) -> None:
    told = refused("score", "--refit", "score-manifest-1", "--processes", "2")
    assert "--processes has no part in it" in told
    assert curate("train", "--method", "joint", "--processes", "0").code == 2
