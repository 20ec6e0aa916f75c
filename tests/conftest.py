"""Synthetic predictions, and a sample table scored from them, for every room's tests.

Letters: N samples, M modalities, K classes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from curate import gap, mixture
from curate.table import Table
from curate.types import FUSED, Predictions, Run, Sample

# The same examples on every machine and every day, and no folder of them left behind.
# `make fuzz` tries many more, and others each time.
FUZZ = int(os.environ.get("CURATE_FUZZ", "0"))
settings.register_profile("curate", max_examples=FUZZ or 40, deadline=None, derandomize=not FUZZ, database=None)
settings.load_profile("curate")


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


def write_data(table: Table, run: Run, predictions: Predictions) -> None:
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
    table.write_samples(run.data_id, samples, predictions.classes, ["ok"] * len(samples), [""] * len(samples))


def write_scored(table: Table, predictions: Predictions, run_id: str = "score-toy-1", **values: object) -> Run:
    """One done scored run: its data set, its row, and round 0 with gaps, mixtures and posteriors."""
    run = make_run(run_id, modalities=predictions.modalities, classes=predictions.classes, **values)
    gaps = gap.modality_gap(predictions)
    kind = run.gap_kind or "prob"
    columns = gaps.of(kind).T
    fits = [mixture.fit(x, run.family or "gaussian", scale=gap.gap_scale(kind, len(run.classes))) for x in columns]
    posteriors = np.stack([mixture.p_balanced(f, x) for f, x in zip(fits, columns, strict=True)], axis=1)
    write_data(table, run, predictions)
    table.start_run(run)
    table.write_round(run.run_id, 0, predictions, gaps, fits, posteriors, kind)
    table.finish_run(run.run_id, "done")
    return table.find_run(run.run_id)


class Scoring:
    """The writers above, as one fixture: tests cannot import their neighbours."""

    run = staticmethod(make_run)
    data = staticmethod(write_data)
    write = staticmethod(write_scored)


@pytest.fixture
def predictions() -> Callable[..., Predictions]:
    """Factory of seeded predictions: `predictions(seed=0, modalities=("audio", "visual"), n=60, k=3)`."""
    return make_predictions


@pytest.fixture
def scoring() -> type[Scoring]:
    """Writers of rows: `.run(run_id, **columns)`, `.data(table, run, predictions)`, `.write(table, predictions)`."""
    return Scoring


@pytest.fixture(scope="session")
def scored_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `scored_table`, written once; copy it, never open it."""
    table = Table(tmp_path_factory.mktemp("scored") / "curate.duckdb")
    write_scored(table, make_predictions())
    return table.path


@pytest.fixture
def scored_table(scored_file: Path, tmp_path: Path) -> Table:
    """A sample table with one done scored run, `score-toy-1`, of 60 samples, three classes, audio and visual."""
    return Table(shutil.copy(scored_file, tmp_path))
