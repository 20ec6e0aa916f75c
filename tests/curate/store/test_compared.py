"""What a scored run knows of the items of a file, asked in portions of rows."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from curate.store import arrays
from curate.store.items import Items
from curate.store.store import Store

RUN = "score-toy-1"


def items_of(table: Store, more: Sequence[str] = ()) -> Items:
    """The items of the scored run, and more of other ids, as a file has them."""
    run = table.runs.find(RUN)
    rows = table.rows(
        "SELECT sample_id, split, label_name, status, coalesce(reason, '') FROM sample WHERE data_id = ? ORDER BY 1",
        [run.data_id],
    )
    rows += [(sample_id, "train", run.classes[0], "ok", "") for sample_id in more]
    ids, splits, labels, status, reason = (np.array(column, dtype=np.str_) for column in zip(*rows, strict=True))
    at = np.array([run.classes.index(label) if label else -1 for label in labels])
    return Items(ids, splits, at, run.classes, status, reason)


@pytest.fixture(params=[7, arrays.PORTION], ids=["many portions", "one portion"], autouse=True)
def portion(request, monkeypatch) -> None:
    monkeypatch.setattr(arrays, "PORTION", request.param)


def test_each_state_of_an_item_is_found_whatever_portion_it_is_in(scored_table):
    items = items_of(scored_table, [f"new{i:02}" for i in range(20)])
    known = np.array([not i.startswith("new") for i in items.sample_ids])
    scored = set(scored_table.rounds.labels(RUN))
    had = np.array([i in scored for i in items.sample_ids])
    seen = scored_table.samples.compared(RUN, items)
    assert 20 < known.sum() < len(known)
    assert np.array_equal(seen.known, known)
    assert np.array_equal(seen.scored, had) and np.array_equal(seen.predicted, had)
    assert not seen.relabelled.any()
    unchanged = seen.changed.copy()

    other = np.zeros(len(known), dtype=bool)
    other[[0, 8, 30, 59, 70]] = True
    relabelled = replace(items, labels=np.where(other, (items.labels + 1) % len(items.classes), items.labels))
    assert np.array_equal(scored_table.samples.compared(RUN, relabelled).relabelled, other & had)
    for name in ("splits", "status", "reason"):
        moved = replace(items, **{name: np.where(other, "other", getattr(items, name))})
        assert np.array_equal(scored_table.samples.compared(RUN, moved).changed, unchanged | (other & known))


def test_groups_are_found_by_id_and_absent_ones_are_empty(scored_table):
    run, items = scored_table.runs.find(RUN), items_of(scored_table)
    ids = np.array([*items.sample_ids[::-1], "unknown"])
    assert scored_table.samples.groups(run.data_id, ids).tolist() == [""] * len(ids)
    groups = np.array([f"speaker {i % 9}" if i % 4 else "" for i in range(len(items.sample_ids))])
    scored_table.samples.write_columns(run.data_id, replace(items, groups=groups))
    assert scored_table.samples.groups(run.data_id, ids).tolist() == [*groups[::-1], ""]
    same = scored_table.samples.compared(RUN, replace(items, groups=groups))
    assert not same.changed.any()
    groups[5] = "another"
    changed = scored_table.samples.compared(RUN, replace(items, groups=groups)).changed
    assert np.flatnonzero(changed).tolist() == [5]


def test_the_ids_that_were_predicted_are_in_order(scored_table):
    ids = scored_table.rounds.predicted_ids(RUN).tolist()
    assert ids == sorted(scored_table.rounds.labels(RUN)) and len(ids) > 20


def test_no_object_is_made_for_each_of_many_rows(scored_table, monkeypatch):
    """An id of 36 letters takes 85 bytes as an object, and as much again where it is one of several columns."""
    count = 200_000
    items = items_of(scored_table, [f"{i:036}" for i in range(count)])
    scored_table.samples.compared(RUN, items_of(scored_table))  # what is loaded once
    monkeypatch.setattr(arrays, "PORTION", 10_000)
    tracemalloc.start()
    seen = scored_table.samples.compared(RUN, items)
    groups = scored_table.samples.groups("toy", items.sample_ids)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen.known.sum() and not (groups != "").any()
    assert peak < 60 * count
