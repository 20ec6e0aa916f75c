"""The mixture at scale: 10 million gaps against scikit-learn, memory, Student-t, and cost against N.

Claims: on the same gaps, from the same start, every parameter is within 1e-3 of that of scikit-learn's GaussianMixture
and the fit is at least 300 times faster; peak memory stays below 1.2 times the input; a Student-t fit of 10 million
gaps ends within 3 seconds; cost is linear in N, also with three components; gaps that stay in Parquet files are fitted
to the same last digit, in memory that does not grow with N. Uses one process; scikit-learn's part takes minutes.
Run: python benchmarks/mixture.py [--n 10000000] [--skip-sklearn] [--only-shards]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from curate.files.parquet import column
from curate.scores.cells import gather
from curate.scores.em import starts
from curate.scores.mixture import fit
from curate.scores.posteriors import p_balanced
from curate.types import Floats, MixtureFit

SHARD = 1_000_000
PAGE = resource.getpagesize()


def gaps(n: int) -> Floats:
    """A balanced peak and an imbalanced group, shuffled; all but a few in [-1, 1]."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(n)
    far = rng.random(n) < 0.25
    x *= np.where(far, 0.18, 0.12)
    x[far] += 0.5
    return x


def timed(work: Callable[[], MixtureFit], repeats: int = 3) -> tuple[float, MixtureFit]:
    """Median seconds and the last result."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)), found


def resident() -> int:
    """Bytes of memory that this process uses now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def peak_growth(work: Callable[[], object]) -> int:
    """Largest growth of resident memory while `work` ran, in bytes, sampled every millisecond."""
    before, most, over = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.001):
            most = max(most, resident() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    over.set()
    watcher.join()
    return most


def memory(x: Floats) -> None:
    """Print the peak memory of input and fit over the input's, from the operating system and Python's allocator."""
    print(f"memory, {x.size} gaps of {x.nbytes / 1e6:.0f} MB; input and fit at their peak over the input:")
    for family, dof in (("gaussian", 4.0), ("student-t", 4.0), ("student-t", None)):

        def work(family: str = family, dof: float | None = dof) -> MixtureFit:
            return fit(x, family, dof=dof)

        grown = peak_growth(work)
        tracemalloc.start()
        work()
        traced = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(
            f"  {family:<9} dof {dof!s:<4}  resident {1 + grown / x.nbytes:.3f}  allocated {1 + traced / x.nbytes:.3f}"
        )


def against_sklearn(x: Floats) -> None:
    """Compare seconds and parameters of both, from one of our starts."""
    from sklearn.mixture import GaussianMixture

    ours = fit(x, "gaussian")
    begin = starts(gather(x), np.inf)
    for tolerance in (1e-3, 1e-7):
        theirs = GaussianMixture(
            2,
            weights_init=begin.weights[0],
            means_init=begin.locs[0][:, None],
            precisions_init=begin.scales[0][:, None, None] ** -2,
            tol=tolerance,
            max_iter=1000,
        )
        began = time.perf_counter()
        theirs.fit(x[:, None])
        needed = time.perf_counter() - began
        seconds, _ = timed(lambda: fit(x, "gaussian"), 5)  # right after, so that the machine's load is the same
        order = np.argsort(theirs.means_[:, 0])
        pairs = (
            (ours.weights, theirs.weights_[order]),
            (ours.locs, theirs.means_[order, 0]),
            (ours.scales, np.sqrt(theirs.covariances_[order, 0, 0])),
        )
        largest = max(float(np.abs(a - b).max()) for a, b in pairs)
        what = "its default" if tolerance == 1e-3 else "converged"
        print(
            f"scikit-learn, tol {tolerance:g} ({what}), {theirs.n_iter_} iterations: {needed:.1f} s; "
            f"ours, five starts: {seconds:.3f} s; ratio {needed / seconds:.0f}; largest difference {largest:.1e}; "
            f"mean log-likelihood ours - theirs {ours.log_likelihoods[-1] / x.size - theirs.lower_bound_:+.2e}",
            flush=True,
        )


def cost(x: Floats) -> None:
    """Print seconds, and nanoseconds per gap, of fit and posterior at growing N."""
    kinds = (("gaussian", 4.0), ("student-t", 4.0), ("student-t", None))
    print("seconds (ns a gap): " + ", ".join(f"{f} dof {d}" for f, d in kinds) + ", p_balanced")
    for n in (10**k for k in range(4, 9) if 10**k <= x.size):
        part = x[:n]
        row = [timed(lambda f=f, d=d, part=part: fit(part, f, dof=d))[0] for f, d in kinds]
        fitted = fit(part, "gaussian")
        began = time.perf_counter()
        p_balanced(fitted, part)
        row.append(time.perf_counter() - began)
        print(f"  {n:>9}  " + "  ".join(f"{s:.3f} ({s / n * 1e9:.0f})" for s in row), flush=True)


def three(x: Floats) -> None:
    """Print seconds of a fit of three components to gaps with two tails, and of two components to the same gaps."""
    x = np.where(np.arange(x.size) % 3, x, -x)  # flips one gap in three, so that there are two tails
    kinds = (("gaussian", 4.0), ("student-t", 4.0), ("student-t", None))
    print("three components, seconds (of two): " + ", ".join(f"{f} dof {d}" for f, d in kinds))
    for n in (10**k for k in range(4, 9) if 10**k <= x.size):
        part = x[:n]
        row = []
        for f, d in kinds:
            more, found = timed(lambda f=f, d=d, part=part: fit(part, f, dof=d, components=3))
            fewer, _ = timed(lambda f=f, d=d, part=part: fit(part, f, dof=d))
            row.append(f"{more:.3f} ({fewer:.3f}) {found.outcome}")
        print(f"  {n:>9}  " + "  ".join(row), flush=True)


def shards(x: Floats) -> None:
    """Print memory and time of a fit whose gaps stay in Parquet files, and whether it is the fit of the array."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as con:
        for i, start in enumerate(range(0, x.size, SHARD)):
            con.register("shard", pd.DataFrame({"gap": x[start : start + SHARD]}))
            con.execute(f"COPY shard TO '{folder}/{i:06d}.parquet'")
        con.unregister("shard")
        scan, _ = timed(lambda: con.execute(f"SELECT avg(gap) FROM '{folder}/*.parquet'").fetchall())
        read = column(f"{folder}/*.parquet", "gap")
        for family in ("two-sided", "gaussian"):
            seconds, found = timed(lambda family=family: fit(read, family), 1)
            grown = peak_growth(lambda family=family: fit(read, family))
            whole = fit(x, family)
            same = all(np.array_equal(getattr(found, f), getattr(whole, f)) for f in ("weights", "locs", "scales"))
            print(
                f"{x.size} gaps in Parquet files, {family}: {seconds:.1f} s, {seconds / scan:.1f} x DuckDB's average "
                f"of them; memory {grown / 1e6:.0f} MB, {grown / x.nbytes:.2f} x the array; the array's fit: {same}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000_000)
    parser.add_argument("--skip-sklearn", action="store_true")
    parser.add_argument("--only-shards", action="store_true")
    chosen = parser.parse_args()
    x = gaps(chosen.n)
    shards(x)
    if chosen.only_shards:
        return
    fit(x[:1000])  # imports and warms up
    memory(x)
    cost(x)
    three(x)
    if not chosen.skip_sklearn:
        against_sklearn(x)


if __name__ == "__main__":
    main()
