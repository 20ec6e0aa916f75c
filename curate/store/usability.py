"""What is known of usability, in the table: the evidence gathered over a warm-up, and what was made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError
from curate.types import Floats

from .connection import delete, insert
from .rounds import Rounds, declared_modalities

if TYPE_CHECKING:
    from curate.scores.usability import Guard, Usability


class Assessments(Rounds):
    """Usability of each modality on each sample of a scored run, written whole or not at all."""

    def write_usability(self, run_id: str, found: Usability, contradiction: Floats) -> None:
        """Usability, and how much each modality contradicts the label, in place of what was there.

        Args:
            contradiction: (N, M) in [0, 1], see `usability.contradiction`.
        """
        ids = found.sample_ids.astype(object)
        with self._open(write=True) as con:
            for table in ("usability", "guard"):
                delete(con, table, {"run_id": run_id})
            for j, (modality, guard) in enumerate(zip(found.modalities, found.guards, strict=True)):
                key = {"run_id": run_id, "modality": modality}
                columns = {
                    "sample_id": ids,
                    "recognition": np.clip(found.recognition[:, j], 0, 1),
                    "usability": found.usability[:, j],
                    "contradiction": contradiction[:, j],
                }
                if not guard.withheld:
                    columns["p_broken"] = found.p_broken[:, j]
                insert(con, "usability", columns, key)
                con.execute(
                    "INSERT INTO guard VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        *key.values(),
                        guard.found,
                        guard.share,
                        guard.separation,
                        guard.ratio,
                        guard.withheld,
                        guard.verdict,
                    ],
                )
            self._refresh_samples(con)

    def guards(self, run_id: str) -> dict[str, Guard]:
        """{modality: its guard} in declared order; {} where a run was not assessed."""
        with self._open() as con:
            rows = con.execute(
                "SELECT modality, found, share, separation, ratio, withheld FROM guard JOIN run USING (run_id) "
                "WHERE run_id = ? ORDER BY list_position(modalities, modality)",
                [run_id],
            ).fetchall()
        from curate.scores.usability import Guard  # loads scipy, which the other readers can do without

        return {modality: Guard(*values) for modality, *values in rows}

    def verdicts(self, run_id: str) -> list[tuple[str, str, bool, float, float | None]]:
        """(modality, the guard's verdict in words, whether a group was found, separation, ratio) in declared order.

        As in `usability.Guard`, which need not be loaded; [] where a run was not assessed.
        """
        with self._open() as con:
            return con.execute(
                "SELECT modality, verdict, found, separation, ratio FROM guard JOIN run USING (run_id) "
                "WHERE run_id = ? ORDER BY list_position(modalities, modality)",
                [run_id],
            ).fetchall()

    def p_broken(self, run_id: str) -> tuple[NDArray[np.str_], Floats]:
        """(N,) sample ids, ascending, and (N, M) guarded probability of being broken; 0 where nothing may be claimed.

        Raises:
            CurateError: the run was not assessed.
        """
        columns = self._by_modality(run_id, "SELECT sample_id, modality, coalesce(p_broken, 0) AS value FROM usability")
        if columns is None:
            raise CurateError(f"nothing is known of usability in {run_id}", "score again, without score.dynamics=false")
        return columns

    def imbalance(self, run_id: str) -> tuple[NDArray[np.str_], Floats] | None:
        """(N,) sample ids, ascending, and (N,) imbalance, see `usability.some_not_all`; None where it is not known."""
        columns = self._by_modality(run_id, "SELECT sample_id, modality, usability AS value FROM usability")
        if columns is None:
            return None
        from curate.scores.usability import some_not_all

        return columns[0], some_not_all(columns[1])

    def evidence(self, run_id: str) -> tuple[NDArray[np.str_], Floats, Floats] | None:
        """Means over the warm-up's epochs: (N,) ids, ascending, (N, M) p(true class) and (N, M) log margins.

        None where the epochs were not kept.
        """
        known = [
            self._by_modality(run_id, f"SELECT sample_id, modality, avg({what}) AS value FROM dynamic", " GROUP BY ALL")
            for what in ("p_true", "log_margin")
        ]
        if known[0] is None or known[1] is None:
            return None
        return known[0][0], known[0][1], known[1][1]

    def _by_modality(self, run_id: str, sql: str, end: str = "") -> tuple[NDArray[np.str_], Floats] | None:
        """(N,) ids and (N, M) values of a query, modalities in declared order; None where there are none."""
        with self._open() as con:
            found = [
                con.execute(
                    f"{sql} WHERE run_id = ? AND modality = ?{end} ORDER BY sample_id", [run_id, m]
                ).fetchnumpy()
                for m in declared_modalities(con, run_id)
            ]
        if not found or not len(found[0]["sample_id"]) or np.ma.is_masked(found[0]["value"]):
            return None
        return found[0]["sample_id"].astype(str), np.stack([np.asarray(f["value"], dtype=np.float64) for f in found], 1)
