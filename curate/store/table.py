"""The sample table: the contract between scoring, training and everyone else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError, unknown_name
from curate.files.lock import is_vacant
from curate.types import Finding, Run, Sample

from .comparisons import Comparisons
from .connection import insert

if TYPE_CHECKING:
    import pandas as pd


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Table(Comparisons):
    """The sample table: runs, samples, rounds, epochs, selections and comparisons in one DuckDB file."""

    # --- runs --------------------------------------------------------------------------------------------------

    def new_run_id(self, stem: str, folder: Path) -> str:
        """The first free `stem-1`, `stem-2`, ... that names neither a run nor a used folder under `folder`."""
        taken: set[str] = set()
        if self.path.exists():
            with self._open() as con:
                taken = {r for (r,) in con.execute("SELECT run_id FROM run").fetchall()}
        number = 1
        while (name := f"{stem}-{number}") in taken or not is_vacant(folder / name):
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

    def copy_scores(self, source: str, target: str) -> None:
        """Give a run the predictions, dynamics, epochs and usability of another."""
        with self._open(write=True) as con:
            for name in ("prediction", "dynamic", "epoch", "usability", "guard"):
                con.execute(
                    f"INSERT INTO {name} SELECT * REPLACE (? AS run_id) FROM {name} WHERE run_id = ?", [target, source]
                )

    def finish_run(self, run_id: str, status: str, checkpoint_sha256: str | None = None) -> None:
        """Close a run as `done`, `interrupted` or `failed`."""
        with self._open(write=True) as con:
            con.execute(
                "UPDATE run SET status = ?, finished = ?, checkpoint_sha256 = ? WHERE run_id = ?",
                [status, _now(), checkpoint_sha256, run_id],
            )

    def decide(self, run_id: str, found: Mapping[str, Any]) -> None:
        """Keep what a run found out for itself where its settings left it open, as the section `decided`."""
        with self._open(write=True) as con:
            con.execute(
                "UPDATE run SET config = json_merge_patch(config, ?) WHERE run_id = ?",
                [json.dumps({"decided": dict(found)}), run_id],
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

    def remove_run(self, run_id: str) -> None:
        """Delete every row of a run; its checkpoints are the caller's to delete.

        Raises:
            CurateError: there is no such run, or others were trained from it or selected from it; they are named.
        """
        self.find_run(run_id)
        with self._open(write=True) as con:
            leaning = [
                r
                for (r,) in con.execute(
                    "SELECT run_id FROM run WHERE parent = ? UNION ALL "
                    "SELECT 'selection ' || name FROM selection WHERE run_id = ? ORDER BY 1",
                    [run_id, run_id],
                ).fetchall()
            ]
            if leaning:
                raise CurateError(f"{run_id} is what {', '.join(leaning)} came from", "remove these first")
            for name in (
                "prediction",
                "gap",
                "mixture",
                "posterior",
                "dynamic",
                "epoch",
                "fold_epoch",
                "usability",
                "guard",
                "run",
            ):
                con.execute(f"DELETE FROM {name} WHERE run_id = ?", [run_id])
            con.execute(
                "UPDATE comparison SET run_id = NULL, reason = 'its run was removed' WHERE run_id = ?", [run_id]
            )

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
        media: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Items of a data set with the status of their media; known rows of these items are replaced.

        Args:
            media: of each item {modality: what was done to its medium}, see `media.FACTS`.

        Raises:
            ValueError: an id is there twice.
        """
        if len({s.sample_id for s in samples}) != len(samples):
            raise ValueError("sample_ids are not unique")
        index = {c: i for i, c in enumerate(classes)} | {"": -1}  # '' = no label
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
            "extra": [json.dumps(dict(s.extra), sort_keys=True) if s.extra else None for s in samples],
            "media": [json.dumps(m, sort_keys=True) if m else None for m in media or [{}] * len(samples)],
        }
        with self._open(write=True) as con:
            con.register("written", {"sample_id": np.array(columns["sample_id"], dtype=object)})
            con.execute("DELETE FROM sample WHERE data_id = ? AND sample_id IN (FROM written)", [data_id])
            con.unregister("written")
            insert(con, "sample", columns)

    def copy_samples(self, source: str, target: str) -> None:
        """Add to a data set the items of another that it does not have."""
        with self._open(write=True) as con:
            con.execute(
                "INSERT INTO sample BY NAME SELECT * REPLACE (? AS data_id) FROM sample WHERE data_id = ? "
                "AND sample_id NOT IN (SELECT sample_id FROM sample WHERE data_id = ?)",
                [target, source, target],
            )

    def write_findings(self, data_id: str, findings: Sequence[Finding]) -> None:
        """What is suspicious about a data set, in place of what was found before."""
        with self._open(write=True) as con:
            con.execute("DELETE FROM finding WHERE data_id = ?", [data_id])
            columns = {name: [getattr(f, name) for f in findings] for name in ("kind", "sample_id", "detail")}
            insert(con, "finding", columns, {"data_id": data_id}, replace=False)

    def write_epoch(
        self, run_id: str, epoch: int, values: Sequence[tuple[str, str, str, float]], fold: int | None = None
    ) -> None:
        """Numbers of one epoch, of the run or a fold, as (split, modality, metric, value); known ones are replaced."""
        split, modality, metric, value = (list(v) for v in zip(*values, strict=True))
        with self._open(write=True) as con:
            insert(
                con,
                "epoch" if fold is None else "fold_epoch",
                {"split": split, "modality": modality, "metric": metric, "value": np.array(value, dtype=np.float64)},
                {"run_id": run_id, "epoch": epoch, **({} if fold is None else {"fold": fold})},
                replace=True,
            )

    # --- reading -----------------------------------------------------------------------------------------------

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

    def warm_up_seconds(self, run_id: str) -> tuple[float, float]:
        """Seconds that a scored run trained for: its own warm-up, and those of its folds together."""
        seconds = "SELECT coalesce(sum(value), 0) FROM {} WHERE run_id = ? AND metric = 'seconds'"
        with self._open() as con:
            own, folds = (con.execute(seconds.format(t), [run_id]).fetchall() for t in ("epoch", "fold_epoch"))
        return own[0][0], folds[0][0]

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
                "SELECT 'round ' || round || ', ' || pair || ', ' || CASE WHEN is_balanced THEN 'balanced' "
                "WHEN rule <> 'middle' THEN 'imbalanced' "
                "ELSE split_part(pair, '|', if(component = 0, 2, 1)) || ' ahead' END, "
                "format('{} on {}{}: weight {:.4f} location {:+.4f} scale {:.4f}, {}', family, "
                "if(input = 'absolute', '|' || gap_kind || ' gap|', gap_kind || ' gap'), "
                "if(average = 'warmup', ', mean over the warm-up', ''), weight, loc, scale, outcome) "
                "|| if(len(warnings) = 0, '', '; ' || array_to_string(warnings, '; ')) "
                "FROM mixture WHERE run_id = ? ORDER BY round, pair, component",
                [run_id],
            ).fetchall()

    def export_samples(self, path: Path) -> int:
        """Write the view `samples`, ascending by data set and id; how many rows."""
        return self.copy_to("SELECT * FROM samples ORDER BY dataset, sample_id", {}, path)

    def samples(self) -> pd.DataFrame:
        """The view `samples` as a DataFrame, ascending by data set and id."""
        return self.frame("SELECT * FROM samples ORDER BY dataset, sample_id")
