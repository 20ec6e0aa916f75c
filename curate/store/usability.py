"""Usability in the sample table, computed from the evidence of a warm-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import duckdb
import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError
from curate.types import Floats, Run

from .arrays import by_modality
from .connection import Connection, query_text
from .rows import copy_rows, delete, insert
from .runs import declared

if TYPE_CHECKING:
    from curate.scores.guard import Guard
    from curate.scores.labels import Denied
    from curate.scores.usability import Usability


@dataclass(frozen=True)
class Assessments:
    """Usability of each modality on each sample of a scored run; it is written completely or not at all."""

    TABLES: ClassVar[tuple[str, ...]] = ("usability", "guard")

    db: Connection

    def write(self, run_id: str, found: Usability, contradiction: Floats, denied: Denied | None = None) -> None:
        """Store usability, and how much each modality contradicts the label; existing rows are replaced.

        Args:
            contradiction: (N, M + 1) in [0, 1], of the modalities and of the fused prediction, see
                `usability.contradiction`; (N, M) if that of the fused prediction is not known.
            denied: which labels are wrong and which clips are swapped; None: not judged.
        """
        ids = found.sample_ids.astype(object)
        with self.db.open(write=True) as con:
            for table in self.TABLES:
                delete(con, table, {"run_id": run_id})
            for j, (modality, guard) in enumerate(zip(found.modalities, found.guards, strict=True)):
                key = {"run_id": run_id, "modality": modality}
                columns = {
                    "sample_id": ids,
                    "recognition": np.clip(found.recognition[:, j], 0, 1),
                    "usability": found.usability[:, j],
                    "contradiction": contradiction[:, j],
                }
                if contradiction.shape[1] > len(found.modalities):
                    columns["contradiction_fused"] = contradiction[:, -1]
                if denied is not None:
                    if not guard.withheld and not np.isnan(denied.p_swapped[:, j]).any():
                        columns["p_swapped"] = denied.p_swapped[:, j]
                    if not np.isnan(denied.p_mislabelled).any():
                        columns["p_mislabelled"] = denied.p_mislabelled
                columns |= {kind: of_all[:, j] for kind, of_all in found.kinds.items()}
                if not guard.withheld:
                    columns["p_broken"] = found.p_broken[:, j]
                insert(con, "usability", columns, key)
                con.execute(
                    "INSERT INTO guard VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        *key.values(),
                        guard.found,
                        guard.share,
                        guard.separation,
                        guard.ratio,
                        guard.withheld,
                        guard.verdict,
                        list(guard.weak),
                        guard.rare,
                        list(guard.shortcuts),
                        denied.unjudged[j] if denied is not None and denied.unjudged else "",
                    ],
                )

    def write_labels(
        self,
        run_id: str,
        sample_ids: NDArray[np.str_],
        modalities: Sequence[str],
        contradiction: Floats,
        p_mislabelled: Floats,
    ) -> None:
        """Store which labels are denied, where nothing is known of usability; existing rows are replaced.

        Args:
            contradiction: (N, M + 1), as in `write`.
            p_mislabelled: (N,) probability that a label is wrong; NaN = not judged.
        """
        columns = {"sample_id": sample_ids.astype(object), "contradiction_fused": contradiction[:, -1]}
        if not np.isnan(p_mislabelled).any():
            columns["p_mislabelled"] = p_mislabelled
        with self.db.open(write=True) as con:
            for table in self.TABLES:
                delete(con, table, {"run_id": run_id})
            for j, modality in enumerate(modalities):
                key = {"run_id": run_id, "modality": modality}
                insert(con, "usability", {**columns, "contradiction": contradiction[:, j]}, key)

    def guards(self, run_id: str) -> dict[str, Guard]:
        """{modality: its guard} in declared order; {} if the run was not assessed."""
        with self.db.open() as con:
            rows = con.execute(
                "SELECT modality, found, share, separation, ratio, withheld, weak, rare, shortcuts, verdict FROM guard "
                "WHERE run_id = ? ORDER BY list_position(?, modality)",
                [run_id, list(declared(con, run_id)[0])],
            ).fetchall()
        from curate.scores.guard import Guard, reason  # late: it imports scipy, which the other methods do not need

        return {
            m: Guard(own[0], own[1], own[2], own[3], own[4], tuple(weak), rare, tuple(short), reason(said))
            for m, *own, weak, rare, short, said in rows
        }

    def verdicts(self, run_id: str) -> list[tuple[str, str, bool, float, float | None]]:
        """(modality, the guard's verdict in words, whether a group was found, separation, ratio) in declared order.

        The values are those of `usability.Guard`, without importing it; [] if the run was not assessed.
        """
        with self.db.open() as con:
            return con.execute(
                "SELECT modality, verdict, found, separation, ratio FROM guard "
                "WHERE run_id = ? ORDER BY list_position(?, modality)",
                [run_id, list(declared(con, run_id)[0])],
            ).fetchall()

    def confused(self, run: Run) -> tuple[str, str, int, int] | None:
        """The two classes that most denied labels are about (contradiction_fused above 0.5, the one preferred over the
        warm-up to the other): how many are denied, and how many samples both have; None if no label is denied.
        """
        asked = {"run": run.run_id, "data": run.data_id, "classes": list(run.classes)}
        with self.db.open() as con:
            found: tuple[str, str, int, int] | None = con.execute(query_text("confused"), asked).fetchone()
        return found

    def p_broken(self, run_id: str) -> tuple[NDArray[np.str_], Floats]:
        """(N,) sample ids, ascending, and (N, M) guarded probability of being broken; 0 where claims are withheld.

        Raises:
            CurateError: the run was not assessed.
        """
        columns = self._by_modality(run_id, "coalesce(p_broken, 0)")
        if columns is None:
            raise CurateError(
                f"nothing is known of usability in {run_id}",
                "score again, without score.dynamics=false; what a recorder recorded, with features",
            )
        return columns

    def imbalance(self, run_id: str) -> tuple[NDArray[np.str_], Floats] | None:
        """(N,) sample ids, ascending, and (N,) imbalance, see `usability.some_not_all`; None where it is not known."""
        columns = self._by_modality(run_id, "usability")
        if columns is None:
            return None
        from curate.scores.usability import some_not_all

        return columns[0], some_not_all(columns[1])

    def _by_modality(self, run_id: str, value: str) -> tuple[NDArray[np.str_], Floats] | None:
        known = f"SELECT run_id, sample_id, modality, {value} AS value FROM usability WHERE usability IS NOT NULL"
        with self.db.open() as con:
            return by_modality(con, declared(con, run_id)[0], f"SELECT * FROM ({known})", run_id)


def copy(con: duckdb.DuckDBPyConnection, source: str, target: str, condition: str = "") -> None:
    """Replace the usability of the run `target` by that of `source`, for all samples or those of a condition."""
    for table in Assessments.TABLES:
        delete(con, table, {"run_id": target})
        copy_rows(con, table, source, target, "" if table == "guard" else condition)
