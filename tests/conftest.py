"""The command line in this process, synthetic predictions, and a table scored from them, for every package's tests.

Where torch is not installed, the tests of the model side are left out, and those marked `model` are skipped.

Letters: N samples, M modalities, K classes.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

# Nothing depends on the person who runs the tests, but for what is said to the tests themselves: where the recordings
# are, and how much is tried. On data this small more threads only wait for one another.
TOLD = ("CURATE_TEST_DATA", "CURATE_LONG_TESTS", "CURATE_FUZZ")
for name in [n for n in os.environ if n.startswith("CURATE_") or n in ("FORCE_COLOR", "NO_COLOR")]:
    if name not in TOLD:
        del os.environ[name]
os.environ.setdefault("OMP_NUM_THREADS", "1")
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background, and so by every child

import numpy as np
import pytest
from hypothesis import settings

from curate import cli
from curate.scores import gap, mixture, posteriors
from curate.scores.guard import Guard
from curate.scores.usability import Usability
from curate.store.connection import Connection
from curate.store.store import Store
from curate.types import FUSED, Predictions, Run, Sample

# The same examples on every machine and every day, and no folder of them left behind.
# `make fuzz` tries many more, and others each time.
FUZZ = int(os.environ.get("CURATE_FUZZ", "0"))
settings.register_profile("curate", max_examples=FUZZ or 40, deadline=None, derandomize=not FUZZ, database=None)
settings.load_profile("curate")

SLOWEST = 10
TORCH = find_spec("torch") is not None
collect_ignore = [] if TORCH else ["train", "trimodal", "curate/torch"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a model where there can be none."""
    if not TORCH and item.get_closest_marker("model"):
        pytest.skip("needs torch")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which test files took longest, summed over all processes."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    terminalreporter.section("slowest test files")
    for file, took in seconds.most_common(SLOWEST):
        terminalreporter.line(f"{took:6.1f} s  {file}")


class Ended(NamedTuple):
    """How a command ended: exit status, standard output, standard error."""

    code: int
    out: str
    err: str


def needs_model(command: str, *words: str | Path) -> bool:
    """Whether a command can only do its work with torch."""
    if command == "score":
        return not {"--predictions", "--refit"} & {*words}
    return command in ("train", "evaluate", "demo") or (command == "compare" and "--show" not in words)


def run_main(*args: str | Path, stdin: str = "") -> Ended:
    """`curate ARGS` in this process, error handler included; where torch is missed, the test is skipped."""
    if not TORCH and needs_model(*args):
        pytest.skip("needs torch")
    out, err, before = io.StringIO(), io.StringIO(), (sys.argv, sys.stdin)
    sys.argv, sys.stdin = ["curate", *map(str, args)], io.StringIO(stdin)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv, sys.stdin = before
    return Ended(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def curate() -> Callable[..., Ended]:
    """Runs a command in this process: `curate("runs", "--db", db)`."""
    return run_main


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample table without rows; copy it, never open it."""
    path = tmp_path_factory.mktemp("empty") / "curate.duckdb"
    with Connection(path).open(write=True):
        return path


@pytest.fixture(autouse=True)
def new_tables(empty_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new table is a copy: to make one takes longer than most tests. Tests of making one override this fixture."""
    opened = Connection.open

    def copied(self: Connection, write: bool = False, *args: Any, **options: Any) -> AbstractContextManager[Any]:
        if write and not self.path.exists():
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(empty_file, self.path)
        return opened(self, write, *args, **options)

    monkeypatch.setattr(Connection, "open", copied)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of the test's own."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CURATE_WORKERS", "0")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def softmax(logits: np.ndarray) -> np.ndarray:
    """(N, K) rows that add to one."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def is_weak(index: int) -> bool:
    """Whether the second modality of the sample at this position says nothing: every fourth."""
    return index % 4 == 3


def make_predictions(
    seed: int = 0, modalities: Sequence[str] = ("audio", "visual"), n: int = 60, k: int = 3, prefix: str = "s"
) -> Predictions:
    """Predictions in which every modality knows every sample, but the second one knows nothing of every fourth."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    weak = np.array([is_weak(i) for i in range(n)])
    logits = {}
    for position, m in enumerate(modalities):
        strength = np.where(weak & (position == 1), 0.0, 3.0)
        logits[m] = strength[:, None] * np.eye(k)[labels] + 0.5 * rng.standard_normal((n, k))
    probs = {m: softmax(v) for m, v in logits.items()} | {FUSED: softmax(np.sum(list(logits.values()), axis=0))}
    ids = np.array([f"{prefix}{i:03d}" for i in range(n)])
    return Predictions(ids, labels, tuple(f"class_{c}" for c in range(k)), tuple(modalities), probs)


def make_run(run_id: str = "score-toy-1", **values: object) -> Run:
    """A run's row; what is not given is of the toy data set."""
    row = {
        "kind": "score",
        "method": "warmup",
        "dataset": "toy",
        "data_id": "toy-0123456789",
        "root": None,
        "parent": None,
        "seed": 0,
        "modalities": ("audio", "visual"),
        "classes": ("class_0", "class_1", "class_2"),
        "gap_kind": "prob",
        "family": "gaussian",
        "config": {"score": {"gap": "prob"}},
        "versions": {"python": "3"},
        "folder": "runs/" + run_id,
    }
    return Run(run_id=run_id, **{**row, **values})


def write_data(table: Store, run: Run, predictions: Predictions) -> None:
    """The training samples of predictions, and one of val and one of test, as usable items of the run's data set."""
    samples = [
        Sample(
            sample_id=str(s),
            label=predictions.classes[y],
            split="train",
            inputs={},
            planted=predictions.modalities[-1] if is_weak(i) else "",
        )
        for i, (s, y) in enumerate(zip(predictions.sample_ids, predictions.labels, strict=True))
    ]
    samples += [
        Sample(sample_id=f"zz-{split}", label=predictions.classes[0], split=split, inputs={}, planted="")
        for split in ("val", "test")
    ]
    table.samples.write(run.data_id, samples, predictions.classes, ["ok"] * len(samples), [""] * len(samples))


def write_scored(table: Store, predictions: Predictions, run_id: str = "score-toy-1", **values: object) -> Run:
    """One done scored run: its data set, its row, and round 0 with gaps, mixtures and posteriors."""
    run = make_run(run_id, modalities=predictions.modalities, classes=predictions.classes, **values)
    gaps = gap.modality_gap(predictions)
    kind = run.gap_kind or "prob"
    columns = gaps.of(kind).T
    fits = [mixture.fit(x, run.family or "gaussian", scale=gap.gap_scale(kind, len(run.classes))) for x in columns]
    weights = np.stack([posteriors.p_balanced(f, x) for f, x in zip(fits, columns, strict=True)], axis=1)
    write_data(table, run, predictions)
    table.runs.start(run)
    table.rounds.write(run.run_id, 0, predictions, gaps, fits, weights, kind)
    table.runs.finish(run.run_id, "done")
    return table.runs.find(run.run_id)


def write_usability(table: Store, run_id: str = "score-toy-1") -> None:
    """Usability of two modalities by hand, one of them judged."""
    ids = table.rounds.read(run_id).sample_ids
    half = np.full((len(ids), 2), 0.5)
    guards = (Guard(True, 0.2, 3.0, 0.1), Guard(False, withheld=True))
    table.usability.write(run_id, Usability(ids, ("audio", "visual"), half, half, half, guards, {}), half)


class Scoring:
    """The writers above, as one fixture: tests cannot import their neighbours."""

    run = staticmethod(make_run)
    data = staticmethod(write_data)
    write = staticmethod(write_scored)
    assess = staticmethod(write_usability)


@pytest.fixture(scope="session")
def predictions() -> Callable[..., Predictions]:
    """Factory of seeded predictions: `predictions(seed=0, modalities=("audio", "visual"), n=60, k=3)`."""
    return make_predictions


@pytest.fixture(scope="session")
def scoring() -> type[Scoring]:
    """Writers of rows: `.run(run_id, **columns)`, `.data(table, run, predictions)`, `.write(table, predictions)`,
    `.assess(table, run_id)`."""
    return Scoring


@pytest.fixture(scope="session")
def scored_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `scored_table`, written once; copy it, never open it."""
    table = Store(tmp_path_factory.mktemp("scored") / "curate.duckdb")
    write_scored(table, make_predictions())
    return table.path


@pytest.fixture
def scored_table(scored_file: Path, tmp_path: Path) -> Store:
    """A sample table with one done scored run, `score-toy-1`, of 60 samples, three classes, audio and visual."""
    return Store(shutil.copy(scored_file, tmp_path))
