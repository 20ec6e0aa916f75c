"""Rows of samples that belong to several runs and data sets: none is copied, and none goes while one has it."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import duckdb
import numpy as np
import pytest

from curate.predictions.score import score_missing_predictions, score_predictions
from curate.store import instance
from curate.store.arrays import placed
from curate.store.store import Store
from curate.types import Sample

VIEWS = ("sample", "prediction", "class_probability", "gap", "posterior")


def write(path, ids: range) -> str:
    """Predictions of two modalities for some ids; the fifth of each six is of val, the last of test."""
    rng = np.random.default_rng(ids.start)
    rows = ["sample_id,label,split,audio.x,audio.y,visual.x,visual.y"]
    for i in ids:
        numbers = ",".join(f"{v:.6f}" for v in rng.normal(size=4))
        rows.append(f"s{i:04},{'xy'[i % 2]},{('train', 'train', 'train', 'train', 'val', 'test')[i % 6]},{numbers}")
    path.write_text("\n".join(rows) + "\n")
    return str(path)


@pytest.fixture
def grown(tmp_path) -> Store:
    """120 samples scored, and 12 more by a second run."""
    table = Store(tmp_path / "t.duckdb")
    score_predictions(table, [write(tmp_path / "few.csv", range(120))], [{}])
    score_missing_predictions(table, [write(tmp_path / "more.csv", range(120, 132))], "few")
    return table


def rows(table: Store) -> dict[str, list[tuple[object, ...]]]:
    return {name: table.query(f"SELECT * FROM {name} ORDER BY ALL")[1] for name in VIEWS}


def stored(table: Store) -> int:
    return table.query("SELECT count(*) FROM item")[1][0][0]


def of(found: dict[str, list[tuple[object, ...]]], *keys: str) -> dict[str, list[tuple[object, ...]]]:
    return {name: [row for row in own if row[0] in keys] for name, own in found.items()}


def test_a_grown_run_stores_the_new_samples_alone_and_shows_all(grown) -> None:
    assert stored(grown) == 132
    assert grown.query("SELECT count(*), count(DISTINCT sample_id), count(gap) FROM samples")[1] == [(132, 132, 88)]
    scored, new = grown.runs.find("score-few-1"), grown.runs.find("score-few-2")
    assert [grown.samples.count(r.data_id) for r in (scored, new)] == [120, 132]
    assert [len(grown.rounds.read(r.run_id).sample_ids) for r in (scored, new)] == [80, 88]
    old = grown.rounds.read(scored.run_id)
    assert np.array_equal(grown.rounds.read(new.run_id).p_balanced[:80], old.p_balanced)


def test_known_samples_whose_facts_changed_are_copied_in_portions_and_in_the_memory_of_a_writer(tmp_path, monkeypatch):
    table, limits = Store(tmp_path / "t.duckdb"), []
    limit = "SELECT current_setting('memory_limit')"

    def watched(con, ids):
        limits.extend(con.execute(limit).fetchall())
        return placed(con, ids)

    monkeypatch.setattr("curate.store.rows.AT_ONCE", 8)
    monkeypatch.setattr("curate.store.writing.placed", watched)
    score_predictions(table, [write(tmp_path / "few.csv", range(120))], [{}])
    more = Path(write(tmp_path / "more.csv", range(132)))
    more.write_text(more.read_text().replace(",val,", ",test,"))
    score_missing_predictions(table, [str(more)], "few")
    counts = "SELECT split, count(*), count(DISTINCT sample_id), count(gap) FROM samples GROUP BY 1 ORDER BY 1"
    assert table.query(counts)[1] == [("test", 44, 44, 0), ("train", 88, 88, 88)]
    old, new = (table.rounds.read(f"score-few-{k}") for k in (1, 2))
    assert np.array_equal(new.p_balanced[:80], old.p_balanced) and len(new.sample_ids) == 88
    with duckdb.connect(config={"memory_limit": instance.INSERTING}) as con:
        assert limits == con.execute(limit).fetchall()


def test_a_sample_that_was_moved_out_of_training_is_no_longer_scored(tmp_path) -> None:
    """Once it stayed a training sample of the grown run, and `select` kept it: a leak."""
    table, more = Store(tmp_path / "t.duckdb"), tmp_path / "more.csv"
    score_predictions(table, [write(tmp_path / "few.csv", range(120))], [{}])

    def moved(*ids: int) -> list[str]:
        write(more, range(132))
        lines = more.read_text().splitlines()
        for i, split in zip(ids, ("test", "val", "val"), strict=False):
            lines[1 + i] = lines[1 + i].replace(",train,", f",{split},")
        more.write_text("\n".join(line + (",group" if k == 0 else f",g{k}") for k, line in enumerate(lines)) + "\n")
        said: list[str] = []
        score_missing_predictions(table, [str(more)], "few", said.append)
        return said

    assert "in another split or group" not in " ".join(moved(0, 1))
    facts = "SELECT split, group_id, gap IS NOT NULL FROM samples WHERE sample_id IN ('s0000', 's0001', 's0002')"
    assert table.query(f"{facts} ORDER BY sample_id")[1] == [
        ("test", "g1", False), ("val", "g2", False), ("train", "g3", True),
    ]  # fmt: skip
    old, new = (table.rounds.read(f"score-few-{k}") for k in (1, 2))
    assert set(old.sample_ids) - set(new.sample_ids) == {"s0000", "s0001"}
    assert np.array_equal(new.p_balanced[:78], old.p_balanced[2:]) and len(new.sample_ids) == 86
    assert "1 sample is in another split or group" in " ".join(moved(0, 1, 2)), "nothing is new: that is told"


@pytest.mark.parametrize(("removed", "left"), [("score-few-1", 132), ("score-few-2", 120)])
def test_a_run_goes_with_the_rows_that_no_other_has(grown, removed, left) -> None:
    runs = {r.run_id: r.data_id for r in grown.runs.all()}
    (kept,) = runs.keys() - {removed}
    before = of(rows(grown), kept, runs[kept])
    grown.remove_run(removed)
    assert rows(grown) == before and stored(grown) == left
    grown.remove_run(kept)
    assert stored(grown) == 0 and not any(rows(grown).values())


def test_two_runs_of_the_same_data_have_its_samples_once(tmp_path) -> None:
    table, path = Store(tmp_path / "t.duckdb"), write(tmp_path / "few.csv", range(120))
    for kind in ("prob", "kl"):
        score_predictions(table, [path], [{"score": {"gap": kind}}])
    before = rows(table)
    assert len(before["sample"]) == 120 and len(before["gap"]) == 160
    table.remove_run("score-few-2")
    after = rows(table)
    assert after["sample"] == before["sample"] and after["gap"] == of(before, "score-few-1")["gap"]
    assert stored(table) == 120


def test_what_is_prepared_again_is_shown_of_the_runs_that_share_the_samples(grown) -> None:
    new = grown.runs.find("score-few-2")
    before = grown.query("SELECT * EXCLUDE (status) FROM samples ORDER BY sample_id")[1]
    samples = [Sample(sample_id=f"s000{i}", label="xy"[i], split="train", inputs={}) for i in range(2)]
    grown.samples.write(new.data_id, samples, ("x", "y"), ["silent"] * 2, [""] * 2)
    shown = grown.query("SELECT sample_id FROM samples WHERE status = 'silent' ORDER BY 1")[1]
    assert shown == [("s0000",), ("s0001",)]
    assert grown.query("SELECT * EXCLUDE (status) FROM samples ORDER BY sample_id")[1] == before
    old = grown.runs.find("score-few-1").data_id
    assert grown.query(f"SELECT count(*) FROM sample WHERE data_id = '{old}' AND status = 'silent'")[1] == [(0,)]


@pytest.fixture(scope="module")
def two_file(tmp_path_factory, scoring, predictions) -> Path:
    """Two data sets of the same size, and a table and a view of the user's own."""
    table = Store(tmp_path_factory.mktemp("two") / "t.duckdb")
    for name in ("one", "other"):
        scoring.write(table, predictions(n=12_000), run_id=f"score-{name}-1", dataset=name, data_id=f"{name}-0")
    with duckdb.connect(str(table.path)) as con:
        con.execute("CREATE TABLE notes AS SELECT 's1' AS sample_id, 'loud' AS note")
        con.execute("CREATE VIEW loud AS SELECT note, gap FROM notes, samples ORDER BY gap LIMIT 1")
    return table.path


@pytest.fixture
def two(two_file, tmp_path) -> Store:
    return Store(shutil.copy(two_file, tmp_path))


def test_the_space_of_a_removed_run_is_given_back(two) -> None:
    shown = "SELECT * FROM samples WHERE dataset = 'other' ORDER BY sample_id"
    before, own, size = two.query(shown), two.query("SELECT * FROM loud")[1], two.path.stat().st_size
    two.remove_run("score-one-1")
    assert two.path.stat().st_size < 0.75 * size
    assert two.query(shown) == before and two.query("SELECT * FROM loud")[1] == own
    assert [p.name for p in two.path.parent.iterdir()] == [two.path.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
def test_what_breaks_while_space_is_given_back_leaves_the_file_as_it_was(two, monkeypatch, error) -> None:
    size = two.path.stat().st_size

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", fail)
        with pytest.raises(KeyboardInterrupt) if error is KeyboardInterrupt else nullcontext():
            two.remove_run("score-one-1")
    assert [p.name for p in two.path.parent.iterdir()] == [two.path.name]
    assert 0.75 * size < two.path.stat().st_size <= size, "DuckDB itself gives back no more than free blocks at the end"
    assert [r.run_id for r in two.runs.all()] == ["score-other-1"]
    assert two.query("SELECT count(gap) FROM samples")[1] == [(12_000,)]
