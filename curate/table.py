"""The sample table: the contract between scoring, training and everyone else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from .database import SAFE, insert, sql_error
from .errors import CurateError, EmptySelectionError, unknown_name
from .rounds import Rounds
from .selection import class_balance, select_above, select_top
from .types import Run, Sample, Selection

if TYPE_CHECKING:
    import pandas as pd


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Table(Rounds):
    """The sample table: runs, samples, rounds, epochs and selections in one DuckDB file."""

    # --- runs --------------------------------------------------------------------------------------------------

    def new_run_id(self, stem: str, folder: Path) -> str:
        """The first free `stem-1`, `stem-2`, ... that names neither a run nor a folder under `folder`."""
        taken: set[str] = set()
        if self.path.exists():
            with self._open() as con:
                taken = {r for (r,) in con.execute("SELECT run_id FROM run").fetchall()}
        number = 1
        while (name := f"{stem}-{number}") in taken or (folder / name).exists():
            number += 1
        return name

    def start_run(self, run: Run) -> None:
        """Add a run, or set its status back to `running` when it is resumed."""
        with self._open(write=True) as con:
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

    def finish_run(self, run_id: str, status: str, checkpoint_sha256: str | None = None) -> None:
        """Close a run as `done`, `interrupted` or `failed`."""
        with self._open(write=True) as con:
            con.execute(
                "UPDATE run SET status = ?, finished = ?, checkpoint_sha256 = ? WHERE run_id = ?",
                [status, _now(), checkpoint_sha256, run_id],
            )

    def runs(self, **where: str | int | None) -> list[Run]:
        """Runs, newest first, whose columns equal the given values (None = any)."""
        wanted = {k: v for k, v in where.items() if v is not None}
        names = [f.name for f in fields(Run)]
        condition = " AND ".join(f"{k} = ?" for k in wanted) or "true"
        with self._open() as con:
            rows = con.execute(
                f"SELECT {', '.join(names)} FROM run WHERE {condition} ORDER BY started DESC, run_id DESC",
                list(wanted.values()),
            ).fetchall()
        out = []
        for row in rows:
            values = dict(zip(names, row, strict=True))
            values |= {k: json.loads(values[k]) for k in ("config", "versions")}
            values |= {k: tuple(values[k]) for k in ("modalities", "classes")}
            out.append(Run(**values))
        return out

    def find_run(self, run_id: str | None = None, **where: str | None) -> Run:
        """The run of that name, or the newest that fits.

        Raises:
            CurateError: there is none; the nearest name is offered.
        """
        runs = self.runs(**where)
        what = ", ".join(f"{k} {v}" for k, v in where.items() if v is not None)
        if run_id is None:
            if not runs:
                raise CurateError(
                    f"no run{what and f' with {what}'} in {self.path}", "see `curate runs`; score with `curate score`"
                )
            return runs[0]
        for run in runs:
            if run.run_id == run_id:
                return run
        known = [r.run_id for r in self.runs()]
        if run_id in known:
            raise CurateError(f"run {run_id!r} is not one with {what}", "see `curate runs`")
        raise unknown_name("run", run_id, known)

    # --- writing -----------------------------------------------------------------------------------------------

    def write_samples(
        self,
        data_id: str,
        samples: Sequence[Sample],
        classes: Sequence[str],
        status: Sequence[str],
        reason: Sequence[str],
    ) -> None:
        """Every item of a data set with the status of its media; known rows are replaced."""
        index = {c: i for i, c in enumerate(classes)}
        columns = {
            "data_id": [data_id] * len(samples),
            "sample_id": [s.sample_id for s in samples],
            "split": [s.split for s in samples],
            "label": np.array([index[s.label] for s in samples], dtype=np.int32),
            "label_name": [s.label for s in samples],
            "group_id": [s.group for s in samples],
            "planted": [s.planted for s in samples],
            "status": list(status),
            "reason": list(reason),
        }
        with self._open(write=True) as con:
            insert(con, "sample", columns)

    def write_epoch(self, run_id: str, epoch: int, values: Sequence[tuple[str, str, str, float]]) -> None:
        """Numbers of one epoch as (split, modality, metric, value); known ones are replaced."""
        split, modality, metric, value = (list(v) for v in zip(*values, strict=True))
        with self._open(write=True) as con:
            insert(
                con,
                "epoch",
                {"split": split, "modality": modality, "metric": metric, "value": np.array(value, dtype=np.float64)},
                {"run_id": run_id, "epoch": epoch},
            )

    def write_selection(self, selection: Selection, replace: bool = False) -> None:
        """Store a selection under its name.

        Raises:
            EmptySelectionError: it keeps nothing; an earlier one of that name stays.
            CurateError: the name is taken by another rule and `replace` is false.
        """
        if not len(selection.sample_ids):
            raise EmptySelectionError(f"no sample fulfils {selection.rule}", "lower the threshold; nothing was stored")
        with self._open(write=True) as con:
            known = con.execute("SELECT run_id, rule FROM selection WHERE name = ?", [selection.name]).fetchone()
            if known and known != (selection.run_id, selection.rule) and not replace:
                raise CurateError(
                    f"selection {selection.name!r} exists ({known[1]}, of {known[0]})",
                    "choose another --name, or --replace it",
                )
            con.execute("DELETE FROM selection_member WHERE name = ?", [selection.name])
            con.execute(
                "INSERT OR REPLACE INTO selection VALUES (?, ?, ?, ?, ?, ?)",
                [
                    selection.name,
                    selection.run_id,
                    selection.rule,
                    selection.candidates,
                    len(selection.sample_ids),
                    _now(),
                ],
            )
            insert(con, "selection_member", {"sample_id": selection.sample_ids}, {"name": selection.name})

    # --- reading -----------------------------------------------------------------------------------------------

    def selection(self, name: str) -> Selection:
        """A stored selection.

        Raises:
            CurateError: no selection has that name.
        """
        with self._open() as con:
            row = con.execute("SELECT name, run_id, rule, candidates FROM selection WHERE name = ?", [name]).fetchone()
            if row is None:
                known = [n for (n,) in con.execute("SELECT name FROM selection").fetchall()]
                raise unknown_name("selection", name, known)
            ids = con.execute("SELECT sample_id FROM selection_member WHERE name = ? ORDER BY 1", [name]).fetchnumpy()
        return Selection(row[0], row[1], row[2], ids["sample_id"].astype(str), row[3])

    def scored_labels(self, run_id: str, where: str | None = None) -> Mapping[str, NDArray[Any]]:
        """`sample_id`, `label_name` and mean `p_balanced` of a scored run's samples, ascending by id.

        Args:
            where: a condition on the columns of `samples`, as a user types it.
        """
        kept = ""
        if where is not None:
            try:
                statements = duckdb.extract_statements(f"SELECT sample_id FROM samples WHERE ({where})")
            except duckdb.Error as error:
                raise sql_error(error) from None
            if len(statements) != 1:
                raise CurateError("--where takes one condition", "e.g. --where \"gap > 0.5 AND label_name = 'bark'\"")
            # Ids are unique within a data set only.
            kept = f"AND (r.dataset, p.sample_id) IN (SELECT (dataset, sample_id) FROM samples WHERE ({where}))"
        with self._open(settings=SAFE) as con:
            shown = con.execute("SELECT count(*) FROM samples WHERE run_id = ?", [run_id]).fetchone()
            if where is not None and shown == (0,):
                raise CurateError(
                    f"--where reads `samples`, which no longer shows {run_id} but a newer scored run",
                    "leave --run out, or leave --where out",
                )
            try:
                out = con.execute(
                    "SELECT p.sample_id, any_value(s.label_name) AS label_name, avg(p.p_balanced) AS p_balanced "
                    "FROM posterior p JOIN run r USING (run_id) "
                    "JOIN sample s ON s.data_id = r.data_id AND s.sample_id = p.sample_id "
                    f"WHERE p.run_id = ? AND p.round = 0 AND s.split = 'train' {kept} GROUP BY 1 ORDER BY 1",
                    [run_id],
                ).fetchnumpy()
            except duckdb.Error as error:
                raise sql_error(error) from None
        return {k: np.asarray(v, dtype=str if k != "p_balanced" else np.float64) for k, v in out.items()}

    def select(
        self,
        run_id: str,
        *,
        threshold: float | None = None,
        top: int | None = None,
        where: str | None = None,
        name: str | None = None,
        replace: bool = False,
    ) -> Selection:
        """Name the training samples of a scored run that fulfil every given rule, and store them.

        Args:
            threshold: `p_balanced >= threshold`, in [0, 1].
            where: a condition on the columns of `samples`.
            top: of those, so many of highest `p_balanced`, ties by id.
            name: of the selection; made from run and rule when left out.
            replace: an earlier selection of that name.

        Raises:
            EmptySelectionError: nothing fulfils them; nothing is stored.
        """
        labelled = self.scored_labels(run_id)
        ids, p = labelled["sample_id"], labelled["p_balanced"]
        kept = select_above(p, 0 if threshold is None else threshold)
        if where is not None:
            kept &= np.isin(ids, self.scored_labels(run_id, where)["sample_id"])
        if top is not None:
            chosen = select_top(p[kept], ids[kept], top)
            kept[np.flatnonzero(kept)[~chosen]] = False
        rules = ("" if threshold is None else f"p_balanced >= {threshold}", where or "", f"top {top}" if top else "")
        rule = " and ".join(part for part in rules if part)
        selection = Selection(
            name or f"{run_id}: {rule}", run_id, rule, ids[kept], len(ids), class_balance(labelled["label_name"], kept)
        )
        self.write_selection(selection, replace)
        return selection

    def planted(self, run_id: str) -> NDArray[np.str_]:
        """(N,) degraded modalities of a scored run's samples, ascending by id; '' none or unknown."""
        with self._open() as con:
            out = con.execute(
                "SELECT coalesce(s.planted, '') AS planted FROM run r JOIN sample s USING (data_id) "
                "WHERE r.run_id = ? AND s.sample_id IN (SELECT sample_id FROM gap WHERE run_id = ? AND round = 0) "
                "ORDER BY s.sample_id",
                [run_id, run_id],
            ).fetchnumpy()
        return out["planted"].astype(str)

    def sample_count(self, data_id: str) -> int:
        """How many items of a data set are in the table; 0 without a table."""
        if not self.path.exists():
            return 0
        with self._open() as con:
            row = con.execute("SELECT count(*) FROM sample WHERE data_id = ?", [data_id]).fetchone()
        return row[0] if row else 0

    def status_counts(self, data_id: str) -> list[tuple[str, int]]:
        """(status, count) of a data set's items that cannot be used, ascending."""
        with self._open() as con:
            return con.execute(
                "SELECT status, count(*) FROM sample WHERE data_id = ? AND status <> 'ok' GROUP BY 1 ORDER BY 1",
                [data_id],
            ).fetchall()

    def test_metrics(self, run_id: str) -> dict[str, dict[str, float]]:
        """{modality or "fused": {metric: value}} measured on the test split; {} before a run is done."""
        with self._open() as con:
            rows = con.execute(
                "SELECT modality, metric, value FROM epoch WHERE run_id = ? AND split = 'test' "
                "ORDER BY modality = 'fused', modality, metric",
                [run_id],
            ).fetchall()
        out: dict[str, dict[str, float]] = {}
        for modality, metric, value in rows:
            out.setdefault(modality, {})[metric] = value
        return out

    def best_epoch(self, run_id: str) -> int | None:
        """The epoch that validation chose; None before a run is done."""
        with self._open() as con:
            row = con.execute("SELECT max(epoch) FROM epoch WHERE run_id = ? AND split = 'test'", [run_id]).fetchone()
        return row[0] if row else None

    def run_list(self) -> list[tuple[Any, ...]]:
        """(run_id, method, dataset, parent, seed, status, fused test accuracy) of every run, newest first."""
        with self._open() as con:
            return con.execute(
                "SELECT r.run_id, r.method || coalesce(' (' || r.note || ')', ''), r.dataset, r.parent, r.seed, "
                "r.status, (SELECT max(value) FROM results t WHERE t.run_id = r.run_id AND t.modality = 'fused' "
                "AND t.metric = 'accuracy') FROM run r ORDER BY r.started DESC, r.run_id DESC"
            ).fetchall()

    def mixture_rows(self, run_id: str) -> list[tuple[str, str]]:
        """The fitted mixtures of a run as (what, value) lines, by round."""
        with self._open() as con:
            return con.execute(
                "SELECT 'round ' || round || ', ' || pair || if(is_balanced, ', balanced', ', imbalanced'), "
                "format('{} weight {:.4f} location {:+.4f} scale {:.4f}, {}', family, weight, loc, scale, outcome) "
                "|| if(len(warnings) = 0, '', '; ' || array_to_string(warnings, '; ')) "
                "FROM mixture WHERE run_id = ? ORDER BY round, pair, component",
                [run_id],
            ).fetchall()

    def export_selection(self, name: str, path: Path) -> int:
        """Write a selection's samples, ascending by id; how many."""
        return self.copy_to(
            "SELECT m.sample_id, s.label_name, avg(p.p_balanced) AS p_balanced FROM selection n "
            "JOIN selection_member m USING (name) JOIN run r USING (run_id) "
            "JOIN sample s ON s.data_id = r.data_id AND s.sample_id = m.sample_id "
            "JOIN posterior p ON p.run_id = r.run_id AND p.round = 0 AND p.sample_id = m.sample_id "
            "WHERE n.name = ? GROUP BY ALL ORDER BY 1",
            [name],
            path,
        )

    def export_samples(self, path: Path) -> int:
        """Write the view `samples`, ascending by data set and id; how many rows."""
        return self.copy_to("SELECT * FROM samples ORDER BY dataset, sample_id", [], path)

    def samples(self) -> pd.DataFrame:
        """The view `samples` as a DataFrame, ascending by data set and id."""
        return self.frame("SELECT * FROM samples ORDER BY dataset, sample_id")
