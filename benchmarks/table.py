"""How fast posteriors are written to the table, read in training order, and selected from.

Claim: at most 1.5 times the time of DuckDB's own bulk insert and scan of the same columns.
Run: python benchmarks/table.py [--rows 10000000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import numpy as np

from curate.store.store import Store
from curate.types import GapScores, MixtureFit, Run, Sample

FIT = MixtureFit(
    "gaussian", np.array([0.8, 0.2]), np.array([0.0, 0.6]), np.array([0.1, 0.2]), np.full(2, np.inf), 0, "second_moment"
)
RUN = Run(
    run_id="r", kind="score", method="none", dataset="d", data_id="d-0", root=None, parent=None, seed=0,
    modalities=("a", "v"), classes=("k",), gap_kind="prob", family="gaussian", config={}, versions={}, folder="",
)  # fmt: skip
OURS = "CREATE TABLE gap_(run_id VARCHAR, round INTEGER, sample_id VARCHAR, pair VARCHAR, a DOUBLE, b DOUBLE)"


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def write_plain(path: str, columns: dict[str, np.ndarray]) -> None:
    """Write two tables of the same columns, without any check of their values; they are on disk when it returns."""
    with duckdb.connect(path) as con:
        con.execute(OURS)
        con.execute(OURS.replace("gap_", "posterior_"))
        con.register("incoming", columns)
        for name in ("gap_", "posterior_"):
            con.execute(f"INSERT INTO {name} SELECT 'r', 0, sample_id, 'a|v', a, b FROM incoming")


def read_plain(path: str) -> None:
    """Read the rows of both tables as arrays, in the order of the ids."""
    with duckdb.connect(path, read_only=True) as con:
        con.execute(
            "SELECT g.sample_id, g.a, g.b, p.a FROM gap_ g "
            "JOIN posterior_ p USING (run_id, round, sample_id, pair) ORDER BY 1"
        ).fetchnumpy()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3, help="Of each; the fastest counts.")
    options = parser.parse_args()
    n, times = options.rows, defaultdict(list)
    rng = np.random.default_rng(0)
    ids = np.char.add("s", np.char.zfill(np.arange(n).astype(str), 8))
    gaps, p = rng.uniform(-1, 1, (n, 1)), rng.uniform(0, 1, (n, 1))
    scores = GapScores(ids, (("a", "v"),), gaps, gaps)
    columns = {"sample_id": ids.astype(object), "a": p[:, 0].copy(), "b": 1 - p[:, 0]}
    for number in range(options.repeats):  # in turn, so that other load on the machine affects both
        with tempfile.TemporaryDirectory() as folder:
            table = Store(Path(folder) / "t.duckdb")
            table.runs.start(RUN)
            table.runs.finish("r", "done")
            plain = str(Path(folder) / "plain.duckdb")
            times["bulk"].append(seconds(write_plain, plain, columns))
            times["write"].append(seconds(table.rounds.write, "r", 0, None, scores, [FIT], p, "prob"))
            times["scan"].append(seconds(read_plain, plain))
            times["read"].append(seconds(table.rounds.read, "r"))
            if number + 1 == options.repeats:
                items = [Sample(sample_id=str(i), label="k", split="train", inputs={}) for i in ids]
                table.samples.write("d-0", items, ("k",), ["ok"] * n, [""] * n)
                times["select"].append(seconds(partial(table.selections.make, "r", threshold=0.8, name="best")))
    best = {name: min(taken) for name, taken in times.items()}
    print(f"{n} samples; a round is their gaps and their posteriors, a row each; best of {options.repeats}")
    print(
        f"write {2 * n / best['write']:>12,.0f} rows/s, {best['write'] / best['bulk']:.2f} of DuckDB's own bulk "
        "insert, checkpoint included"
    )
    print(
        f"read  {n / best['read']:>12,.0f} samples/s in training order, {best['read'] / best['scan']:.2f} of DuckDB's "
        "own join, sort and scan"
    )
    print(f"select{n / best['select']:>12,.0f} samples/s, threshold to stored selection, {best['select']:.1f} s")


if __name__ == "__main__":
    main()
