"""How fast posteriors go into the table, come back in training order, and are selected from.

Claim: within 1.5 times of DuckDB's own bulk insert and scan of the same columns under the same key.
Run: python benchmarks/table.py [--rows 10000000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np

from curate.table import Table
from curate.types import GapScores, MixtureFit, Run, Sample

FIT = MixtureFit(
    "gaussian", np.array([0.8, 0.2]), np.array([0.0, 0.6]), np.array([0.1, 0.2]), np.full(2, np.inf), 0, "second_moment"
)
RUN = Run(
    run_id="r", kind="score", method="none", dataset="d", data_id="d-0", root=None, parent=None, seed=0,
    modalities=("a", "v"), classes=("k",), gap_kind="prob", family="gaussian", config={}, versions={}, folder="",
)  # fmt: skip
OURS = (
    "CREATE TABLE gap_(run_id VARCHAR, round INTEGER, sample_id VARCHAR, pair VARCHAR, a DOUBLE, b DOUBLE, "
    "PRIMARY KEY (run_id, round, sample_id, pair))"
)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    n = parser.parse_args().rows
    rng = np.random.default_rng(0)
    ids = np.char.add("s", np.char.zfill(np.arange(n).astype(str), 8))
    gaps, p = rng.uniform(-1, 1, (n, 1)), rng.uniform(0, 1, (n, 1))
    scores = GapScores(ids, (("a", "v"),), gaps, gaps)
    columns = {"sample_id": ids.astype(object), "a": p[:, 0].copy(), "b": 1 - p[:, 0]}
    with tempfile.TemporaryDirectory() as folder:
        table = Table(Path(folder) / "t.duckdb")
        table.start_run(RUN)
        table.finish_run("r", "done")
        write = seconds(lambda: table.write_round("r", 0, None, scores, [FIT], p, "prob"))
        read = seconds(lambda: table.read_round("r"))
        table.write_samples("d-0", [Sample(sample_id=str(i), label="k", split="train", inputs={}) for i in ids], ("k",),
                            ["ok"] * n, [""] * n)  # fmt: skip
        select = seconds(lambda: table.select("r", threshold=0.8, name="best"))
        with duckdb.connect(str(Path(folder) / "plain.duckdb")) as con:
            con.execute(OURS)
            con.execute(OURS.replace("gap_", "posterior_"))
            con.register("incoming", columns)
            sql = "INSERT INTO {} SELECT 'r', 0, sample_id, 'a|v', a, b FROM incoming"
            bulk = seconds(lambda: [con.execute(sql.format(name)) for name in ("gap_", "posterior_")])
            joined = (
                "SELECT g.sample_id, g.a, g.b, p.a FROM gap_ g "
                "JOIN posterior_ p USING (run_id, round, sample_id, pair) ORDER BY 1"
            )
            scan = seconds(lambda: con.execute(joined).fetchnumpy())
    print(f"{n} samples; a round is their gaps and their posteriors, two keyed rows each")
    print(f"write {2 * n / write:>12,.0f} rows/s, {write / bulk:.2f} of DuckDB's own bulk insert with the same key")
    print(
        f"read  {n / read:>12,.0f} samples/s in training order, {read / scan:.2f} of DuckDB's own join, sort and scan"
    )
    print(f"select{n / select:>12,.0f} samples/s, threshold to stored selection")


if __name__ == "__main__":
    main()
