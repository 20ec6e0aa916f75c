"""A file of an older schema: every row comes along, the old file is kept, and a failure on the way changes nothing."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from curate.errors import CurateError, LockedError
from curate.store import connection as database
from curate.store import migration
from curate.store.connection import SCHEMA_VERSION
from curate.store.merging import merge
from curate.store.store import Store

ROOT = Path(__file__).parents[3]
V1 = (Path(__file__).parent / "schema_v1.sql").read_text()
ROWS = {
    "run": "('r', 'score', 'warmup', 'toy', 'toy-1', NULL, NULL, 3, ['audio', 'visual'], ['a', 'b'], 'prob', "
    "'gaussian', '{\"score\": {}}', '{}', 'runs/r', 'abc', 'done', 'a note', '2026-01-01', '2026-01-02')",
    "sample": "('toy-1', 's1', 'train', 0, 'a', 'g1', 'audio', 'ok', ''), "
    "('toy-1', 's2', 'val', 1, 'b', NULL, NULL, 'silent', 'x')",
    "prediction": "('r', 0, 's1', 'audio', 0.75, 0.75, 0.5, 'a', true), "
    "('r', 0, 's1', 'visual', 0.25, 0.75, 0.5, 'b', false), ('r', 0, 's1', 'fused', 0.5, 0.5, 0.5, 'a', true)",
    "gap": "('r', 0, 's1', 'audio|visual', 0.5, 0.1)",
    "mixture": "('r', 0, 'audio|visual', 0, 'prob', 'gaussian', 1, 0.5, 0.1, NULL, true, 'weight', false, -1, 4, "
    "true, 'one_component', ['only'])",
    "posterior": "('r', 0, 's1', 'audio|visual', 0.875, 0.125)",
    "selection": "('good', 'r', 'p_balanced >= 0.5', 1, 1, '2026-01-03')",
    "selection_member": "('good', 's1')",
    "epoch": "('r', 1, 'train', 'fused', 'loss', 0.5)",
    "dynamic": "('r', 1, 's1', 'audio', 0.5, true)",
}


@pytest.fixture
def old(tmp_path):
    """A file of schema version 1 with rows in every table."""
    path = tmp_path / "it's.duckdb"
    with duckdb.connect(str(path), config={"storage_compatibility_version": "v1.0.0"}) as con:
        con.execute(V1)
        con.execute("INSERT INTO schema_version VALUES (1, 'curate')")
        for table, rows in ROWS.items():
            con.execute(f"INSERT INTO {table} VALUES {rows}")
    return path


def content(path: Path, columns: dict[str, list[str]]) -> dict[str, list[tuple[object, ...]]]:
    """Rows of the named columns of every table."""
    with duckdb.connect(str(path), read_only=True) as con:
        return {t: con.execute(f"SELECT {', '.join(c)} FROM {t} ORDER BY ALL").fetchall() for t, c in columns.items()}


def columns_of(path: Path) -> dict[str, list[str]]:
    """{table: names of its columns}, the version's aside."""
    with duckdb.connect(str(path), read_only=True) as con:
        found = con.execute("SELECT table_name, column_name FROM duckdb_columns() WHERE table_name IN "
                            "(SELECT table_name FROM duckdb_tables()) ORDER BY ALL").fetchall()  # fmt: skip
    return {t: [c for n, c in found if n == t] for t in {t for t, _ in found} - {"schema_version"}}


def version(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as con:
        return con.execute("SELECT version FROM schema_version").fetchone()[0]


@pytest.mark.parametrize("write", [False, True])
def test_every_row_of_every_table_comes_along_and_the_old_file_is_kept(old, write, caplog):
    columns = columns_of(old)
    before, digest = content(old, columns), hashlib.sha256(old.read_bytes()).hexdigest()
    assert set(before) == set(ROWS) and all(before.values())
    table = Store(old)
    table.runs.finish("nobody", "done") if write else table.runs.all()
    backup = old.with_name("it's.v1.duckdb")
    assert content(old, columns) == before and version(old) == SCHEMA_VERSION
    assert content(backup, columns) == before and version(backup) == 1
    assert hashlib.sha256(backup.read_bytes()).hexdigest() == digest
    assert sorted(p.name for p in old.parent.iterdir()) == ["it's.duckdb", "it's.v1.duckdb"]
    assert [r.getMessage() for r in caplog.records] == [
        f"{old} was brought from schema version 1 to {SCHEMA_VERSION}; the old file is kept as {backup}"
    ]
    table.runs.all()
    assert len(caplog.records) == 1


def test_the_new_file_is_as_one_made_today(old, tmp_path, scoring):
    Store(old).runs.all()
    made = Store(tmp_path / "made.duckdb")
    made.runs.start(scoring.run())
    assert columns_of(old) == columns_of(made.path)
    with duckdb.connect(str(old), read_only=True) as con:
        (tags,) = con.execute("SELECT tags FROM duckdb_databases() WHERE path IS NOT NULL").fetchone()
    assert tags["storage_version"].startswith("v1.0.0")


def test_the_views_show_the_old_rows(old):
    rows = Store(old).query("SELECT sample_id, p_audio, p_visual, p_fused, gap, p_balanced, selections FROM samples "
                            "WHERE split = 'train'")[1]  # fmt: skip
    assert rows == [("s1", 0.75, 0.25, 0.5, 0.5, 0.875, ["good"])]


def test_a_table_of_the_users_own_is_copied_too(old):
    with duckdb.connect(str(old)) as con:
        con.execute("CREATE TABLE notes AS SELECT 's1' AS sample_id, 'loud' AS note")
    assert Store(old).query("SELECT * FROM notes")[1] == [("s1", "loud")]


def test_another_table_takes_over_what_an_old_one_holds(old, tmp_path):
    new = Store(tmp_path / "new.duckdb")
    done = merge(new, old)
    assert (done.runs, done.selections) == ({"r": "r"}, {"good": "good"})
    rows = new.query("SELECT sample_id, p_audio, gap, p_balanced, selections FROM samples ORDER BY 1")[1]
    assert rows == [("s1", 0.75, 0.5, 0.875, ["good"]), ("s2", None, None, None, [])]
    assert version(old) == SCHEMA_VERSION and (tmp_path / "it's.v1.duckdb").exists()


def test_what_modalities_lack_and_every_class_comes_along(old):
    """Rows of version 6: a sample without one modality, three components, every class; and a round of no run."""
    with duckdb.connect(str(old)) as con:
        con.execute("CREATE TABLE class_probability (run_id VARCHAR, round INTEGER, sample_id VARCHAR, "
                    "modality VARCHAR, probs FLOAT[])")  # fmt: skip
        con.execute("ALTER TABLE posterior ADD COLUMN p_first DOUBLE")
        con.execute("ALTER TABLE posterior ADD COLUMN p_second DOUBLE")
        con.execute("ALTER TABLE prediction ADD COLUMN in_sample BOOLEAN")
        con.execute("INSERT INTO prediction VALUES ('r', 0, 's0', 'visual', 0.25, 0.75, 0.5, 'b', false, true), "
                    "('r', 0, 's0', 'fused', 0.25, 0.75, 0.5, 'b', false, true)")  # fmt: skip
        con.execute("INSERT INTO class_probability VALUES ('r', 0, 's0', 'fused', [0.25, 0.75]), "
                    "('r', 0, 's1', 'audio', [0.75, 0.25]), ('r', 0, 's1', 'visual', [0.5, 0.5])")  # fmt: skip
        con.execute("INSERT INTO gap VALUES ('x', 3, 's9', 'a|t', -0.5, 0.1), ('x', 3, 's9', 'a|v', 0.75, 0.2)")
        con.execute("INSERT INTO posterior VALUES ('x', 3, 's9', 'a|t', 0.5, 0.5, 0.125, 0.375), "
                    "('x', 3, 's9', 'a|v', 0.25, 0.75, NULL, NULL)")  # fmt: skip
    columns = columns_of(old)
    before = content(old, columns)
    Store(old).runs.all()
    assert content(old, columns) == before


def test_rows_that_only_the_write_ahead_log_holds_come_along(old):
    code = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); "
        "c.execute(\"INSERT INTO epoch VALUES ('r', 2, 'train', 'fused', 'loss', 0.25)\"); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(old)], check=False)
    wal = old.with_name(old.name + ".wal")
    assert wal.exists()
    assert Store(old).query("SELECT value FROM epoch ORDER BY epoch")[1] == [(0.5,), (0.25,)]
    assert not wal.exists()
    assert len(content(old.with_name("it's.v1.duckdb"), {"epoch": ["value"]})["epoch"]) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full"), duckdb.IOException("disk full")])
def test_a_failure_on_the_way_leaves_the_old_file_as_it_was(old, monkeypatch, error):
    columns = columns_of(old)
    before = content(old, columns)

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(migration, "_keep", fail)
        with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else CurateError) as told:
            Store(old).runs.all()
    if error is not KeyboardInterrupt:
        assert "disk full" in told.value.message and "nothing was changed" in told.value.hint
    assert version(old) == 1 and content(old, columns) == before
    assert [p.name for p in old.parent.iterdir()] == [old.name]
    assert len(Store(old).runs.all()) == 1


@pytest.mark.long
@pytest.mark.parametrize("moment", ["os.link", "pathlib.Path.replace", "curate.store.views.refresh"])
def test_a_kill_on_the_way_leaves_the_old_file_and_the_next_try_succeeds(old, moment):
    columns = columns_of(old)
    before = content(old, columns)
    owner, name = moment.rsplit(".", 1)
    code = (
        "import importlib, os, pkgutil, sys; from curate.store.store import Store; "
        f"owner = pkgutil.resolve_name({owner!r}); "
        f"setattr(owner, {name!r}, lambda *a: os.kill(os.getpid(), 9)); Store(sys.argv[1]).runs.all()"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(old)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert version(old) == 1 and content(old, columns) == before
    Store(old).runs.all()
    assert version(old) == SCHEMA_VERSION and content(old, columns) == before
    assert sorted(p.name for p in old.parent.iterdir()) == ["it's.duckdb", "it's.v1.duckdb"]


def test_an_earlier_backup_is_never_overwritten(old):
    earlier = old.with_name("it's.v1.duckdb")
    earlier.write_text("precious")
    Store(old).runs.all()
    assert earlier.read_text() == "precious" and version(old.with_name("it's.v1-2.duckdb")) == 1


def test_where_the_file_system_has_no_links_the_old_file_is_copied(old, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("not permitted")

    monkeypatch.setattr(os, "link", fail)
    Store(old).runs.all()
    assert version(old) == SCHEMA_VERSION and version(old.with_name("it's.v1.duckdb")) == 1


def test_a_table_in_use_is_not_migrated(old, monkeypatch):
    monkeypatch.setattr(database, "READ_PATIENCE", 0)
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(old)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        with pytest.raises(LockedError, match=str(process.pid)):
            Store(old).runs.all()
        process.stdin.close()
    assert version(old) == 1


def test_two_at_once_migrate_it_once(old):
    code = "import sys; from curate.store.store import Store; Store(sys.argv[1]).runs.finish('r', sys.argv[2])"
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(old), s], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for s in ("failed", "failed")
    ]
    told = [p.communicate()[1] for p in both]
    assert [p.returncode for p in both] == [0, 0], told
    assert sum("was brought from" in t for t in told) == 1
    assert Store(old).runs.find("r").status == "failed" and not list(old.parent.glob("*v1-2*"))
