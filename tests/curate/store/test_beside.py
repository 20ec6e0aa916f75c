"""Rows of samples in Parquet files beside the table: every view shows the same, whatever is written or removed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from curate.errors import CurateError
from curate.predictions.score import score_missing_predictions, score_predictions
from curate.store import beside
from curate.store.merging import merge
from curate.store.store import Store

VIEWS = (
    "samples", "sample", "prediction", "class_probability", "gap", "posterior", "history", "dynamics", "dynamic",
    "usability", "by_class", "by_modality", "failures",
)  # fmt: skip
RUN = "score-toy-1"


def content(table: Store) -> dict[str, list[tuple[object, ...]]]:
    """The rows of every view; DuckDB adds in another order from files, so that means differ in the last digits."""
    found = {name: table.query(f"SELECT * FROM {name} ORDER BY ALL")[1] for name in VIEWS}
    return {
        name: [tuple(round(v, 12) if isinstance(v, float) else v for v in row) for row in rows]
        for name, rows in found.items()
    }


def columns(table: Store) -> list[tuple[object, ...]]:
    sql = (
        "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE table_name IN ({}) ORDER BY ALL"
    )
    return table.query(sql.format(", ".join(f"'{v}'" for v in VIEWS)))[1]


def files(table: Store) -> list[str]:
    folder = table.path.with_name(f"{table.path.name}.rows")
    return sorted(f.name for f in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def full(scored_table, predictions, scoring) -> Store:
    """A scored run with two epochs and usability."""
    for epoch in (1, 2):
        scored_table.dynamics.write(RUN, epoch, predictions(epoch))
    scoring.assess(scored_table)
    return scored_table


def test_the_rows_move_out_and_in_and_every_view_shows_the_same(full) -> None:
    before, meaning = content(full), columns(full)
    assert all(before[name] for name in ("samples", "gap", "dynamic", "usability"))
    full.keep_rows(True)
    assert [name.split("-")[0] for name in files(full)] == ["dynamic", "item", "item", "usability"]
    assert content(full) == before and columns(full) == meaning
    inside = full.query("SELECT (SELECT count(*) FROM item_here), (SELECT count(*) FROM dynamic_here)")[1]
    assert inside == [(0, 0)]
    full.keep_rows(True)
    assert content(full) == before
    full.keep_rows(False)
    assert content(full) == before and columns(full) == meaning and files(full) == []


def work(table: Store, folder: Path, predictions, scoring) -> None:
    """All that changes rows of samples: written again, grown, refitted, prepared again, copied, removed."""
    scoring.write(table, predictions(1, n=30), "score-toy-2")
    scoring.write(table, predictions(2), RUN)  # in the place of what was there
    table.dynamics.write(RUN, 1, predictions(3, n=20))
    table.dynamics.write(RUN, 2, predictions(4, n=10), complete=False)
    table.dynamics.write(RUN, 3, predictions(5))
    scoring.assess(table, "score-toy-2")
    for name, ids in (("few", range(60)), ("more", range(60, 72))):
        rng = np.random.default_rng(ids.start)
        lines = [f"s{i:03},{'xy'[i % 2]},train,{','.join(f'{v:.6f}' for v in rng.normal(size=4))}" for i in ids]
        text = "\n".join(["sample_id,label,split,audio.x,audio.y,visual.x,visual.y", *lines])
        (folder / f"{name}.csv").write_text(text + "\n")
    score_predictions(table, [str(folder / "few.csv")], [{}])
    score_missing_predictions(table, [str(folder / "more.csv")], "few")
    scored = table.runs.find("score-few-2")
    again = scoring.run("score-few-3", dataset="few", data_id=scored.data_id, classes=scored.classes)
    table.runs.start(again)
    table.copy_scores(scored.run_id, again.run_id)
    table.runs.finish(again.run_id, "done")
    other = scoring.run(dataset="toy")
    scoring.data(table, other, predictions(6, n=40))  # labels change
    table.remove_run("score-few-3")


def test_whatever_is_written_or_removed_every_view_shows_the_same(full, predictions, scoring, tmp_path) -> None:
    (tmp_path / "other").mkdir()
    other = Store(shutil.copy(full.path, tmp_path / "other" / "t.duckdb"))
    other.keep_rows(True)
    for table in (full, other):
        work(table, table.path.parent, predictions, scoring)
    assert content(other) == content(full)
    assert other.query("SELECT count(*) FROM item_here")[1] == [(0,)]
    assert other.query("SELECT count(*) FROM beside")[1] == [(len(files(other)),)], "what nobody has is deleted"


def test_table_and_folder_move_together_and_any_duckdb_reads_them(full, tmp_path) -> None:
    before = content(full)
    full.keep_rows(True)
    place = tmp_path / "it's elsewhere"
    place.mkdir()
    for name in ("curate.duckdb", "curate.duckdb.rows"):
        shutil.move(tmp_path / name, place)
    assert content(Store(place / "curate.duckdb")) == before
    (tmp_path / "link.duckdb").symlink_to(place / "curate.duckdb")
    assert content(Store(tmp_path / "link.duckdb")) == before
    code = "import duckdb; print(duckdb.connect('curate.duckdb', read_only=True).sql('FROM samples').fetchall() != [])"
    said = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "True"


def test_of_an_older_table_it_is_said_that_both_have_the_same_files(full, caplog) -> None:
    full.keep_rows(True)
    before = content(full)
    with full.db.open(write=True) as con:
        con.execute("UPDATE schema_version SET version = version - 1")
    assert content(full) == before
    (told,) = caplog.messages
    assert "is kept as" in told and "whole until rows in the files beside the table change" in told


def test_without_its_folder_the_table_is_not_read_and_says_what_is_missing(full, tmp_path) -> None:
    full.keep_rows(True)
    before = content(full)
    (tmp_path / "curate.duckdb.rows").rename(tmp_path / "away")
    for ask in (lambda: full.query("SELECT 1"), lambda: full.runs.finish(RUN, "failed"), lambda: full.keep_rows(False)):
        with pytest.raises(CurateError, match=r"4 of 4 files .* not there") as error:
            ask()
        assert "put the folder curate.duckdb.rows back" in error.value.hint
    (tmp_path / "away").rename(tmp_path / "curate.duckdb.rows")
    assert content(full) == before


def test_a_damaged_file_is_named_by_whatever_reads_it(full, tmp_path) -> None:
    full.keep_rows(True)
    asks = (full.samples_frame, lambda: full.keep_rows(False))
    for file in sorted((tmp_path / "curate.duckdb.rows").glob("item-*.parquet")):
        whole = file.read_bytes()
        for bad in (whole[:-100], b""):
            file.write_bytes(bad)
            for ask in asks:
                with pytest.raises(CurateError) as error:
                    ask()
                assert "damaged" in str(error.value) and file.name in str(error.value)
        file.write_bytes(whole)


def test_a_file_that_is_damaged_within_is_named_where_duckdb_finds_it(full, tmp_path) -> None:
    full.keep_rows(True)
    (tmp_path / "copy").mkdir()  # DuckDB keeps what it has read of a file by its name
    for name in ("curate.duckdb", "curate.duckdb.rows"):
        shutil.move(tmp_path / name, tmp_path / "copy")
    for file in sorted((tmp_path / "copy" / "curate.duckdb.rows").glob("item-*.parquet")):
        middle = bytearray(file.read_bytes())
        middle[100:-2000] = bytes(len(middle[100:-2000]))
        file.write_bytes(middle)
    other = Store(tmp_path / "copy" / "curate.duckdb")
    found = beside.damaged(other.path)
    assert found is None or found.name.startswith("item-")
    try:  # an older one may read zeros as they are
        other.samples_frame()
    except CurateError as error:
        assert found is not None and "damaged" in str(error) and found.name in str(error)


def test_what_fails_leaves_no_file_and_what_was_left_is_deleted_later(full, predictions, monkeypatch) -> None:
    full.keep_rows(True)
    before, there = content(full), files(full)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        show = beside.show

        def fail(con, tables=()):
            show(con, tables)
            raise OSError("no space")

        patch.setattr(beside, "show", fail)
        full.dynamics.write(RUN, 3, predictions())
    assert content(full) == before and files(full) == there
    folder = full.path.with_name(f"{full.path.name}.rows")
    mine = folder / there[0].replace(there[0].rsplit("-", 1)[1], "0" * 32 + ".parquet")
    another = folder / "item-00000000-1.parquet"
    for left in (mine, another):
        left.write_bytes(b"left by a process that was killed")
    full.dynamics.write(RUN, 3, predictions())
    assert not mine.exists() and another.exists(), "those of another table stay"


def test_a_copy_of_another_name_and_a_new_table_of_the_same_leave_the_files_alone(full, predictions, tmp_path) -> None:
    full.keep_rows(True)
    before, there = content(full), files(full)
    copy = Store(shutil.copy(full.path, tmp_path / "curate.bak"))
    copy.remove_run(RUN)
    copy.keep_rows(False)
    assert content(full) == before and files(full) == there
    kept = Store(shutil.move(full.path, tmp_path / "kept.duckdb"))
    new = Store(full.path)
    new.runs.finish("nobody", "done")
    new.keep_rows(True)
    new.dynamics.write("r", 1, predictions())
    new.keep_rows(False)
    assert content(kept) == before and files(new) == there


def test_a_user_can_neither_write_to_the_files_nor_read_others(full, tmp_path) -> None:
    (tmp_path / "notes.csv").write_text("a\n1\n")
    full.keep_rows(True)
    before, target = content(full), tmp_path / "curate.duckdb.rows" / files(full)[0]
    copies = [f"COPY (SELECT 1) TO '{name}'" for name in (target, "curate.duckdb.rows/x.csv")]
    for sql in (*copies, f"EXPLAIN ANALYZE {copies[0]}"):
        with pytest.raises(CurateError, match="only a SELECT"):
            full.query(sql)
    for path in (
        tmp_path / "notes.csv",
        tmp_path / "curate.duckdb.rows" / ".." / "notes.csv",
        "curate.duckdb.rows/../notes.csv",
    ):
        with pytest.raises(CurateError):
            full.query(f"FROM read_csv('{path}')")
    assert full.query(f"SELECT a FROM '{tmp_path / 'notes.csv'}' JOIN samples ON true LIMIT 1", True)[1] == [(1,)]
    assert content(full) == before and len(files(full)) == 4


@pytest.mark.parametrize("name", ["../x.rows/a.parquet", "/etc/x.rows/a.parquet", "x/a.parquet", "x.rows/../passwd"])
def test_a_table_that_takes_other_files_for_its_rows_is_not_read(full, name) -> None:
    with duckdb.connect(str(full.path)) as con:
        con.execute("INSERT INTO beside VALUES ('item', '1', ?)", [name])
    with pytest.raises(CurateError, match="for its rows"):
        full.query("SELECT 1")


@pytest.mark.parametrize("here", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_tables_are_merged_wherever_their_rows_are(full, predictions, scoring, tmp_path, here, there) -> None:
    (tmp_path / "there").mkdir()
    other = Store(tmp_path / "there" / "curate.duckdb")
    scoring.write(other, predictions(seed=5, n=40), seed=1, data_id="toy-other")
    theirs = other.query("SELECT * EXCLUDE (run_id) FROM gap ORDER BY ALL")[1]
    full.keep_rows(here)
    other.keep_rows(there)
    merge(full, other.path)
    assert full.query("SELECT * EXCLUDE (run_id) FROM gap WHERE run_id = 'score-toy-2' ORDER BY ALL")[1] == theirs
    assert full.query("SELECT count(*) = 0 FROM item_here")[1] == [(here,)]
    shutil.rmtree(tmp_path / "there")
    assert full.query("SELECT count(*) FROM gap WHERE run_id = 'score-toy-2'")[1] == [(40,)]


def test_a_folder_that_duckdb_cannot_name_is_refused_and_nothing_moves(full, tmp_path) -> None:
    place = tmp_path / "a,b"
    place.mkdir()
    table = Store(shutil.copy(full.path, place))
    before = content(table)
    with pytest.raises(CurateError, match="has a name with ,"):
        table.keep_rows(True)
    assert content(table) == before and os.listdir(place) == ["curate.duckdb"]


def test_a_value_that_is_none_is_refused_beside_too(full, predictions, monkeypatch) -> None:
    full.keep_rows(True)
    before = content(full)
    broken = predictions(1)
    monkeypatch.setattr("curate.store.dynamics.entropy", lambda probs: np.full(len(probs), np.inf))
    with pytest.raises(duckdb.ConstraintException):
        full.dynamics.write(RUN, 1, broken)
    assert content(full) == before


def test_the_table_gives_back_the_space_of_what_moved(predictions, scoring, tmp_path) -> None:
    table = Store(tmp_path / "t.duckdb")
    scoring.write(table, predictions(n=60_000))
    large = table.path.stat().st_size
    table.keep_rows(True)
    assert table.path.stat().st_size < large / 2
    small = table.path.stat().st_size
    scoring.write(table, predictions(1, n=60_000), "score-toy-2")
    assert table.path.stat().st_size < 1.5 * small, "and what is written next takes none there"


@pytest.mark.parametrize("catalogue", ["duckdb", "ducklake"])
def test_a_lake_takes_the_samples_as_the_page_says(full, tmp_path, catalogue) -> None:
    full.keep_rows(True)
    page = (Path(__file__).parents[3] / "docs/howto/large-tables.md").read_text()
    said = page.rpartition("```sql\n")[2].partition("```")[0].replace("\n", " ").split(";")
    attach = {
        "duckdb": f"ATTACH '{tmp_path / 'lake.duckdb'}' AS lake",
        "ducklake": f"ATTACH 'ducklake:{tmp_path / 'catalogue'}' AS lake (DATA_PATH '{tmp_path / 'lake'}/')",
    }
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as con:
        if catalogue == "ducklake":
            try:
                con.execute("LOAD ducklake")
            except duckdb.Error as error:
                pytest.skip(f"DuckDB's extension ducklake is not installed: {str(error).splitlines()[0]}")
        con.execute(f"SET file_search_path = '{tmp_path}'")
        con.execute(attach[catalogue])
        con.execute(f"ATTACH '{full.path}' AS t (READ_ONLY)")
        steps = [sql for sql in said if "lake.samples" in sql]
        assert len(steps) == 3
        for sql in 2 * steps:
            con.execute(sql)
        shown = con.execute("SELECT sample_id, gap FROM lake.samples ORDER BY 1").fetchall()
    assert shown == full.query("SELECT sample_id, gap FROM samples ORDER BY 1")[1]
