"""How long the commands that need no model take to start, compared with the interpreter alone.

Claim: `curate --help` takes at most 0.25 s, and `sql`, `runs` and `select` at most 0.5 s, more than a bare interpreter.
Run: python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from curate.scores import gap, mixture, posteriors
from curate.store.store import Store
from curate.types import Predictions, Run, Sample

REPEATS = 9
CLASSES = ("a", "b", "c")


def scored_table(path: Path, count: int = 5000) -> None:
    """A table with one scored run of random predictions."""
    rng = np.random.default_rng(0)
    ids = np.array([f"s{i:05d}" for i in range(count)])
    labels = rng.integers(0, 3, count)
    probs = {m: rng.dirichlet(np.ones(3), count) for m in ("audio", "visual", "fused")}
    predictions = Predictions(ids, labels, CLASSES, ("audio", "visual"), probs)
    gaps = gap.modality_gap(predictions)
    fitted = mixture.fit(gaps.prob[:, 0])
    table = Store(path)
    table.runs.start(
        Run(
            run_id="score-random-1",
            kind="score",
            method="warmup",
            dataset="random",
            data_id="random-0",
            root=None,
            parent=None,
            seed=0,
            modalities=("audio", "visual"),
            classes=CLASSES,
            gap_kind="prob",
            family="gaussian",
            config={},
            versions={},
            folder="",
        )
    )
    samples = [
        Sample(sample_id=str(i), label=CLASSES[k], split="train", inputs={}) for i, k in zip(ids, labels, strict=True)
    ]
    table.samples.write("random-0", samples, CLASSES, ["ok"] * count, [""] * count)
    table.rounds.write(
        "score-random-1",
        0,
        predictions,
        gaps,
        [fitted],
        posteriors.p_balanced(fitted, gaps.prob[:, 0])[:, None],
        "prob",
    )
    table.runs.finish("score-random-1", "done")


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    curate = str(Path(sys.executable).with_name("curate"))
    with tempfile.TemporaryDirectory() as folder:
        db = str(Path(folder) / "t.duckdb")
        scored_table(Path(db))
        commands = {
            "bare interpreter": ([sys.executable, "-c", "pass"], None),
            "curate --help": ([curate, "--help"], 0.25),
            "curate sql": ([curate, "sql", "--db", db, "SELECT label_name, avg(gap) FROM samples GROUP BY 1"], 0.5),
            "curate runs": ([curate, "runs", "--db", db], 0.5),
            "curate select": ([curate, "select", "--db", db, "--threshold", "0.5"], 0.5),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(REPEATS):  # interleaved, so that a slow moment affects all alike
            for name, (command, _) in commands.items():
                times[name].append(seconds(command))
    bare = statistics.median(times["bare interpreter"])
    print(f"bare interpreter: {bare:.3f} s, median of {REPEATS} interleaved runs")
    for name, (_, limit) in commands.items():
        if limit is not None:
            over = statistics.median(times[name]) - bare
            print(f"{name:<14} {over:.3f} s over it, {over / limit:.2f} of the limit of {limit} s")


if __name__ == "__main__":
    main()
