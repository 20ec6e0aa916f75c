"""What one scoring of the training set leaves in the table: predictions, gaps, mixtures, posteriors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from .database import MODALITY, Database, insert
from .errors import CurateError
from .gap import entropy, true_class_probability
from .types import GapScores, Known, MixtureFit, Predictions, Round, pair_name


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
        p_ahead: NDArray[np.float64] | None = None,
    ) -> None:
        """All that one scoring of the training set found, in one transaction: whole or not at all.

        Args:
            predictions: None when another run's predictions were fitted, whose rows are there already.
            p_ahead: as in `Round`; stored of the pairs with three components.
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
                found = {"sample_id": ids, "prob_gap": gaps.prob[:, j], "kl_gap": gaps.kl[:, j]}
                said = {"sample_id": ids, "p_balanced": p_balanced[:, j], "p_imbalanced": 1 - p_balanced[:, j]}
                if gaps.fitted is not None:
                    found["fitted"] = gaps.fitted[:, j]
                if p_ahead is not None and len(fitted.weights) == 3:
                    said |= {"p_first": p_ahead[:, j, 0], "p_second": p_ahead[:, j, 1]}
                insert(con, "gap", found, name)
                insert(con, "posterior", said, name)
                con.execute("DELETE FROM mixture WHERE run_id = ? AND round = ? AND pair = ?", list(name.values()))
                con.executemany(
                    f"INSERT INTO mixture VALUES ({', '.join('?' * 20)})",
                    [
                        [*name.values(), k, gap_kind, gaps.input, gaps.average, *_component(fitted, k)]
                        for k in range(len(fitted.weights))
                    ],
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
                    "entropy": entropy(probs),
                    "correct": probs.argmax(axis=1) == labels,
                }
                insert(con, "dynamic", columns, {"run_id": run_id, "epoch": epoch, "modality": modality})

    def read_round(self, run_id: str, number: int = 0) -> Round:
        """Gaps, mixtures and posteriors of one round, samples ascending by id."""
        with self._open() as con:
            run = con.execute(
                "SELECT modalities, config->>'$.score.posterior' FROM run WHERE run_id = ?", [run_id]
            ).fetchone()
            seen = con.execute(
                "SELECT pair, max(component), any_value(gap_kind), any_value(input), any_value(average) FROM mixture "
                "WHERE run_id = ? AND round = ? GROUP BY pair",
                [run_id, number],
            ).fetchall()
            names, three = [p for p, *_ in seen], {p for p, last, *_ in seen if last == 2}
            if run is None or not names:
                raise CurateError(f"run {run_id!r} has no round {number}", "see `curate runs`")
            position = {m: i for i, m in enumerate(run[0])}
            names.sort(key=lambda p: [position[m] for m in p.split("|")])
            kind, form, average = seen[0][2:]
            plain = kind in ("prob", "kl") and (form, average) == ("signed", "last")
            columns = [
                con.execute(
                    f"SELECT g.sample_id, g.prob_gap, g.kl_gap, p.p_balanced{'' if plain else ', g.fitted'}"
                    f"{', p.p_first, p.p_second' if name in three else ''} FROM gap g "
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

        def stack(name: str) -> NDArray[np.float64]:
            absent = np.full(len(ids), np.nan)
            return np.stack([np.asarray(col.get(name, absent), dtype=np.float64) for col in columns], axis=1)

        pairs = tuple((a, b) for a, b in (name.split("|") for name in names))
        fitted = None if plain else stack("fitted")
        gaps = GapScores(ids, pairs, stack("prob_gap"), stack("kl_gap"), fitted, form, average)
        ahead = np.stack([stack("p_first"), stack("p_second")], axis=2) if three else None
        return Round(ids, gaps, fits, stack("p_balanced"), ahead)

    def read_known(self, run_id: str, number: int = 0) -> Known:
        """What each modality knew of each sample in a round, samples ascending by id.

        Raises:
            CurateError: there are no predictions of that round.
        """
        sql = (
            "SELECT sample_id, modality, p_true, entropy, correct, fold IS NOT NULL AS held_out FROM prediction "
            "WHERE run_id = ? AND round = ? AND modality <> 'fused'"
        )
        with self._open() as con:
            return _read_known(con, run_id, sql, number, f"run {run_id!r} has no predictions of round {number}")

    def read_dynamics(self, run_id: str) -> Iterator[Known]:
        """What each modality knew of each sample after each epoch of the warm-up, epoch by epoch; none if not kept.

        Entropies that an older curate did not keep are NaN.
        """
        with self._open() as con:
            found = con.execute("SELECT DISTINCT epoch FROM dynamic WHERE run_id = ? ORDER BY 1", [run_id]).fetchall()
        sql = (
            "SELECT sample_id, modality, p_true, entropy, correct, false AS held_out FROM dynamic "
            "WHERE run_id = ? AND epoch = ? AND modality <> 'fused'"
        )
        for (epoch,) in found:
            with self._open() as con:
                known = _read_known(con, run_id, sql, epoch, f"run {run_id!r} has no predictions of epoch {epoch}")
            yield known

    def rounds(self, run_id: str) -> list[int]:
        """The rounds stored for a run, ascending."""
        with self._open() as con:
            rows = con.execute("SELECT DISTINCT round FROM mixture WHERE run_id = ? ORDER BY 1", [run_id]).fetchall()
        return [r for (r,) in rows]


def _read_known(con: duckdb.DuckDBPyConnection, run_id: str, sql: str, number: int, absent: str) -> Known:
    """The rows of a query for one round or epoch as arrays, modalities in declared order."""
    run = con.execute("SELECT modalities FROM run WHERE run_id = ?", [run_id]).fetchone()
    modalities = tuple(run[0]) if run else ()
    columns = [
        con.execute(f"SELECT * FROM ({sql}) WHERE modality = ? ORDER BY sample_id", [run_id, number, m]).fetchnumpy()
        for m in modalities
    ]
    if not columns or not len(columns[0]["sample_id"]):
        raise CurateError(absent, "see `curate runs`")

    def stack(name: str) -> NDArray[np.float64]:
        return np.stack([np.ma.filled(np.ma.asarray(c[name], dtype=np.float64), np.nan) for c in columns], axis=1)

    ids = columns[0]["sample_id"].astype(str)
    held_out = bool(columns[0]["held_out"].all())
    return Known(ids, modalities, stack("p_true"), stack("entropy"), stack("correct") == 1, held_out)


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
                **({} if predictions.in_sample is None else {"in_sample": predictions.in_sample}),
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
