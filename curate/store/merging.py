"""Take over what another table holds: runs with all their rows, selections, decisions of people, and comparisons."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb

from curate.errors import CurateError, NoTableError
from curate.files.lock import FILE, OWNER, is_vacant

from . import beside, views
from .runs import free_name
from .store import OF_RUN, Store

Con = duckdb.DuckDBPyConnection
IDENTITY = (
    "SELECT kind, method, dataset, data_id, seed, started, run_id, status, parent FROM run ORDER BY started, run_id"
)
"""Of every run what it keeps whatever it is called, its name, and what decides whether it is taken over."""
TEMPORARY = ("taken", "named", "moved", "chosen")


@dataclass
class Merged:
    """What was taken over.

    Attributes:
        runs: {name there: name here}.
        known: the same of runs that were here already.
        left: {run: why it was left there}.
        selections: {name there: name here}.
        marks: number of decisions.
        cells: number of cells of comparisons.
    """

    runs: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    selections: dict[str, str] = field(default_factory=dict)
    marks: int = 0
    cells: int = 0

    @property
    def renamed(self) -> dict[str, str]:
        """{name there: name here} of runs and selections whose name was another's here."""
        return {old: new for names in (self.runs, self.selections) for old, new in names.items() if new != old}


def merge(store: Store, path: Path, weights: bool = True) -> Merged:
    """Add to a table what another one holds, completely or not at all; the other is only read, but for one of an older
    version, which is brought to this one.

    What is here stays as it is. A run that was taken over before is known by its settings and the moment at which it
    began, and not looked at again. A name that another run or selection has here gets the next free number. A run that
    is not done there is left, since it may go on, and so are those that came from it.

    Args:
        path: the other table.
        weights: copy the folders of the runs too, with their checkpoints.

    Raises:
        CurateError: it is this table, no table, or from a newer version; or folders cannot be copied.
        LockedError: another process has one of them open.
    """
    if path.exists() and store.path.exists() and path.samefile(store.path):
        raise CurateError(f"{path} is the table itself", "name another one")
    other, folders = Store(path), (path.with_suffix(".runs"), store.path.with_suffix(".runs"))
    try:
        there_runs = other.rows(IDENTITY)
    except NoTableError as error:
        raise NoTableError(error.message, f"name a table to take over in place of {path}") from None
    there_runs = [(*row, name, other.runs.status(name, status), parent) for *row, name, status, parent in there_runs]
    done = _plan(there_runs, store.rows(IDENTITY) if store.path.exists() else [], folders[1])
    with (
        _copied(*folders, done.runs if weights else {}),
        other.db.open() as there,
        store.db.open(write=True) as con,
        views.in_step(con),
    ):
        beside.search(con, store.path, path)
        ((source,),) = there.execute("SELECT current_database()").fetchall()
        _take_runs(con, source, done, folders[1])
        _take_samples(con, source)
        for table in chain.from_iterable(part.TABLES for part in OF_RUN):
            con.execute(
                f"INSERT INTO {beside.here(table)} BY NAME SELECT x.* REPLACE (t.ours AS run_id) "
                f"FROM {source}.{table} x JOIN taken t ON t.theirs = x.run_id"
            )
        _take_selections(con, source, done)
        done.marks = _take_marks(con, source)
        done.cells = _take_cells(con, source)
        for name in TEMPORARY:
            con.execute(f"DROP TABLE {name}")
    return done


def _plan(there: Sequence[Sequence[Any]], here: Sequence[Sequence[Any]], folder: Path) -> Merged:
    """Which runs are taken over, and by which names."""
    own, done = {tuple(row[:6]): row[6] for row in here}, Merged()
    names = set(own.values())
    for *identity, name, status, parent in there:  # what a run came from is before it
        if found := own.get(tuple(identity)):
            done.known[name] = found
        elif status != "done":
            done.left[name] = f"its status is {status}"
        elif parent is not None and parent not in done.runs | done.known:
            done.left[name] = f"{parent}, which it came from, was left too"
        else:
            done.runs[name] = _free(name, names, lambda n: is_vacant(folder / n))
            names.add(done.runs[name])
    return done


def _free(name: str, taken: Collection[str], fits: Callable[[str], bool] = bool) -> str:
    """The name, or where it is another's the first of its stem with a number that is nobody's."""
    stem, _, number = name.rpartition("-")
    if name not in taken and fits(name):
        return name
    return free_name(stem if stem and number.isdecimal() else name, taken, fits)


@contextmanager
def _copied(source: Path, target: Path, names: Mapping[str, str]) -> Iterator[None]:
    """Copies of the folders of runs, removed again if the block fails."""
    made = [(source / old, target / new) for old, new in names.items() if (source / old).is_dir()]
    try:
        try:
            for old, new in made:
                shutil.copytree(old, new, ignore=shutil.ignore_patterns(FILE, OWNER), dirs_exist_ok=True)
        except OSError as error:
            raise CurateError(
                f"cannot copy the checkpoints in {source} to {target}: {error}",
                "make space, or take none: --no-weights",
            ) from None
        yield
    except BaseException:
        for _, new in made:
            shutil.rmtree(new, ignore_errors=True)
        raise


def _keep_names(con: Con, table: str, names: Mapping[str, str]) -> None:
    """A temporary table of names there and here."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE {table} (theirs VARCHAR, ours VARCHAR)")
    if names:
        con.executemany(f"INSERT INTO {table} VALUES (?, ?)", [list(pair) for pair in names.items()])


def _take_runs(con: Con, source: str, done: Merged, folder: Path) -> None:
    """The runs; in `taken` they are by both names, in `named` those that were known too."""
    _keep_names(con, "taken", done.runs)
    _keep_names(con, "named", done.known | done.runs)
    if con.execute("SELECT 1 FROM run JOIN taken ON ours = run_id").fetchall():
        raise CurateError("the table was written meanwhile", "run the command again; nothing was changed")
    con.execute(
        "INSERT INTO run BY NAME SELECT x.* REPLACE (t.ours AS run_id, p.ours AS parent, "
        "CASE WHEN x.folder = '' THEN '' ELSE concat($folder::VARCHAR, t.ours) END AS folder) "
        f"FROM {source}.run x JOIN taken t ON t.theirs = x.run_id LEFT JOIN named p ON p.theirs = x.parent",
        {"folder": f"{folder}{os.sep}"},
    )


def _take_samples(con: Con, source: str) -> None:
    """The rows of samples of these runs, and of data sets that are not here; each part gets a new number."""
    fresh = "(data_id NOT IN (SELECT data_id FROM part WHERE run_id IS NULL AND data_id IS NOT NULL))"
    con.execute(
        f"INSERT INTO finding BY NAME FROM {source}.finding WHERE {fresh} "
        "AND data_id NOT IN (SELECT data_id FROM finding)"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE moved AS SELECT x.* REPLACE (t.ours AS run_id), "
        "x.number + (SELECT coalesce(max(number), 0) FROM part) AS new_number "
        f"FROM {source}.part x LEFT JOIN taken t ON t.theirs = x.run_id "
        f"WHERE t.ours IS NOT NULL OR (x.run_id IS NULL AND {fresh})"
    )
    con.execute(
        "INSERT INTO part SELECT * EXCLUDE (new_number) REPLACE (new_number AS number, "
        "changed + (SELECT coalesce(max(changed), 0) FROM part) AS changed) FROM moved"
    )
    con.execute(
        "INSERT INTO item_here BY NAME SELECT x.* REPLACE (m.new_number AS part) "
        f"FROM {source}.item x JOIN (SELECT DISTINCT number, new_number FROM moved) m ON m.number = x.part"
    )


def _take_selections(con: Con, source: str, done: Merged) -> None:
    """Selections of these runs, but for those that are here with the same members."""
    known = {name for (name,) in con.execute("SELECT name FROM selection").fetchall()}
    members = "(SELECT name, count(*) AS size, bit_xor(hash(sample_id)) AS ids FROM {}selection_member GROUP BY ALL)"
    of_runs = f"FROM {source}.selection x JOIN named n ON n.theirs = x.run_id"
    alike = (
        f"SELECT x.name {of_runs} JOIN {members.format(f'{source}.')} a ON a.name = x.name "
        f"JOIN selection s ON s.run_id = n.ours AND s.rule = x.rule "
        f"JOIN {members.format('')} b ON b.name = s.name AND b.size = a.size AND b.ids = a.ids"
    )
    wanted = f"SELECT x.name {of_runs} WHERE x.name NOT IN ({alike}) ORDER BY x.created, x.name"
    for (name,) in con.execute(wanted).fetchall():
        done.selections[name] = _free(name, known)
        known.add(done.selections[name])
    _keep_names(con, "chosen", done.selections)
    con.execute(
        "INSERT INTO selection BY NAME SELECT x.* REPLACE (c.ours AS name, n.ours AS run_id) "
        f"{of_runs} JOIN chosen c ON c.theirs = x.name"
    )
    con.execute(
        "INSERT INTO selection_member BY NAME SELECT m.* REPLACE (c.ours AS name) "
        f"FROM {source}.selection_member m JOIN chosen c ON c.theirs = m.name"
    )


def _take_marks(con: Con, source: str) -> int:
    """Decisions that are not here, and what was taken back there; all are counted anew, in the order of their time."""
    con.execute(
        f"UPDATE mark SET withdrawn = x.withdrawn FROM {source}.mark x "
        "WHERE x.mark_id = mark.mark_id AND mark.withdrawn IS NULL"
    )
    ((added,),) = con.execute(
        f"INSERT INTO mark BY NAME FROM {source}.mark WHERE mark_id NOT IN (SELECT mark_id FROM mark)"
    ).fetchall()
    con.execute(
        "UPDATE mark SET number = o.place FROM "
        "(SELECT mark_id, row_number() OVER (ORDER BY made, number, mark_id) AS place FROM mark) o "
        "WHERE o.mark_id = mark.mark_id"
    )
    return int(added)


def _take_cells(con: Con, source: str) -> int:
    """Cells of comparisons that are not here, or have no result here."""
    theirs = (
        "SELECT x.* REPLACE (n.ours AS run_id, CASE WHEN n.ours IS NULL AND x.run_id IS NOT NULL THEN 'its run was not "
        f"taken over' ELSE x.reason END AS reason) FROM {source}.comparison x LEFT JOIN named n ON n.theirs = x.run_id"
    )
    same = "c.comparison = x.comparison AND c.dataset = x.dataset AND c.label = x.label AND c.seed = x.seed"
    ((filled,),) = con.execute(
        f"UPDATE comparison AS c SET run_id = x.run_id, reason = x.reason FROM ({theirs}) x "
        f"WHERE {same} AND c.run_id IS NULL AND x.run_id IS NOT NULL"
    ).fetchall()
    ((added,),) = con.execute(
        f"INSERT INTO comparison BY NAME FROM ({theirs}) x WHERE NOT EXISTS (SELECT 1 FROM comparison c WHERE {same})"
    ).fetchall()
    return int(filled) + int(added)
