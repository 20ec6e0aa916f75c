"""Gaps that come in portions: the fit of one array, little memory, and what is refused.

Letters: N samples.
"""

from __future__ import annotations

import tracemalloc
from dataclasses import asdict
from pathlib import Path

import duckdb
import fsspec
import numpy as np
import pandas as pd
import pytest

import curate
from curate.errors import CurateError
from curate.scores.cells import EXACT, gather


def world(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.permutation(np.concatenate([rng.normal(0, 0.1, n - n // 3), rng.normal(0.6, 0.15, n // 3)]))


def parted(x: np.ndarray, sizes: tuple[int, ...]):
    """Reads the array in portions of these sizes, over and over."""

    def read():
        start = turn = 0
        while start < len(x):
            size = sizes[turn % len(sizes)]
            yield x[start : start + size]
            start, turn = start + size, turn + 1

    return read


@pytest.mark.parametrize("family", ["two-sided", "gaussian", "student-t"])
@pytest.mark.parametrize("n", [0, 5, EXACT, EXACT + 1, 200_000])
def test_portions_give_the_fit_of_one_array_to_the_last_digit(n, family):
    x = world(n)
    whole, portions = curate.fit_mixture(x, family), curate.fit_mixture(parted(x, (70_001, 0, 13)), family)
    for name, value in asdict(whole).items():
        np.testing.assert_array_equal(asdict(portions)[name], value, err_msg=name)


def test_single_precision_and_integers_come_in_portions_too():
    x = world(1000).astype(np.float32)
    found = curate.fit_mixture(parted(x, (300,)))
    np.testing.assert_array_equal(found.scales, curate.fit_mixture(x.astype(np.float64)).scales)
    assert gather(parted(np.arange(4), (3,))).mean == 1.5


@pytest.mark.parametrize("n", [1000, 60_000])
def test_folded_cells_have_the_count_and_the_square_of_all_gaps(n):
    x = world(n)
    found = gather(x).folded()
    assert (np.diff(found.means) >= 0).all() and found.means[0] >= 0 and found.total == n
    assert found.counts @ (found.means**2 + found.variances) == pytest.approx((x**2).sum(), rel=1e-12)


def test_memory_does_not_grow_with_the_gaps():
    portion = world(100_000)
    times = 60  # 48 MB in one array

    tracemalloc.start()
    found = curate.fit_mixture(lambda: (portion for _ in range(times)), "gaussian")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.outcome == "ok" and peak < 12e6


def test_what_is_not_read_twice_alike_is_refused():
    x = world(500)
    once = iter([x])
    with pytest.raises(ValueError, match="first pass read 500 gaps, the second 0"):
        curate.fit_mixture(lambda: once)
    many = iter([world(30_000)])
    with pytest.raises(ValueError, match="first pass read 30000 gaps, the second 0"):
        curate.fit_mixture(lambda: many, "gaussian")


@pytest.mark.parametrize("family", ["two-sided", "gaussian"])
def test_bad_portions_are_refused(family):
    for wrong, told in (([0.1, np.nan], "finite"), ([np.inf, 0], "finite"), ([[0.1, 0.2]], "one-dimensional")):
        with pytest.raises(ValueError, match=told):
            curate.fit_mixture(lambda wrong=wrong: [np.zeros(3), np.array(wrong)], family)
    with pytest.raises(ValueError, match="weights"):
        curate.fit_mixture(lambda: [np.zeros(3)], "gaussian", weights=np.ones(3))


# --- columns of Parquet files ----------------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A folder with three files, one empty, of rows some of which have no gap; and all gaps."""
    gaps = world(10_000)
    with duckdb.connect() as con:
        for name, rows in (("b", gaps[6000:]), ("a", gaps[:6000]), ("c", gaps[:0])):
            con.register("shard", pd.DataFrame({"gap": rows}))
            con.execute(
                "COPY (SELECT gap, 'x' AS word, 1::UTINYINT AS small FROM shard "
                f"UNION ALL BY NAME SELECT NULL AS gap, 'y' AS word) TO '{tmp_path / name}.parquet'"
            )
    return tmp_path, gaps


def test_a_column_of_shards_is_the_array(shards):
    folder, gaps = shards
    read = curate.column(folder / "*.parquet", "gap")
    for _ in range(2):  # each call begins anew
        assert np.array_equal(np.concatenate(list(read())), gaps), "files in the order of their names, without NULL"
    fitted = curate.fit_mixture(read)
    np.testing.assert_array_equal(fitted.scales, curate.fit_mixture(gaps).scales)
    kept = sum(int((curate.p_balanced(fitted, portion) >= 0.8).sum()) for portion in read())
    assert kept == (curate.p_balanced(fitted, gaps) >= 0.8).sum() > 1000
    turned = curate.column([folder / "b.parquet", folder / "a.parquet"], "gap")
    assert np.array_equal(np.concatenate(list(turned())), np.concatenate([gaps[6000:], gaps[:6000]]))
    assert np.concatenate(list(curate.column(folder / "a.parquet", "small")())).tolist() == [1.0] * 6000


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(shards):
    folder, gaps = shards
    named = folder / "a[1].parquet"
    (folder / "a.parquet").rename(named)
    assert np.array_equal(np.concatenate(list(curate.column(named, "gap")())), gaps[:6000])
    system = fsspec.filesystem("memory")
    system.put_file(str(named), "/portions/a.parquet?part=1")
    try:
        found = curate.column("memory://portions/a.parquet?part=1", "gap")()
        assert np.array_equal(np.concatenate(list(found)), gaps[:6000])
    finally:
        system.rm("/portions", recursive=True)


def test_a_column_that_cannot_be_had(shards, tmp_path):
    folder, _ = shards
    (tmp_path / "no.parquet").write_text("no table")
    for paths, name, told in (
        (folder / "z*.parquet", "gap", "no file is like"),
        (folder / "z.parquet", "gap", "cannot be read"),
        (folder / "no.parquet", "gap", "cannot be read"),
        (folder / "a.parquet", "Gap", "no column 'Gap'"),
        (folder / "a.parquet", "word", "holds VARCHAR"),
    ):
        with pytest.raises(CurateError, match=told) as refused:
            curate.column(paths, name)
        assert refused.value.hint
