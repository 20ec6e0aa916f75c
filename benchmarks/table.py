"""How fast posteriors are written to the table, read and selected from; and saved predictions scored.

Claim: at most 1.5 times the time of DuckDB's own bulk insert and scan of the same columns. Predictions are compared
with DuckDB's own softmax, gap, sort, unique and table, and with reading the same columns and writing the same rows;
questions to `samples` with the same to a plain table of its columns: no claim, the ratios are printed, of processor
time; and of the memory of a process that does nothing else. Ids of 36 letters in no order, with `--long-ids` rows: at
most 4 GiB for 10,000,000, in each of scoring, selecting, reporting and exporting.
Run: python benchmarks/table.py [--rows 10000000] [--long-ids 10000000]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import duckdb
import numpy as np

from curate.exports.formats import export
from curate.exports.rows import Wanted
from curate.predictions.score import score_missing_predictions, score_predictions
from curate.report.html import build
from curate.store.store import Store
from curate.types import GapScores, MixtureFit, Run, Sample

FIT = MixtureFit(
    "gaussian", np.array([0.8, 0.2]), np.array([0.0, 0.6]), np.array([0.1, 0.2]), np.full(2, np.inf), 0, "second_moment"
)
RUN = Run(
    run_id="r", kind="score", method="none", dataset="d", data_id="d-0", root=None, parent=None, seed=0,
    modalities=("a", "v"), classes=("k",), gap_kind="prob", family="gaussian", config={}, versions={}, folder="",
)  # fmt: skip
QUESTIONS = (
    "SELECT * FROM samples LIMIT 10",
    "SELECT count(*) FROM samples",
    "SELECT label_name, avg(gap) FROM samples GROUP BY 1",
    "SELECT count(*) FROM samples WHERE p_balanced < 0.2",
    "SELECT * FROM samples WHERE sample_id = 's00000123'",
)
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


def processor(work: Callable[..., object], *arguments: object) -> float:
    """User and system time of one call, of all threads, s."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    work(*arguments)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


SHORT, LONG = "format('s{:08}', i)", "md5(i::VARCHAR) || format('-{:03}', i % 1000)"
"""Ids in order, and longer ones in no order."""


def make_predictions(path: str, rows: int, classes: int = 10, start: int = 0, ids: str = SHORT) -> None:
    """Write logits of two modalities as Parquet, of samples counted from `start`; a fifth of long ids is held out."""
    columns = ", ".join(
        f'(random() * 6 - 3 + if(y = {c}, random() * 5 - 1, 0))::FLOAT AS "{m}.c{c:03}"'
        for m in "av"
        for c in range(classes)
    )
    split = "" if ids == SHORT else ", ['val', 'test', 'train'][least(i % 10 + 1, 3)] AS split"
    drawn = f"SELECT i, (hash(i) % {classes})::INTEGER AS y FROM range({start}, {start + rows}) t(i)"
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT {ids} AS sample_id, format('c{{:03}}', y) AS label, {columns}{split} "
            f"FROM ({drawn})) TO '{path}' (FORMAT parquet)"
        )


def score_plain(source: str, path: str, classes: int = 10) -> None:
    """DuckDB alone: softmax, gap, order and a table, and whether the ids are unique."""
    p = {}
    for m in "av":
        names = [f'"{m}.c{c:03}"' for c in range(classes)]
        most = f"greatest({', '.join(names)})"
        own = " ".join(f"WHEN 'c{c:03}' THEN exp({name} - {most})" for c, name in enumerate(names))
        p[m] = f"(CASE label {own} END) / ({' + '.join(f'exp({name} - {most})' for name in names)})"
    with duckdb.connect(path) as con:
        con.execute(
            f"CREATE TABLE s AS SELECT sample_id, label, {p['a']} AS pa, {p['v']} AS pv, pa - pv AS gap "
            f"FROM '{source}' ORDER BY sample_id"
        )
        con.execute("SELECT count(*), count(DISTINCT sample_id) FROM s").fetchall()


def copy_plain(source: str, stored: str, path: str) -> None:
    """DuckDB alone: read every column of the predictions, and write the rows that scoring stored to another file.

    A maximum of each column would be answered by what the file says of it, without reading any.
    """
    with duckdb.connect(path) as con:
        con.execute(f"ATTACH '{stored}' AS stored (READ_ONLY)")
        con.execute("CREATE TABLE item AS FROM stored.item_here LIMIT 0")  # without checks
        con.execute(f"SELECT bit_xor(hash(t)) FROM '{source}' t").fetchall()
        con.execute("INSERT INTO item FROM stored.item_here")


def score_file(path: str, source: str) -> None:
    """Score saved predictions into a new table."""
    score_predictions(Store(path), [source], [{}])


def select_half(path: str) -> None:
    """Select by the posterior."""
    Store(path).selections.make(Store(path).runs.find().run_id, name="half", threshold=0.8)


def export_half(path: str, to: str) -> None:
    """Export what was selected."""
    export(Store(path), Path(to), wanted=Wanted(selection="half"))


def report_all(path: str, folder: str) -> None:
    """Write the report."""
    build(Store(path), None, Path(folder))


def measure_long(rows: int) -> None:
    """Print the memory of processes that score, select, report and export samples with long ids."""
    with tempfile.TemporaryDirectory() as folder:
        source, table = f"{folder}/p.parquet", f"{folder}/t.duckdb"
        make_predictions(source, rows, ids=LONG)
        for what, work, arguments in (
            ("score", score_file, (table, source)),
            ("select", select_half, (table,)),
            ("report", report_all, (table, f"{folder}/report")),
            ("export", export_half, (table, f"{folder}/half.parquet")),
        ):
            most = in_process(work, *arguments)
            print(f"{rows} long ids, {what}: {most:.0f} MB, {most / 4096:.2f} of 4 GiB")


def in_process(work: Callable[..., object], *arguments: object) -> float:
    """The most memory that a new process had while it did this, MB."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(work, *arguments).result()
        return pool.submit(most_memory).result()


def most_memory() -> float:
    """Of this process until now, MB; `ru_maxrss` would count what its parent had when it began, too."""
    status = Path("/proc/self/status")
    if status.exists():
        told = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(told["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_predictions(rows: int) -> None:
    """Print the processor time of scoring saved predictions and of questions to them, as multiples of DuckDB's own."""
    with tempfile.TemporaryDirectory() as folder:
        source, plain, table = f"{folder}/p.parquet", f"{folder}/plain.duckdb", Store(f"{folder}/t.duckdb")
        make_predictions(source, rows)
        own = processor(score_plain, source, plain)
        ours = processor(score_predictions, table, [source], [{}])
        print(
            f"score {ours:.2f} s for {rows} rows of 2 x 10 logits, {ours / own:.1f} of DuckDB's own table, {own:.2f} s"
        )
        same = processor(copy_plain, source, str(table.path), f"{folder}/same.duckdb")
        print(f"  {ours / same:.1f} of DuckDB's own reading of these columns and writing of these rows, {same:.2f} s")
        alone = [in_process(score_plain, source, f"{folder}/plain-2.duckdb")]
        alone.append(in_process(score_file, f"{folder}/t-2.duckdb", source))
        ratio = f"{alone[1] / alone[0]:.1f} of DuckDB's {alone[0]:.0f}"
        print(f"  memory of a process of its own: {alone[1]:.0f} MB, {ratio}")
        copied = f"{folder}/copied.duckdb"
        with duckdb.connect(copied) as con:
            con.execute(f"ATTACH '{table.path}' AS t (READ_ONLY)")
            con.execute("CREATE TABLE samples AS FROM t.samples")
        for what in QUESTIONS:
            with duckdb.connect(copied, read_only=True) as con:
                before = fastest(con, what)
            with table.db.open() as con:
                after = fastest(con, what)
            print(f"  {what}: {1000 * after:.1f} ms, of a plain table of the same columns {1000 * before:.1f} ms")
        measure_growth(table, folder, rows)
        measure_beside(source, own, folder, rows)


def measure_beside(source: str, own: float, folder: str, rows: int) -> None:
    """Print the same with the rows in Parquet files beside the table."""
    table = Store(f"{folder}/beside.duckdb")
    table.runs.finish("none", "done")  # makes the table
    table.keep_rows(True)
    ours = processor(score_predictions, table, [source], [{}])
    sizes = dict(table.size())
    print(
        f"rows beside the table: score {ours:.2f} s, {ours / own:.1f} of DuckDB's own table; the table has "
        f"{int(sizes['bytes of the table']) / 1e6:.0f} MB, its files {int(sizes['bytes of these']) / 1e6:.0f} MB"
    )
    with duckdb.connect(f"{folder}/copied.duckdb", read_only=True) as plain, table.db.open() as con:
        for what in QUESTIONS:
            before, after = fastest(plain, what), fastest(con, what)
            print(f"  {what}: {1000 * after:.1f} ms, of a plain table of the same columns {1000 * before:.1f} ms")
    back = processor(table.keep_rows, False)
    print(f"  brought back: {back:.2f} s for {rows} rows")


def fastest(con: duckdb.DuckDBPyConnection, sql: str) -> float:
    """Least processor time of three askings, s."""
    return min(processor(lambda: con.execute(sql).fetchall()) for _ in range(3))


def measure_growth(table: Store, folder: str, rows: int) -> None:
    """Print what it costs to score 1 % more, and to remove the run again."""
    more, name = f"{folder}/more.parquet", table.runs.find().dataset
    make_predictions(more, rows // 100, start=rows)
    before = table.path.stat().st_size
    spent = processor(score_missing_predictions, table, [more], name)
    grown = table.path.stat().st_size
    removed = processor(table.remove_run, table.runs.find().run_id)
    after = table.path.stat().st_size
    print(f"  1 % more: {spent:.2f} s, file {before / 1e6:.0f} to {grown / 1e6:.0f} MB")
    print(f"  that run removed: {removed:.2f} s, file {after / 1e6:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--predictions", type=int, default=1_000_000, help="Rows of saved predictions.")
    parser.add_argument("--long-ids", type=int, default=1_000_000, help="Rows of saved predictions with long ids.")
    parser.add_argument("--repeats", type=int, default=3, help="Of each; the fastest counts.")
    options = parser.parse_args()
    measure_long(options.long_ids)
    measure_predictions(options.predictions)
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
