"""The file itself: who may open it, what a user's SQL may do, and what is refused unchanged."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from curate.errors import CurateError, LockedError
from curate.store import connection as database
from curate.store import instance, waiting
from curate.store.connection import SCHEMA_VERSION
from curate.store.store import Store

HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def digest(path: Path) -> str:
    """The content of a file, in short."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def new_tables() -> None:
    """Tables are made here as everywhere else."""


@pytest.fixture
def held(scored_table):
    """The process id of another process that has the scored table open for writing."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(scored_table.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.stdin.close()


@pytest.mark.parametrize("write", [False, True])
def test_a_locked_table_names_the_process_that_holds_it(scored_table, held, monkeypatch, write):
    for name in ("READ_PATIENCE", "WRITE_PATIENCE"):
        monkeypatch.setattr(database, name, 0.02)
    with pytest.raises(LockedError, match=f"locked by process {held} ") as error:
        scored_table.runs.finish("score-toy-1", "done") if write else scored_table.runs.all()
    assert error.value.exit_code == 4


def test_a_lock_that_is_let_go_is_waited_for(scored_table, monkeypatch):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(scored_table.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    monkeypatch.setattr(waiting.time, "sleep", lambda _: process.communicate())
    assert len(scored_table.runs.all()) == 1
    assert process.returncode == 0


def test_reading_before_writing_waits_as_long_as_writing_does(scored_table, monkeypatch):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(scored_table.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    monkeypatch.setattr(database, "READ_PATIENCE", 0)
    monkeypatch.setattr(waiting.time, "sleep", lambda _: process.communicate())
    with pytest.raises(LockedError):
        Store(scored_table.path).runs.all()
    assert len(Store(scored_table.path, writes=True).runs.all()) == 1
    assert process.returncode == 0


def test_a_run_that_has_begun_waits_longer_and_says_for_whom(scored_table, monkeypatch, caplog):
    for name, seconds in {"READ_PATIENCE": 0, "WRITE_PATIENCE": 0, "RUN_PATIENCE": 600}.items():
        monkeypatch.setattr(database, name, seconds)
    monkeypatch.setattr(waiting, "SILENT", 0)
    store = Store(scored_table.path)
    run = store.runs.begin(replace(store.runs.find("score-toy-1"), run_id="score-toy-2"))
    for end in (store.runs.all, lambda: store.runs.finish(run.run_id, "done")):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "held\n"
        monkeypatch.setattr(waiting.time, "sleep", lambda _, own=process: own.communicate())
        end()
        assert f"locked by process {process.pid} " in caplog.text and "waiting for it, 600 s at most" in caplog.text
    assert not store.db.running


def test_another_connection_of_this_process_is_told_of(scored_table):
    with duckdb.connect(str(scored_table.path)), pytest.raises(CurateError, match="open in this process"):
        scored_table.runs.all()


def test_a_missing_file_says_what_to_do_and_is_not_made(tmp_path):
    with pytest.raises(CurateError, match="no sample table") as error:
        Store(tmp_path / "none.duckdb").runs.all()
    assert "curate score" in error.value.hint and not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"\n", b"sample_id,label\na,dog\n" * 500])
def test_a_file_that_is_no_database_is_refused_unchanged(tmp_path, scoring, content):
    path = tmp_path / "x.duckdb"
    path.write_bytes(content)
    for act in (Store(path).runs.all, lambda: Store(path).runs.start(scoring.run())):
        with pytest.raises(CurateError, match="cannot open"):
            act()
    assert path.read_bytes() == content


def test_a_table_that_may_not_be_written_is_not_said_to_be_no_table(tmp_path, monkeypatch, scoring):
    path = tmp_path / "t.duckdb"
    Store(path).runs.start(scoring.run())
    said = f'IO Error: Cannot open file "{path}": Read-only file system'

    def refuse(*_: object) -> None:
        raise duckdb.IOException(said)

    monkeypatch.setattr(database, "Attached", refuse)
    with pytest.raises(CurateError, match="not allowed to open") as error:
        Store(path).runs.start(scoring.run())
    assert error.value.hint == "check who may read and write there" and said in str(error.value)


@pytest.mark.parametrize("content", ["CREATE TABLE theirs AS SELECT 1 AS a", "CREATE VIEW theirs AS SELECT 1 AS a"])
def test_a_database_that_is_not_ours_is_refused_unchanged(tmp_path, scoring, content):
    path = tmp_path / "theirs.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute(content)
    before = digest(path)
    for act in (Store(path).runs.all, lambda: Store(path).runs.start(scoring.run())):
        with pytest.raises(CurateError, match="not a sample table"):
            act()
    assert digest(path) == before


def test_what_a_process_leaves_that_is_killed_at_its_first_write_is_a_new_table(tmp_path, scoring):
    path = tmp_path / "left.duckdb"
    duckdb.connect(str(path)).close()
    with pytest.raises(CurateError, match="holds nothing yet"):
        Store(path).runs.all()
    assert Store(path, writes=True).runs.all() == []
    duckdb.connect(str(tmp_path / "other.duckdb")).close()
    Store(tmp_path / "other.duckdb").runs.start(scoring.run())


def test_a_newer_schema_is_refused_with_the_file_unchanged(scored_table, scoring):
    with duckdb.connect(str(scored_table.path)) as con:
        con.execute("UPDATE schema_version SET version = ?", [SCHEMA_VERSION + 1])
    before = digest(scored_table.path)
    for act in (
        scored_table.runs.all,
        lambda: scored_table.runs.start(scoring.run("score-toy-2")),
        lambda: scored_table.query("SELECT 1"),
    ):
        with pytest.raises(CurateError, match=f"schema version {SCHEMA_VERSION + 1}"):
            act()
    assert digest(scored_table.path) == before


def test_new_files_open_in_the_older_1x_shells(scored_table):
    with duckdb.connect(str(scored_table.path), read_only=True) as con:
        (tags,) = con.execute("SELECT tags FROM duckdb_databases() WHERE path IS NOT NULL").fetchone()
    assert tags["storage_version"].startswith("v1.0.0")


def test_the_first_write_makes_the_folder_too(tmp_path, scoring):
    table = Store(tmp_path / "new" / "folder" / "x.duckdb")
    table.runs.start(scoring.run())
    assert [r.run_id for r in table.runs.all()] == ["score-toy-1"]


def test_a_first_write_that_died_before_its_tables_can_be_repeated(tmp_path, scoring, monkeypatch):
    table = Store(tmp_path / "x.duckdb")
    with monkeypatch.context() as broken:
        broken.setattr("curate.store.views.refresh", lambda con: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            table.runs.start(scoring.run())
    table.runs.start(scoring.run())
    assert len(table.runs.all()) == 1


def test_a_users_query_gives_names_and_rows(scored_table):
    columns, rows = scored_table.query("SELECT split, count(*) AS n FROM samples GROUP BY ALL ORDER BY 1")
    assert (columns, rows) == (["split", "n"], [("test", 1), ("train", 60), ("val", 1)])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM '{secret}'",
        "ATTACH '{folder}/other.duckdb' AS other",
        "COPY samples TO '{folder}/out.csv'",
        "EXPORT DATABASE '{folder}/out'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "DELETE FROM run",
        "DROP VIEW samples",
        "CREATE TABLE mine AS SELECT 1",
        "UPDATE item_here SET label = 0",
        "INSERT INTO selection_member VALUES ('a', 'b')",
        "SELECT * FROM variable",
    ],
)
def test_a_users_query_reaches_neither_files_nor_variables_and_changes_nothing(
    scored_table, tmp_path, monkeypatch, sql
):
    monkeypatch.setattr(database, "variable", pd.DataFrame({"a": ["s3cret"]}), raising=False)
    secret = tmp_path / "secret.csv"
    secret.write_text("a\ns3cret\n")
    before, there = digest(scored_table.path), set(tmp_path.iterdir())
    with pytest.raises(CurateError) as error:
        scored_table.query(sql.format(secret=secret, folder=tmp_path))
    assert "s3cret" not in error.value.message and error.value.hint
    assert digest(scored_table.path) == before and set(tmp_path.iterdir()) == there


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1; DROP VIEW samples", "", " -- nothing"])
def test_a_users_query_is_one_statement(scored_table, sql):
    with pytest.raises(CurateError, match="one SQL statement"):
        scored_table.query(sql)


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELEC 1", "SELEC"),
        ("SELECT nothing FROM samples", "nothing"),
        ("SELECT * FROM sampel", "sampel"),
        ("SELECT 'x'::INTEGER", "x"),
        ("SELECT INTERVAL '1000000000 days'", "1000000000"),  # Python has no such time span
    ],
)
def test_what_goes_wrong_in_a_query_is_told_in_one_line_that_names_it(scored_table, sql, named):
    with pytest.raises(CurateError) as error:
        scored_table.query(sql)
    assert named in error.value.message and "\n" not in error.value.message and error.value.hint


def test_a_time_with_a_zone_can_be_shown(scored_table):
    time = "'2026-02-03 04:05:06+00'::TIMESTAMPTZ"
    ((shown, [listed]),) = scored_table.query(f"SELECT {time}, [{time}]")[1]
    assert shown == listed == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


def test_times_are_utc_without_a_zone(scored_table):
    ((started, finished),) = scored_table.query("SELECT started, finished FROM run")[1]
    assert isinstance(started, datetime) and started.tzinfo is None and started <= finished


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_no_number_of_any_table_can_be_nan_or_infinite(scored_table, predictions, scoring, value):
    scored_table.epochs.write("score-toy-1", 1, [("train", "fused", "loss", 0.5)])
    scored_table.epochs.write("score-toy-1", 1, [("train", "fused", "loss", 0.5)], fold=0)
    scored_table.dynamics.write("score-toy-1", 1, predictions())
    scoring.assess(scored_table)
    with duckdb.connect(str(scored_table.path)) as con:
        columns = con.execute(
            "SELECT c.table_name, c.column_name, c.data_type FROM duckdb_columns() c JOIN duckdb_tables() t "
            "USING (table_name) WHERE c.data_type IN ('DOUBLE', 'DOUBLE[]')"
        ).fetchall()
        assert {t for t, *_ in columns} == {
            "item_here",
            "mixture",
            "epoch",
            "fold_epoch",
            "dynamic_here",
            "usability_here",
            "guard",
        }
        for table, column, kind in columns:
            given = f"['{value}']::DOUBLE[]" if kind == "DOUBLE[]" else f"'{value}'::DOUBLE"
            assert con.execute(f"SELECT count(*) FROM {table}").fetchone() > (0,)
            with pytest.raises(duckdb.ConstraintException):
                con.execute(f"UPDATE {table} SET {column} = {given}")


def test_posteriors_must_add_to_one(scored_table):
    insert = "INSERT INTO item_here (part, sample_id, p_balanced, p_first, p_second) VALUES (1, 'new', [?], [?], [?])"
    with duckdb.connect(str(scored_table.path)) as con:
        for p, first, second in ((0.7, 0.3, 0.01), (0.7, 0.1, 0.1), (1.2, -0.2, 0.0), (float("nan"), 0.5, 0.0)):
            with pytest.raises(duckdb.ConstraintException):
                con.execute(insert, [p, first, second])
        con.execute(insert, [0.7, 0.1, 0.2])


def test_every_table_view_and_column_is_explained(scored_table):
    silent = (
        "SELECT table_name FROM duckdb_tables() WHERE NOT internal AND comment IS NULL "
        "UNION SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL "
        "UNION SELECT table_name || '.' || column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL"
    )
    assert scored_table.query(silent)[1] == []


def ended(child: int, patience: float = 120) -> int:
    """The exit status of a forked process; one that hangs is killed after `patience` s."""
    late = time.monotonic() + patience
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > late:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    return done[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("within", [False, True])
def test_a_forked_process_opens_the_file_itself(scored_table, within) -> None:
    """Threads do not come along: an instance of DuckDB that did could neither answer nor end."""
    db = scored_table.db
    count = "SELECT count(*) FROM sample"
    expected = db.rows(count)
    with db.open() if within else nullcontext():
        child = os.fork()
        if child == 0:
            os._exit(0 if db.rows(count) == expected else 1)
        assert ended(child) == 0
    assert db.rows(count) == expected


def test_readers_of_one_process_share_a_file_and_a_writer_waits_for_none_of_them(scored_table) -> None:
    db = scored_table.db
    with db.open() as first, db.open() as second:
        assert first.execute("SELECT 1 FROM run").fetchall() == second.execute("SELECT 1 FROM run").fetchall()
        with pytest.raises(CurateError, match="open in this process"), db.open(write=True):
            pass
    with db.open(write=True):
        pass
    with duckdb.connect(str(db.path)) as theirs:
        assert theirs.execute("SELECT count(*) > 0 FROM sample").fetchall() == [(True,)]


def test_an_empty_file_of_any_storage_version_is_written(tmp_path, scoring, predictions) -> None:
    """Newer storage has no compression of ids that ours names."""
    with duckdb.connect(str(tmp_path / "theirs.duckdb"), config={"storage_compatibility_version": "latest"}):
        pass
    table = Store(tmp_path / "theirs.duckdb")
    scoring.write(table, predictions())
    assert [run.run_id for run in table.runs.all()] == ["score-toy-1"]


def test_what_does_not_fit_into_memory_never_goes_to_the_working_folder(tmp_path, monkeypatch, scored_table) -> None:
    (work := tmp_path / "work").mkdir()
    monkeypatch.chdir(work)
    with scored_table.db.open() as con:
        con.execute("SET memory_limit = '60MB'")
        try:
            con.execute("CREATE TEMP TABLE many AS SELECT range AS i, hash(range)::VARCHAR AS s FROM range(3_000_000)")
            (folder,) = con.execute("SELECT current_setting('temp_directory')").fetchone()
            assert Path(folder).is_dir() and not list(work.iterdir())
        finally:
            con.execute("DROP TABLE IF EXISTS many")
            con.execute(f"SET memory_limit = '{instance.SETTINGS['memory_limit']}'")


def test_reading_takes_the_stated_memory_and_the_rest_goes_to_the_disk(scored_table, tmp_path, monkeypatch):
    limit = "SELECT current_setting('memory_limit')"
    with duckdb.connect(config={"memory_limit": instance.SETTINGS["memory_limit"]}) as con:
        stated = con.execute(limit).fetchall()
    for _ in range(2):
        with scored_table.db.open() as con:
            assert con.execute(limit).fetchall() == stated
        assert scored_table.query(limit)[1] == stated
        scored_table.runs.finish("score-toy-1", "done")  # a writer takes less meanwhile
    monkeypatch.setitem(instance.SPILLED, "memory_limit", "60MB")
    monkeypatch.setitem(instance.SPILLED, "temp_directory", str(tmp_path / "spilled"))
    sort = "SELECT sum(place * 0) FROM (SELECT row_number() OVER (ORDER BY hash(i)) AS place FROM range(3000000) t(i))"
    assert scored_table.query(sort)[1] == [(0,)]
    monkeypatch.setitem(instance.SPILLED, "temp_directory", "")
    with pytest.raises(CurateError):
        scored_table.query(sort)


def test_a_writer_that_inserts_blocks_takes_the_stated_memory_and_gives_it_back(scored_table):
    limit = "SELECT current_setting('memory_limit')"
    stated = []
    for memory in (instance.MEMORY, instance.INSERTING):
        with duckdb.connect(config={"memory_limit": memory}) as con:
            stated += con.execute(limit).fetchall()
    with scored_table.db.open(write=True) as con:
        before = con.execute(limit).fetchall()
        with pytest.raises(ZeroDivisionError), instance.inserting(con):
            inside = con.execute(limit).fetchall()
            raise ZeroDivisionError
        assert [*before, *inside] == stated and con.execute(limit).fetchall() == before
