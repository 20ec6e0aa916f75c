"""The comparison's page: complete, self-contained, and safe from what rows are called."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from curate.comparison.layout import aside, cells
from curate.comparison.plan import Plan, Row
from curate.comparison.ranks import mean_ranks
from curate.comparison.summary import summarize
from curate.report.comparison import comparison_page, judged, write_comparison
from curate.report.panels import rank_lines, sensitivity, validation_curves
from curate.store.store import Store

NASTY = "<b>&\"' a method"
ROWS = (
    Row("joint", "joint", control=True),
    Row("warmup", "warmup", control=True),
    Row(NASTY, "iprm"),
    Row("gone", "x"),
)


class Cells(HTMLParser):
    """The text of every cell of the first table, row by row, and what stands below names in small letters."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside, self.tables, self.small = False, 0, False
        self.below: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tables += tag == "table"
        if self.tables != 1:
            return
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True
        self.small = tag == "small" or (self.small and tag != "small")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False
        if tag == "small":
            self.small = False

    def handle_data(self, data):
        if self.inside and self.tables == 1 and not self.small:
            self.rows[-1][-1] += data
        if self.small:
            self.below.append(data)


@pytest.fixture(scope="module")
def compared_file(scored_file, scoring, tmp_path_factory) -> Path:
    """A table with the comparison `mine`, written once; copy it."""
    scored_table = Store(shutil.copy(scored_file, tmp_path_factory.mktemp("compared")))
    found = scored_table.rounds.read("score-toy-1")
    scored_table.epochs.write("score-toy-1", 2, [("val", "fused", "accuracy", 0.3)])
    scored_table.comparisons.begin("mine", "toy", ROWS, [0, 1])
    for i, row in enumerate(ROWS[:3]):
        for seed in (0, 1):
            run_id, config = f"{row.method}-{seed}", {"score": {"gap": "prob"}, "train": {"start": "warm"}}
            run = scoring.run(run_id, kind="train", method=row.method, parent="score-toy-1", seed=seed, config=config)
            scored_table.runs.start(run)
            tested = ("test", "fused", "accuracy", 0.5 + 0.1 * i + 0.01 * seed * i)
            numbers = [("train", "all", "seconds", 1.0 + i), ("val", "fused", "accuracy", 0.3 + 0.1 * i), tested]
            scored_table.epochs.write(run_id, 1, numbers)
            scored_table.rounds.write(run_id, 1, None, found.gaps, found.fits, found.p_balanced, "prob")
            scored_table.runs.finish(run_id, "done")
            scored_table.comparisons.fill("mine", "toy", row.label, seed, run_id)
    for seed in (0, 1):
        scored_table.comparisons.fill("mine", "toy", "gone", seed, None, "unknown method 'x'")
    return scored_table.path


@pytest.fixture
def table(compared_file: Path, tmp_path: Path) -> Store:
    return Store(shutil.copy(compared_file, tmp_path / "compared.duckdb"))


@pytest.fixture(scope="module")
def page(compared_file: Path) -> str:
    """The page of `mine`, drawn once."""
    return comparison_page(Store(compared_file), "mine")


def test_the_page_s_table_reads_back_equal(table, page) -> None:
    read = Cells()
    read.feed(page)
    head, rows, remarks = aside(*cells(summarize(table.comparisons.find("mine"))))
    assert read.rows == [["#", *head], *([str(i), *row] for i, row in enumerate(rows, 1))]
    assert remarks[3] and read.below == ["control", "control", *filter(None, remarks)]


def test_a_curve_of_one_epoch_is_a_dot() -> None:
    one, two = (np.array([3.0]), np.array([0.5])), (np.array([1.0, 2.0]), np.array([0.5, 0.6]))
    panels = validation_curves({"a": [one], "b": [two]}, "a").figure.axes
    shown = [[(line.get_marker(), len(line.get_xdata())) for line in axes.lines] for axes in panels[:2]]
    assert ("o", 1) in shown[0] and ("None", 2) in shown[1] and ("None", 1) not in shown[0] + shown[1]


def test_the_lowest_panel_of_each_column_has_numbers_on_its_axis() -> None:
    line = (np.array([1.0, 2.0]), np.array([0.5, 0.6]))
    for count in (1, 4, 6):
        panels = validation_curves({f"m{i}": [line] for i in range(count)}, "m0").figure.axes[:count]
        shown = [any(tick.label1.get_visible() for tick in axes.xaxis.get_major_ticks()) for axes in panels]
        assert shown == [i + 4 >= count for i in range(count)]


def test_a_comparison_of_improve_asks_for_no_joint_training(table) -> None:
    table.comparisons.begin("improve", "toy", ROWS, [0])
    assert "Not measured here" in comparison_page(table, "mine")
    text = comparison_page(table, "improve")
    assert "Not measured here" not in text and "minus joint" not in text and "joint = 1" not in text


def test_the_page_needs_nothing_else_and_runs_nothing(page) -> None:
    assert NASTY not in page and "<script" not in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith("#") for link in links)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for name in ("time-toy", "curves-toy", "gaps-toy-audio-visual"):
        assert f'<figure id="{name}"' in page
    assert "Not measured here: unimodal" in page
    assert all(f"<code>{m}-{s}</code>" in page for m in ("joint", "warmup", "iprm") for s in (0, 1))


def test_what_was_found_is_told_by_verdict(table) -> None:
    lines = summarize(table.comparisons.find("mine"))
    assert judged(lines) == [("better than the warm-up continued", [NASTY])]


def test_a_comparison_without_any_result_is_a_page_too(table) -> None:
    table.comparisons.begin("empty", "toy", ROWS, [0])
    text = comparison_page(table, "empty")
    assert text.count("not run yet") == len(ROWS) and "<figure" not in text


def test_the_suffix_decides_what_is_written(table, tmp_path: Path) -> None:
    plan = Plan("mine", ROWS, title="A title", note="A note.", columns=("accuracy", "verdict"))
    begins = {".md": "## A title", ".csv": "dataset,label", ".tex": r"\begin{table}", ".html": "<!doctype html>"}
    for suffix, begin in begins.items():
        path = tmp_path / f"out{suffix}"
        write_comparison(table, "mine", plan, path)
        assert path.read_text(encoding="utf-8").lstrip().startswith(begin)
    assert "A note." in (tmp_path / "out.md").read_text() and "A note." in (tmp_path / "out.html").read_text()
    assert sorted(p.suffix for p in tmp_path.glob("out*")) == sorted(begins)


def test_a_sweep_is_a_curve_from_the_smallest_value_on(table, page) -> None:
    labels = ("iprm", "iprm (alpha=2)", "iprm (alpha=0.5)", "warmup (optim.lr=0.1)")
    table.comparisons.begin("swept", "toy", [Row(label, "iprm") for label in labels], [0, 1])
    for label, method in zip(labels, ("joint", "iprm", "warmup", "joint"), strict=True):
        for seed in (0, 1):
            table.comparisons.fill("swept", "toy", label, seed, f"{method}-{seed}")
    assert '<figure id="sensitivity-toy"' in comparison_page(table, "swept")
    assert '<figure id="sensitivity' not in page
    drawn = sensitivity({"alpha": tuple(np.array([[0.5, 0.61, 0.01], [2, 0.7, 0.02]]).T)}, {"alpha": 0.5})
    assert drawn.data.to_dict("list") == {
        "row": ["alpha"] * 2,
        "value": [0.5, 2],
        "accuracy": [0.61, 0.7],
        "sd": [0.01, 0.02],
        "reference": [0.5] * 2,
    }


def test_ranks_are_taken_over_data_sets_and_seeds_and_rows_without_a_result_are_named(table, page) -> None:
    """In all four blocks iprm is ahead of warmup, and that of joint: ranks 1, 2, 3."""
    assert '<figure id="ranks"' not in page, "two blocks are too few"
    table.comparisons.begin("mine", "other", ROWS, [0, 1])
    for row in ROWS[:3]:
        for seed in (0, 1):
            table.comparisons.fill("mine", "other", row.label, seed, f"{row.method}-{seed}")
    text = comparison_page(table, "mine")
    assert '<figure id="ranks"' in text and "no result in some block: gone" in text
    assert "In each of 4 blocks, 2 data sets with their seeds" in text
    drawn = rank_lines(mean_ranks(table.comparisons.find("mine"))).data
    assert drawn["row"].tolist() == [NASTY, "warmup", "joint"] and drawn["mean rank"].tolist() == [1, 2, 3]
