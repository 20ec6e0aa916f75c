"""One scored run's samples as one wide table in a scratch file of its own, to be asked again and again.

The view `samples` joins seven tables: too slow for a page that asks at each movement. The scratch file has no lock that
others could hold: it answers while a training writes to the sample table.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from curate.errors import CurateError, LockedError, first_line
from curate.files.asking import condition, literal
from curate.types import Run

from . import beside, views
from .connection import READ_PATIENCE
from .holding import give, take
from .instance import statements
from .statements import sql_error
from .store import Store

FILLING, MEMORY = "1GB", "400MB"
"""While the rows are copied, so that what they are joined with stays in memory: on the disk it takes three times as
long; and afterwards."""
NUMERIC = ("DOUBLE", "FLOAT", "INTEGER", "BIGINT")
LEFT_OUT = ("extra", "media")
"""Columns of `samples` that the snapshot does not have: they would be the most of it."""
ASKED_ONLY = ("label", "selections", "dataset", "run_id")
"""Columns that conditions may name, and that are not shown: of one run they are the same, or no plain values."""
DRAWN = """
    SELECT sample_id, last(drawn ORDER BY number) FILTER (mark IS NOT NULL) AS mark_drawn FROM mark
    WHERE dataset = ? AND withdrawn IS NULL GROUP BY 1
"""
"""How each sample was drawn whose mark counts; `samples` does not show it."""


class Snapshot:
    """The samples of one scored run, with the marks of people, in a file below a temporary folder.

    Attributes:
        columns: {name: DuckDB's type} of those that are shown.
        total: number of samples.
        changes: how often a mark was changed.

    Args:
        store: the sample table.
        run: a scored run.
        patience: most seconds that one question may take.
    """

    def __init__(self, store: Store, run: Run, patience: float = 20.0) -> None:
        self.store, self.run, self.patience = store, run, patience
        self._folder = tempfile.TemporaryDirectory(prefix="curate-view-", ignore_cleanup_errors=True)
        self._lock, self.changes = threading.Lock(), 0
        self._con = duckdb.connect(str(Path(self._folder.name) / "samples.duckdb"), config={"memory_limit": FILLING})
        try:
            self._copy()
        except BaseException:
            self.close()
            raise
        rows = self._con.execute("SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'samples'")
        self.columns: dict[str, str] = {n: kind for n, kind in rows.fetchall() if n not in ASKED_ONLY}
        (self.total,) = self._con.execute("SELECT count(*) FROM samples").fetchone() or (0,)

    def _copy(self) -> None:
        with self.store.db.open() as con:  # of the right version, and not locked
            seen = {seen_column(pair): sql for pair, sql in views.fitted_of(con, self.run).items()}
            query = views.query_of(con, self.run.run_id, seen)
        key = self._attach()
        try:
            self._fill(query)
        finally:
            give(key, self._detach)
        self._con.execute(f"SET memory_limit = '{MEMORY}'")
        self._con.execute("SET enable_external_access = false")
        self._con.execute("SET python_enable_replacements = false")
        self._con.execute("SET lock_configuration = true")

    def _fill(self, query: str) -> None:
        con = self._con
        name, data = [self.run.dataset], [self.run.data_id]
        con.execute("USE source")
        joined = f"SELECT * EXCLUDE ({', '.join(LEFT_OUT)}) FROM ({query}) LEFT JOIN ({DRAWN}) USING (sample_id)"
        con.execute(f"CREATE TABLE samples.main.samples AS {joined}", name)
        con.execute("CREATE TABLE samples.main.findings AS SELECT * FROM findings WHERE dataset = ?", name)
        con.execute(
            "CREATE TABLE samples.main.sources AS SELECT sample_id, sources FROM sample "
            "WHERE data_id = ? AND sources IS NOT NULL",
            data,
        )
        con.execute("USE samples")
        con.execute("CHECKPOINT")

    def _detach(self) -> None:
        with suppress(duckdb.Error):
            self._con.execute("USE samples")
            self._con.execute("DETACH source")

    def _attach(self) -> str:
        """Attach the sample table for reading, waiting for a writer as `Connection.open` does; see `holding.take`."""
        deadline = time.monotonic() + READ_PATIENCE
        while True:
            try:
                key = take(self.store.path, False)
                try:
                    self._con.execute(f"ATTACH {literal(str(self.store.path))} AS source (READ_ONLY)")
                    beside.search(self._con, self.store.path)
                except BaseException:
                    give(key, self._detach)
                    raise
                return key
            except duckdb.Error as error:
                if time.monotonic() > deadline:
                    raise LockedError(
                        f"{self.store.path} cannot be read now: {first_line(error)}", "try again"
                    ) from None
                time.sleep(0.1)

    def ask(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that answer our own SELECT, which may contain a condition of the user's.

        Raises:
            CurateError: DuckDB refuses it, or it takes too long.
        """
        with self._cursor() as con:
            return con.execute(sql, list(parameters)).fetchall()

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        con = self._con.cursor()
        timer = threading.Timer(self.patience, con.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield con
        except duckdb.InterruptException:
            raise CurateError(f"the question took longer than {self.patience:g} s", "ask a simpler one") from None
        except duckdb.Error as error:
            raise sql_error(error) from None
        finally:
            timer.cancel()
            con.close()

    def check(self, where: str) -> None:
        """Check that a text typed by a user is one condition on the columns of `samples`.

        Raises:
            CurateError: it is not; the message is DuckDB's.
        """
        text = condition(where)
        if not where.strip():
            raise CurateError("WHERE is empty", "e.g. gap > 0.5")
        try:
            one = statements(f"SELECT 1 FROM samples WHERE {text}")
            nested = statements(f"SELECT {text}")
        except (duckdb.Error, UnicodeError) as error:
            raise sql_error(error) from None
        if len(one) != 1 or len(nested) != 1 or one[0].type != duckdb.StatementType.SELECT:
            raise CurateError("WHERE takes one condition", "e.g. gap > 0.5 AND label_name = 'bark'")
        self.ask(f"SELECT 1 FROM samples WHERE {text} LIMIT 0")

    def set_mark(self, sample_id: str, **values: str | None) -> None:
        """Show in the snapshot what a person decided: `mark`, `mark_label`, `mark_note`, `mark_drawn`."""
        changed = ", ".join(f"{name} = ?" for name in values)
        with self._lock, self._cursor() as con:
            con.execute(f"UPDATE samples SET {changed} WHERE sample_id = ?", [*values.values(), sample_id])
            self.changes += 1

    def set_selection(self, name: str, sample_ids: Sequence[str]) -> None:
        """Show in the snapshot which samples a stored selection has now."""
        left = "[one for one in selections if one <> ?]"
        with self._lock, self._cursor() as con:
            con.execute(f"UPDATE samples SET selections = {left} WHERE list_contains(selections, ?)", [name, name])
            more, chosen = "list_append(selections, ?)", "sample_id IN (SELECT unnest(?))"
            con.execute(f"UPDATE samples SET selections = {more} WHERE {chosen}", [name, list(sample_ids)])
            self.changes += 1

    def sources(self, sample_id: str) -> dict[str, dict[str, Any]]:
        """{modality: where its medium is}, see `Dataset.all_sources`; {} if that is not known."""
        found = self.ask("SELECT sources FROM sources WHERE sample_id = ?", [sample_id])
        return json.loads(found[0][0]) if found else {}

    def numeric(self) -> list[str]:
        """Columns that hold numbers, in their order."""
        return [name for name, kind in self.columns.items() if kind in NUMERIC]

    def close(self) -> None:
        """Remove the scratch file."""
        self._con.close()
        self._folder.cleanup()


def seen_column(pair: str) -> str:
    """The column with what the mixture of a pair was fitted to."""
    return f"fitted_{pair.replace('|', '_')}"
