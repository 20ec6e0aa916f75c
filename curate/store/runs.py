"""Runs in the sample table."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import duckdb

from curate.arguments import NONE, need
from curate.errors import CurateError, unknown_name
from curate.files.lock import OWNER, is_held, is_vacant
from curate.types import Run

from . import killed
from .connection import Connection
from .items import renew
from .killed import KILLED, RUNNING

REFIT = "refit of "
"""How the note of a run begins that has another mixture of the scores of another."""
NOT_COMPARED = ("modalities", "classes", "config", "versions")
COMPARED = tuple(f.name for f in fields(Run) if f.name not in NOT_COMPARED)
"""Columns of a single text, or of a whole number: `seed`."""


@dataclass(frozen=True)
class Runs:
    """Runs by name: their settings, how they ended, and the runs that they started from."""

    TABLES: ClassVar[tuple[str, ...]] = ("run",)

    db: Connection

    def new_id(self, stem: str, folder: Path) -> str:
        """The first of `stem-1`, `stem-2`, ... that is neither the name of a run nor of a used folder in `folder`."""
        taken: set[str] = set()
        if self.db.path.exists():
            with self.db.open() as con:
                taken = {r for (r,) in con.execute("SELECT run_id FROM run").fetchall()}
        return free_name(stem, taken, lambda name: is_vacant(folder / name))

    def begin(self, run: Run) -> Run:
        """Add a new run, and give it: if another process has begun one of its name since, it has the next free name."""
        with self.db.open(write=True) as con:
            taken = {r for (r,) in con.execute("SELECT run_id FROM run").fetchall()}
            if run.run_id in taken:
                folder = Path(run.folder).parent if run.folder else self.db.path.with_suffix(".runs")
                name = free_name(run.run_id.rpartition("-")[0], taken, lambda one: is_vacant(folder / one))
                run = replace(run, run_id=name, folder=str(folder / name) if run.folder else "")
            self._add(con, run)
        self.db.running = True
        return run

    def start(self, run: Run) -> None:
        """Add a run, or set its status back to `running` when it is resumed."""
        with self.db.open(write=True) as con:
            self._add(con, run)
        self.db.running = True

    def _add(self, con: duckdb.DuckDBPyConnection, run: Run) -> None:
        """Write the row of a run that starts or is resumed."""
        row = {f.name: getattr(run, f.name) for f in fields(run)}
        row |= {
            "config": json.dumps(run.config),
            "versions": json.dumps(run.versions),
            "status": "running",
            "modalities": list(run.modalities),
            "classes": list(run.classes),
        }
        if con.execute(
            "UPDATE run SET status = 'running', finished = NULL WHERE run_id = ? RETURNING 1", [run.run_id]
        ).fetchone():
            return
        row["started"] = _now()
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        con.execute(f"INSERT INTO run ({names}) VALUES ({marks})", list(row.values()))
        early = "UPDATE part SET data_id = ? WHERE run_id = ? AND data_id IS NULL RETURNING 1"
        if con.execute(early, [run.data_id, run.run_id]).fetchall():  # rounds that were written before it
            renew(con, run.data_id)

    def finish(self, run_id: str, status: str, checkpoint_sha256: str | None = None) -> None:
        """Close a run as `done`, `interrupted` or `failed`."""
        with self.db.open(write=True) as con:
            con.execute(
                "UPDATE run SET status = ?, finished = ?, checkpoint_sha256 = ? WHERE run_id = ?",
                [status, _now(), checkpoint_sha256, run_id],
            )
        self.db.running = False

    def decide(self, run_id: str, found: Mapping[str, Any]) -> None:
        """Store values that a run determined itself because its settings left them open, as the section `decided`."""
        with self.db.open(write=True) as con:
            con.execute(
                "UPDATE run SET config = json_merge_patch(config, ?) WHERE run_id = ?",
                [json.dumps({"decided": dict(found)}), run_id],
            )

    def all(self, **where: str | int | None) -> list[Run]:
        """Runs, newest first, whose columns equal the given values (None = any).

        Raises:
            CurateError: there is no such column.
            ValueError: a value is of another type than its column.
        """
        for name, value in where.items():
            if name not in COMPARED:
                raise unknown_name("column of runs", name, COMPARED)
            need(name, value, int if name == "seed" else str, NONE)
        wanted = {k: v for k, v in where.items() if v is not None}
        status = wanted.get("status")
        if status == KILLED:  # stored, or seen now
            del wanted["status"]
        names = [f.name for f in fields(Run)]
        condition = " AND ".join(f"{k} = ?" for k in wanted) or "true"
        with self.db.open() as con:
            rows = con.execute(
                f"SELECT {', '.join(names)} FROM run WHERE {condition} ORDER BY started DESC, run_id DESC",
                list(wanted.values()),
            ).fetchall()
        out = []
        for row in rows:
            values = dict(zip(names, row, strict=True))
            values |= {k: json.loads(values[k]) for k in ("config", "versions")}
            values |= {k: tuple(values[k]) for k in ("modalities", "classes")}
            values["status"] = self.status(values["run_id"], values["status"])
            out.append(Run(**values))
        return [run for run in out if status in (None, run.status)]

    def record_killed(self) -> None:
        """Store which runs were killed, where the table may be written; nobody else is waited for."""
        if not next(self.db.path.with_suffix(".runs").glob(f"*/{OWNER}"), None):
            return
        with self.db.open() as con:
            found = killed.find(con, self.db.path)
        if found:
            with suppress(CurateError), self.db.open(write=True, patience=0):
                pass  # each writer does so

    def status(self, run_id: str, stored: str) -> str:
        """How a run stands, from what the table has: `KILLED` if it is running there, but no process works on it."""
        gone = stored == RUNNING and not is_held(self.db.path.with_suffix(".runs") / run_id)
        return KILLED if gone else stored

    def find(self, run_id: str | None = None, /, **where: str | int | None) -> Run:
        """The run of that name, or the newest that fits; `where` as for `all`.

        Raises:
            CurateError: there is none; the hint gives the nearest name.
        """
        need("run", run_id, str, NONE)
        runs = self.all(**where)
        what = ", ".join(f"{k} {v}" for k, v in where.items() if v is not None)
        if run_id is None:
            if not runs:
                raise CurateError(f"no run{what and f' with {what}'} in {self.db.path}", self._instead(where))
            return runs[0]
        for run in runs:
            if run.run_id == run_id:
                return run
        known = [r.run_id for r in self.all()]
        if run_id in known:
            raise CurateError(f"run {str(run_id)!r} is not one with {what}", "see `curate runs`")
        raise unknown_name("run", run_id, known)

    def _instead(self, where: Mapping[str, str | int | None]) -> str:
        """What to do where no run fits: go on with one that is not done, or score."""
        begun = self.all(**{**where, "status": None}) if where.get("status") == "done" else []
        if not begun:
            return "see `curate runs`; score with `curate score --dataset NAME` or --predictions FILE"
        found = begun[0]
        return f"{found.run_id} is not done: {going_on(found)}"

    def overview(self) -> list[tuple[Any, ...]]:
        """(run_id, method, dataset, parent, seed, status, fused test accuracy) of every run, newest first."""
        with self.db.open() as con:
            rows = con.execute(
                "SELECT r.run_id, r.method || coalesce(' (' || r.note || ')', ''), r.dataset, r.parent, r.seed, "
                "r.status, (SELECT max(value) FROM results t WHERE t.run_id = r.run_id AND t.modality = 'fused' "
                "AND t.metric = 'accuracy') FROM run r ORDER BY r.started DESC, r.run_id DESC"
            ).fetchall()
        return [(name, *before, self.status(name, stored), value) for name, *before, stored, value in rows]


def begins_anew(run: Run) -> bool:
    """Whether nothing of a run that is not done is of use: of seconds of work none is kept."""
    return run.method == "predictions" or (run.note or "").startswith(REFIT)


def going_on(run: Run) -> str:
    """What to do about a run that is not done, as a clause with its command."""
    if begins_anew(run):
        return f"give its command again; `curate runs {run.run_id} --remove` removes what is left of it"
    return f"`curate {run.kind} --resume --run {run.run_id}` goes on with it"


def free_name(stem: str, taken: Collection[str], fits: Callable[[str], bool] = bool) -> str:
    """The first of `stem-1`, `stem-2`, ... that is not taken, and fits."""
    return next(name for k in count(1) if (name := f"{stem}-{k}") not in taken and fits(name))


def declared(con: duckdb.DuckDBPyConnection, run_id: str) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """(modalities in declared order, settings) of a run; ((), {}) if there is no such run."""
    row = con.execute("SELECT modalities, config FROM run WHERE run_id = ?", [run_id]).fetchone()
    return (tuple(row[0]), json.loads(row[1])) if row else ((), {})


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
