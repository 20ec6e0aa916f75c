"""The interactive page on a million samples: how long until it is drawn, what a filter costs, what memory it takes.

Claims: the server reads the table in at most twice the processor time that DuckDB takes to write these rows; then the
page is drawn in under 3 s; a filter is answered within 300 ms, median; the server stays below 1 GiB.
Run: python benchmarks/view.py [--rows 1000000]; the page's part is left out where no chromium is installed.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import parse_qsl

import duckdb
import numpy as np

from curate.scores.gap import modality_gap
from curate.scores.scoring import MixtureConfig, fit_gaps
from curate.store.snapshot import FILLING, Snapshot
from curate.store.store import Store
from curate.types import FUSED, Predictions, Run, Sample
from curate.view.questions import Answers, clause, parse
from curate.view.serving import View

CLASSES, MODALITIES = tuple(f"class {i:02}" for i in range(20)), ("audio", "visual")
USUAL = ("p_audio", "p_visual")
FILTERS = {
    "nothing": "",
    "a range of the gap": "r.gap=-0.1,0.2",
    "two classes": "in.label_name=class+03&in.label_name=class+04",
    "a part of the id": "q=123",
    "a condition": "where=p_fused < 0.2 OR gap > 0.5",
    "a lasso of 40 corners": "lasso=p_audio:p_visual:"
    + ",".join(f"{0.5 + 0.3 * f(2 * np.pi * k / 40):.3f}" for k in range(40) for f in (np.cos, np.sin)),
    "all of them": "r.gap=-0.5,0.9&in.label_name=class+03&q=12&where=p_fused > 0.1",
}
REPEATS = 5


def write_table(path: Path, n: int) -> Store:
    """A scored run of n samples; on every fifth the second modality knows nothing."""
    rng, store, k = np.random.default_rng(0), Store(path), len(CLASSES)
    ids, labels = np.char.add("clip-", np.char.zfill(np.arange(n).astype(str), 8)), rng.integers(0, k, n)
    strengths = {"audio": rng.normal(3, 1.5, n), "visual": np.where(rng.random(n) < 0.2, 0, rng.normal(2.5, 1.2, n))}
    probs = {}
    for m, strength in strengths.items():
        logits = 0.7 * rng.standard_normal((n, k))
        logits[np.arange(n), labels] += strength
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs[m] = e / e.sum(axis=1, keepdims=True)
    probs[FUSED] = (probs["audio"] + probs["visual"]) / 2
    predictions = Predictions(ids, labels, CLASSES, MODALITIES, probs)
    found = fit_gaps(modality_gap(predictions), MixtureConfig(), k)
    run = Run(
        run_id="score-big-1", kind="score", method="none", dataset="big", data_id="big-0", root=None, parent=None,
        seed=0, modalities=MODALITIES, classes=CLASSES, gap_kind="prob", family=found.fits[0].family, config={},
        versions={}, folder="",
    )  # fmt: skip
    samples = [
        Sample(sample_id=str(i), label=CLASSES[y], split="train", inputs={}) for i, y in zip(ids, labels, strict=True)
    ]
    store.samples.write("big-0", samples, CLASSES, ["ok"] * n, [""] * n)
    store.runs.start(run)
    store.rounds.write(run.run_id, 0, predictions, found.gaps, found.fits, found.p_balanced, "prob")
    store.runs.finish(run.run_id, "done")
    return store


def milliseconds(work) -> float:
    """Median wall time of some calls."""
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken)


def memory(pid: int) -> float:
    """Largest resident size of a process so far, MiB."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def processor() -> float:
    """User and system time of this process so far, s."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def copy_plain(snapshot: Snapshot) -> float:
    """Processor time in which DuckDB writes the rows of a snapshot to another file, s."""
    with tempfile.TemporaryDirectory() as folder:
        held = Path(shutil.copy(Path(snapshot._folder.name) / "samples.duckdb", folder))
        before = processor()
        with duckdb.connect(f"{folder}/other.duckdb", config={"memory_limit": FILLING}) as con:
            con.execute(f"ATTACH '{held}' AS held (READ_ONLY)")
            con.execute("CREATE TABLE samples AS FROM held.samples")
        return processor() - before


def measure_filters(store: Store) -> None:
    """The summary of the page for each filter, beside DuckDB's count of the same condition."""
    store.selections.make(store.runs.find().run_id, name="half", fraction=0.5)
    started, before = time.perf_counter(), processor()
    snapshot = Snapshot(store, store.runs.find(kind="score"))
    taken, spent = time.perf_counter() - started, processor() - before
    print(f"snapshot of {snapshot.total:,} samples, half of them in a selection: {taken:.1f} s, once at the start")
    own = copy_plain(snapshot)
    print(f"  {spent:.1f} s of processor time, {spent / own:.1f} of DuckDB's own writing of these rows, {own:.1f} s")
    answers = Answers(snapshot, "fitted_audio_visual")
    taken = []
    for name, query in FILTERS.items():
        question = parse(parse_qsl(query), snapshot, USUAL)
        where, given = clause(question)
        own = milliseconds(lambda q=question: answers.summary(q))
        rows = milliseconds(lambda q=question: answers.page(q, 0, 24))
        count = milliseconds(lambda w=where, g=given: snapshot.ask(f"SELECT count(*) FROM samples WHERE {w}", g))
        taken.append(own)
        print(f"{name:<22} all charts {own:>5.0f} ms, {own / count:>5.1f} of DuckDB's count; rows {rows:>5.0f} ms")
    print(f"median of the filters: {statistics.median(taken):.0f} ms")
    snapshot.close()


def measure_page(store: Store) -> None:
    """From the address to the drawn page in a browser, and memory."""
    started = time.perf_counter()
    with View(store) as view:
        print(f"server ready {time.perf_counter() - started:.1f} s after its start")
        chromium = shutil.which("chromium")
        if chromium is not None:
            from playwright.sync_api import sync_playwright

            with sync_playwright() as run:
                browser = run.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                tab = browser.new_page()
                started = time.perf_counter()
                tab.goto(view.address)
                tab.wait_for_selector("html[data-ready]")
                print(f"first paint {time.perf_counter() - started:.2f} s after the address was opened")
                heap = tab.evaluate("performance.memory.usedJSHeapSize") / 2**20
                print(f"script memory of the page {heap:.0f} MiB")
                browser.close()
        print(f"largest memory of the server {memory(view.process_id):.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = write_table(Path(folder) / "t.duckdb", options.rows)
        measure_page(store)
        measure_filters(store)


if __name__ == "__main__":
    main()
