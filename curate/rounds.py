"""What one scoring of the training set leaves in the table: predictions, gaps, mixtures, posteriors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from .database import MODALITY, Database, insert
from .errors import CurateError
from .gap import entropy, true_class_probability
from .types import GapScores, MixtureFit, Predictions, Round, pair_name


class Rounds(Database):
    """Rounds of scoring, keyed (run, round, sample): each written whole or not at all."""

    def write_round(
        self,
        run_id: str,
        number: int,
        predictions: Predictions | None,
        gaps: GapScores,
        fits: Sequence[MixtureFit],
        p_balanced: NDArray[np.float64],
        gap_kind: str,
    ) -> None:
        """All that one scoring of the training set found, in one transaction: whole or not at all.

        Args:
            predictions: None when another run's predictions were fitted, whose rows are there already.
        """
        for modality in {m for pair in gaps.pairs for m in pair}:
            if not MODALITY.fullmatch(modality):
                raise CurateError(f"modality {modality!r} cannot name a column", "use lower-case letters, digits and _")
        key = {"run_id": run_id, "round": number}
        ids = gaps.sample_ids
        with self._open(write=True) as con:
            if predictions is not None:
                _insert_predictions(con, predictions, key)
            for j, (pair, fitted) in enumerate(zip(gaps.pairs, fits, strict=True)):
                name = {**key, "pair": pair_name(pair)}
                insert(con, "gap", {"sample_id": ids, "prob_gap": gaps.prob[:, j], "kl_gap": gaps.kl[:, j]}, name)
                insert(
                    con,
                    "posterior",
                    {"sample_id": ids, "p_balanced": p_balanced[:, j], "p_imbalanced": 1 - p_balanced[:, j]},
                    name,
                )
                con.execute("DELETE FROM mixture WHERE run_id = ? AND round = ? AND pair = ?", list(name.values()))
                con.executemany(
                    f"INSERT INTO mixture VALUES ({', '.join('?' * 18)})",
                    [[*name.values(), k, gap_kind, *_component(fitted, k)] for k in range(len(fitted.weights))],
                )
            self._refresh_samples(con)

    def write_dynamic(self, run_id: str, epoch: int, predictions: Predictions) -> None:
        """What each modality and the fusion said of the training samples after an epoch of the warm-up."""
        labels = predictions.labels
        with self._open(write=True) as con:
            for modality, probs in predictions.probs.items():
                p_true = np.clip(true_class_probability(probs, labels), 0, 1)
                columns = {
                    "sample_id": predictions.sample_ids,
                    "p_true": p_true,
                    "correct": probs.argmax(axis=1) == labels,
                }
                insert(con, "dynamic", columns, {"run_id": run_id, "epoch": epoch, "modality": modality})

    def read_round(self, run_id: str, number: int = 0) -> Round:
        """Gaps, mixtures and posteriors of one round, samples ascending by id."""
        with self._open() as con:
            run = con.execute(
                "SELECT modalities, config->>'$.score.posterior' FROM run WHERE run_id = ?", [run_id]
            ).fetchone()
            names = [
                p
                for (p,) in con.execute(
                    "SELECT DISTINCT pair FROM mixture WHERE run_id = ? AND round = ?", [run_id, number]
                ).fetchall()
            ]
            if run is None or not names:
                raise CurateError(f"run {run_id!r} has no round {number}", "see `curate runs`")
            position = {m: i for i, m in enumerate(run[0])}
            names.sort(key=lambda p: [position[m] for m in p.split("|")])
            columns = [
                con.execute(
                    "SELECT g.sample_id, g.prob_gap, g.kl_gap, p.p_balanced FROM gap g "
                    "JOIN posterior p USING (run_id, round, sample_id, pair) "
                    "WHERE g.run_id = ? AND g.round = ? AND g.pair = ? ORDER BY g.sample_id",
                    [run_id, number, name],
                ).fetchnumpy()
                for name in names
            ]
            fits = tuple(_read_fit(con, run_id, number, name) for name in names)
            if run[1] == "monotone":
                from .mixture import monotone_limits  # loads scipy, which the other readers can do without

                fits = tuple(replace(f, limits=monotone_limits(f)) for f in fits)
        ids = columns[0]["sample_id"].astype(str)
        stack = {
            c: np.stack([np.asarray(col[c], dtype=np.float64) for col in columns], axis=1)
            for c in ("prob_gap", "kl_gap", "p_balanced")
        }
        pairs = tuple((a, b) for a, b in (name.split("|") for name in names))
        return Round(ids, GapScores(ids, pairs, stack["prob_gap"], stack["kl_gap"]), fits, stack["p_balanced"])

    def rounds(self, run_id: str) -> list[int]:
        """The rounds stored for a run, ascending."""
        with self._open() as con:
            rows = con.execute("SELECT DISTINCT round FROM mixture WHERE run_id = ? ORDER BY 1", [run_id]).fetchall()
        return [r for (r,) in rows]


def _insert_predictions(con: duckdb.DuckDBPyConnection, predictions: Predictions, key: Mapping[str, Any]) -> None:
    classes, labels = np.array(predictions.classes), predictions.labels
    held_out = {} if predictions.fold is None else {"fold": predictions.fold.astype(np.int32)}
    for modality, probs in predictions.probs.items():
        predicted = probs.argmax(axis=1)
        insert(
            con,
            "prediction",
            {
                "sample_id": predictions.sample_ids,
                "modality": modality,
                "p_true": np.clip(true_class_probability(probs, labels), 0, 1),
                "p_max": np.clip(probs.max(axis=1), 0, 1),
                "entropy": entropy(probs),
                "predicted": classes[predicted],
                "correct": predicted == labels,
                **held_out,
            },
            key,
        )


def _component(fitted: MixtureFit, k: int) -> list[Any]:
    dof = float(fitted.dofs[k])
    return [
        fitted.family,
        float(fitted.weights[k]),
        float(fitted.locs[k]),
        float(fitted.scales[k]),
        dof if np.isfinite(dof) else None,
        k == fitted.balanced,
        fitted.rule,
        fitted.rule_conflict,
        fitted.log_likelihoods[-1] if fitted.log_likelihoods else None,
        max(len(fitted.log_likelihoods) - 1, 0),
        fitted.converged,
        fitted.outcome,
        list(fitted.warnings),
    ]


def _read_fit(con: duckdb.DuckDBPyConnection, run_id: str, number: int, pair: str) -> MixtureFit:
    rows = con.execute(
        "SELECT family, weight, loc, scale, dof, is_balanced, rule, rule_conflict, log_likelihood, converged, outcome, "
        "warnings FROM mixture WHERE run_id = ? AND round = ? AND pair = ? ORDER BY component",
        [run_id, number, pair],
    ).fetchall()
    weights, locs, scales = (np.array([r[i] for r in rows]) for i in (1, 2, 3))
    dofs = np.array([np.inf if r[4] is None else r[4] for r in rows])
    head = rows[0]
    return MixtureFit(
        head[0],
        weights,
        locs,
        scales,
        dofs,
        [r[5] for r in rows].index(True),
        head[6],
        rule_conflict=head[7],
        log_likelihoods=() if head[8] is None else (head[8],),
        converged=head[9],
        outcome=head[10],
        warnings=tuple(head[11]),
    )
