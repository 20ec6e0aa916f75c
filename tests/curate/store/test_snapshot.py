"""The snapshot of a run has what the table says of it, read once."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pytest

from curate.store import snapshot, views
from curate.store.snapshot import Snapshot


@pytest.mark.parametrize(("kind", "column"), [("prob", "prob_gap"), ("kl", "kl_gap"), ("log_prob", "NULL")])
def test_a_snapshot_has_what_the_mixture_was_fitted_to(scored_table, kind, column):
    run = replace(scored_table.runs.find(), gap_kind=kind)
    taken = Snapshot(scored_table, run)
    try:
        found = dict(taken.ask("SELECT sample_id, fitted_audio_visual FROM samples WHERE gap IS NOT NULL"))
    finally:
        taken.close()
    said = f"SELECT sample_id, coalesce(fitted, {column}) FROM gap WHERE run_id = ? AND round = 0"
    assert found == dict(scored_table.rows(said, [run.run_id])) and len(found) == 60


def test_the_rows_of_a_run_are_read_once_for_all_that_is_known_of_them(scored_table):
    run = scored_table.runs.find()
    with scored_table.db.open() as con:
        more = {**views.fitted_of(con, run), **views.probabilities_of(run, run.modalities)}
        ((_, plan),) = con.execute(f"EXPLAIN {views.query_of(con, run.run_id, more)}").fetchall()
    assert len(more) == 3 and plan.count("item_here") == 1


def test_a_snapshot_takes_more_memory_only_while_it_is_made(scored_table, monkeypatch):
    limit, made = "SELECT current_setting('memory_limit')", []
    filled = Snapshot._fill
    monkeypatch.setattr(
        Snapshot, "_fill", lambda own, query: (made.append(own._con.execute(limit).fetchall()), filled(own, query))
    )
    taken = Snapshot(scored_table, scored_table.runs.find())
    try:
        made.append(taken.ask(limit))
    finally:
        taken.close()
    for memory, seen in zip((snapshot.FILLING, snapshot.MEMORY), made, strict=True):
        with duckdb.connect(config={"memory_limit": memory}) as con:
            assert con.execute(limit).fetchall() == seen
