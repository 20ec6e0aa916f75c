"""Comparisons in the sample table: what is stored of them, and what is read back."""

from __future__ import annotations

import pytest

from curate.comparison.plan import Row
from curate.errors import CurateError

ROWS = (Row("joint", "joint", control=True), Row("new", "iprm", twin="joint"))


@pytest.fixture
def table(scored_table, scoring, predictions):
    """Two finished trainings of the scored run, of two epochs each: one from scratch, one from the warm weights."""
    scored_table.epochs.write("score-toy-1", 3, [("val", "fused", "accuracy", 0.3)])
    for run_id, method, start in (("joint-1", "joint", "scratch"), ("iprm-1", "iprm", "warm")):
        config = {"score": {"gap": "prob"}, "train": {"start": start}}
        run = scoring.run(run_id, kind="train", method=method, parent="score-toy-1", config=config)
        scored_table.runs.start(run)
        for epoch in (1, 2):
            values = [("train", "all", "seconds", 1.0 * epoch), ("val", "fused", "accuracy", 0.4 + epoch / 10)]
            scored_table.epochs.write(run_id, epoch, values)
        scored_table.epochs.write(run_id, 2, [("test", "fused", "accuracy", 0.8), ("test", "audio", "map", 0.7)])
        found = scored_table.rounds.read("score-toy-1")
        scored_table.rounds.write(run_id, 1, None, found.gaps, found.fits, found.p_balanced, "prob")
        scored_table.runs.finish(run_id, "done")
    scored_table.comparisons.begin("mine", "toy", ROWS, [0, 7])
    return scored_table


def test_cells_are_not_measured_until_they_are_filled(table) -> None:
    cells = table.comparisons.find("mine")
    assert [(c.label, c.seed, c.run_id, c.reason) for c in cells] == [
        ("joint", 0, None, "not run yet"), ("joint", 7, None, "not run yet"),
        ("new", 0, None, "not run yet"), ("new", 7, None, "not run yet"),
    ]  # fmt: skip
    assert [(c.method, c.control, c.twin) for c in cells[1:3]] == [("joint", True, ""), ("iprm", False, "joint")]


def test_a_filled_cell_has_the_run_s_numbers(table) -> None:
    table.comparisons.fill("mine", "toy", "joint", 0, "joint-1")
    table.comparisons.fill("mine", "toy", "new", 0, "iprm-1")
    table.comparisons.fill("mine", "toy", "new", 7, None, "it diverged")
    joint, _, new, failed = table.comparisons.find("mine")
    assert joint.values == {("fused", "accuracy"): 0.8, ("audio", "map"): 0.7}
    assert joint.modalities == ("audio", "visual") and joint.seconds == pytest.approx(1.5)
    assert (joint.epochs, new.epochs) == (2, 5), "the three of the warm-up belong to what starts warm"
    size = abs(table.rounds.read("score-toy-1").gaps.prob).mean()
    assert new.gap == pytest.approx(size)
    assert (failed.run_id, failed.reason, failed.values) == (None, "it diverged", {})


def test_curves_count_from_the_first_epoch_of_the_warm_up(table) -> None:
    table.comparisons.fill("mine", "toy", "joint", 0, "joint-1")
    table.comparisons.fill("mine", "toy", "new", 7, "iprm-1")
    assert table.comparisons.curves("mine") == [
        ("toy", "joint", 0, 1, 0.5), ("toy", "joint", 0, 2, pytest.approx(0.6)),
        ("toy", "new", 7, 4, 0.5), ("toy", "new", 7, 5, pytest.approx(0.6)),
    ]  # fmt: skip


def test_gaps_are_counted_in_bins_before_and_after(table) -> None:
    import numpy as np

    table.comparisons.fill("mine", "toy", "new", 0, "iprm-1")
    rows = table.comparisons.gaps("mine", 10)
    gaps = table.rounds.read("score-toy-1").gaps.prob[:, 0]
    counts, _ = np.histogram(gaps, 10, (-1, 1))
    expected = [(i, n) for i, n in enumerate(counts) if n]
    for label in ("", "new"):
        assert [(b, n) for d, of, p, b, n in rows if of == label] == expected
    assert {(d, p) for d, _, p, _, _ in rows} == {("toy", "audio|visual")}


def test_beginning_again_replaces_the_cells_of_that_data_set_alone(table) -> None:
    table.comparisons.begin("mine", "other", ROWS[:1], [0])
    table.comparisons.begin("mine", "toy", ROWS[:1], [3])
    assert [(c.dataset, c.label, c.seed) for c in table.comparisons.find("mine")] == [
        ("other", "joint", 0),
        ("toy", "joint", 3),
    ]
    assert len(table.runs.all(kind="train")) == 2, "runs stay"


def test_beginning_again_keeps_what_is_done_and_counts_the_results_that_go(table) -> None:
    table.comparisons.fill("mine", "toy", "joint", 0, "joint-1")
    table.comparisons.fill("mine", "toy", "new", 0, "iprm-1")
    table.comparisons.fill("mine", "toy", "new", 7, None, "it diverged")
    both = {("joint", 0): "joint-1", ("new", 0): "iprm-1"}
    assert table.comparisons.begin("mine", "toy", ROWS, [0, 7], both) == 0
    cells = {(c.label, c.seed): (c.run_id, c.reason) for c in table.comparisons.find("mine")}
    assert cells == {
        ("joint", 0): ("joint-1", ""), ("joint", 7): (None, "not run yet"),
        ("new", 0): ("iprm-1", ""), ("new", 7): (None, "not run yet"),
    }  # fmt: skip
    assert table.comparisons.begin("mine", "toy", ROWS[:1], [0], {("joint", 0): "joint-1"}) == 1
    assert table.comparisons.begin("other", "toy", ROWS, [0, 7], both) == 0


def test_names_come_in_the_order_in_which_they_were_measured(table) -> None:
    table.comparisons.begin("a second", "toy", ROWS, [0])
    table.comparisons.fill("a second", "toy", "joint", 0, "joint-1")
    assert table.comparisons.names() == ["mine", "a second"]
    assert table.comparisons.newest() == "a second"
    assert table.comparisons.names("other") == []


def test_an_unknown_comparison_names_the_nearest(table, scoring, tmp_path) -> None:
    with pytest.raises(CurateError, match="unknown comparison 'mime'") as error:
        table.comparisons.find("mime")
    assert "did you mean 'mine'" in error.value.hint


def test_without_any_the_command_is_named(scored_table) -> None:
    with pytest.raises(CurateError, match="no comparison") as error:
        scored_table.comparisons.newest()
    assert "curate compare" in error.value.hint


def test_a_removed_run_leaves_its_cell_with_the_reason(table) -> None:
    table.comparisons.fill("mine", "toy", "new", 0, "iprm-1")
    table.remove_run("iprm-1")
    cell = table.comparisons.find("mine")[2]
    assert (cell.run_id, cell.reason) == (None, "its run was removed")
