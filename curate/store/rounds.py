"""The results of scoring the training set in the table: predictions, gaps, mixtures, posteriors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import duckdb
import numpy as np
from numpy.typing import NDArray

from curate.blocks import by_row, release
from curate.errors import CurateError
from curate.scores.gap import entropy, true_class_probability
from curate.types import MODALITY, GapScores, Known, MixtureFit, Predictions, Round, are_unique, pair_name

from . import usability, views
from .arrays import read_known
from .connection import Connection, query_text
from .rows import copy_rows, delete, insert, insert_lists, ranges
from .runs import declared

COPIED = "sample_id IN (FROM copied)"
"""An SQL condition; valid while the ids to be copied are registered as `copied`."""


@dataclass(frozen=True)
class Rounds:
    """Rounds of scoring, keyed (run, round, sample): each is written completely or not at all."""

    TABLES: ClassVar[tuple[str, ...]] = ("prediction", "class_probability", "gap", "mixture", "posterior")

    db: Connection

    def write(
        self,
        run_id: str,
        number: int,
        predictions: Predictions | None,
        gaps: GapScores,
        fits: Sequence[MixtureFit],
        p_balanced: NDArray[np.float64],
        gap_kind: str,
        p_ahead: NDArray[np.float64] | None = None,
        known: tuple[str, NDArray[np.str_]] | None = None,
        others: Sequence[Predictions] = (),
    ) -> None:
        """Store all results of one scoring of the training set, in one transaction: completely or not at all.

        Existing rows of this round are replaced; its rows stay unique.

        Args:
            predictions: None if another run's predictions were fitted; their rows are then in the table already.
            p_ahead: as in `Round`; stored for the pairs with three components.
            known: (run, ids of other samples): the mixtures are those of this run. They are copied from its round with
                this number, and so are the rows of these samples; with round 0 also their usability.
            others: predictions of samples that lack a modality and therefore have no gap and no posterior, by the
                modalities that they have.
        """
        for modality in {m for pair in gaps.pairs for m in pair}:
            if not MODALITY.fullmatch(modality):
                raise CurateError(f"modality {modality!r} cannot name a column", "use lower-case letters, digits and _")
        if not are_unique(gaps.sample_ids):
            raise ValueError("sample_ids are not unique")
        key = {"run_id": run_id, "round": number}
        with self.db.open(write=True) as con:
            for name in self.TABLES if predictions is not None else ("gap", "posterior", "mixture"):
                delete(con, name, key)
            if predictions is not None:
                for given in (predictions, *others):
                    _insert_predictions(con, given, key)
            for j, (pair, fitted) in enumerate(zip(gaps.pairs, fits, strict=True)):
                of_pair = {**key, "pair": pair_name(pair)}
                found = {"prob_gap": gaps.prob[:, j], "kl_gap": gaps.kl[:, j]}
                said = {"p_balanced": p_balanced[:, j], "p_imbalanced": 1 - p_balanced[:, j]}
                if gaps.fitted is not None:
                    found["fitted"] = gaps.fitted[:, j]
                if p_ahead is not None and len(fitted.weights) == 3:
                    said |= {"p_first": p_ahead[:, j, 0], "p_second": p_ahead[:, j, 1]}
                _insert_gaps(con, {"gap": found, "posterior": said}, gaps.sample_ids, of_pair)
                if known is not None:
                    continue
                con.executemany(
                    f"INSERT INTO mixture VALUES ({', '.join('?' * 20)})",
                    [
                        [*of_pair.values(), k, gap_kind, gaps.input, gaps.average, *_component(fitted, k)]
                        for k in range(len(fitted.weights))
                    ],
                )
            if known is not None:
                _copy_rows(con, *known, key)
            views.refresh(con)

    def read(self, run_id: str, number: int = 0) -> Round:
        """Gaps, mixtures and posteriors of one round, samples ascending by id."""
        with self.db.open() as con:
            modalities, config = declared(con, run_id)
            seen = con.execute(
                "SELECT pair, max(component), any_value(gap_kind), any_value(input), any_value(average) FROM mixture "
                "WHERE run_id = ? AND round = ? GROUP BY pair",
                [run_id, number],
            ).fetchall()
            names, three = [p for p, *_ in seen], {p for p, last, *_ in seen if last == 2}
            if not modalities or not names:
                raise CurateError(f"run {run_id!r} has no round {number}", "see `curate runs`")
            position = {m: i for i, m in enumerate(modalities)}
            names.sort(key=lambda p: [position[m] for m in p.split("|")])
            kind, form, average = seen[0][2:]
            plain = kind in ("prob", "kl") and (form, average) == ("signed", "last")
            seen_by = "prob_gap, kl_gap" if plain else "prob_gap, kl_gap, fitted"
            said = {name: "p_balanced, p_first, p_second" if name in three else "p_balanced" for name in names}
            gaps = [_column_arrays(con, "gap", seen_by, run_id, number, name) for name in names]
            posteriors = [_column_arrays(con, "posterior", said[name], run_id, number, name) for name in names]
            fits = _read_fits(con, run_id, number, names, config)
        ids = gaps[0]["sample_id"]
        if not (are_unique(ids) and all(np.array_equal(ids, other["sample_id"]) for other in (*gaps, *posteriors))):
            raise CurateError(
                f"round {number} of {run_id} is not whole: its tables hold different samples",
                "something else than curate wrote to it; score again",
            )

        def stack(found: list[dict[str, NDArray[Any]]], name: str) -> NDArray[np.float64]:
            return np.stack([columns.get(name, np.full(len(ids), np.nan)) for columns in found], axis=1)

        pairs = tuple((a, b) for a, b in (name.split("|") for name in names))
        fitted = None if plain else stack(gaps, "fitted")
        scores = GapScores(ids, pairs, stack(gaps, "prob_gap"), stack(gaps, "kl_gap"), fitted, form, average)
        ahead = np.stack([stack(posteriors, "p_first"), stack(posteriors, "p_second")], axis=2) if three else None
        return Round(ids, scores, fits, stack(posteriors, "p_balanced"), ahead)

    def fits(self, run_id: str, number: int = 0) -> dict[str, MixtureFit]:
        """{pair: its mixture} of one round, without its samples; {} if there is none."""
        with self.db.open() as con:
            _, config = declared(con, run_id)
            sql = "SELECT DISTINCT pair FROM mixture WHERE run_id = ? AND round = ? ORDER BY 1"
            names = [p for (p,) in con.execute(sql, [run_id, number]).fetchall()]
            return dict(zip(names, _read_fits(con, run_id, number, names, config), strict=True))

    def known(self, run_id: str, number: int = 0) -> Known:
        """Each modality's predictions for the samples with a gap in a round, samples ascending by id.

        Raises:
            CurateError: there are no predictions of that round.
        """
        sql = (
            "SELECT sample_id, modality, p_true, entropy, correct, fold IS NOT NULL AS held_out FROM prediction "
            "WHERE run_id = $1 AND round = $2 AND modality <> 'fused' "
            "AND sample_id IN (SELECT sample_id FROM gap WHERE run_id = $1 AND round = $2)"
        )
        with self.db.open() as con:
            absent = f"run {run_id!r} has no predictions of round {number}"
            return read_known(con, declared(con, run_id)[0], sql, run_id, number, absent)

    def probabilities(self, run_id: str) -> tuple[NDArray[np.str_], dict[str, NDArray[np.float32]]]:
        """(N,) ids, ascending, and {modality, or fused: (N, K) class probabilities} of round 0, in the order of
        `Run.classes`; a row is NaN where a sample lacks the modality.

        Raises:
            CurateError: none are stored, as of runs of older versions.
        """
        query = "SELECT sample_id, probs FROM class_probability WHERE run_id = ? AND round = 0 AND modality = ?"
        with self.db.open() as con:
            names = "SELECT DISTINCT modality FROM class_probability WHERE run_id = ? AND round = 0 ORDER BY 1"
            modalities = [m for (m,) in con.execute(names, [run_id]).fetchall()]
            found = {m: con.execute(query, [run_id, m]).fetchnumpy() for m in modalities}
        if not found:
            raise CurateError(f"no class probabilities of {run_id} are stored", "score again: `curate score`")
        ids = np.unique(np.concatenate([part["sample_id"].astype(str) for part in found.values()]))
        classes = len(next(iter(found.values()))["probs"][0])
        out = {m: np.full((len(ids), classes), np.nan, dtype=np.float32) for m in modalities}
        for m, part in found.items():
            out[m][np.searchsorted(ids, part["sample_id"].astype(str))] = np.stack(list(part["probs"]))
        return ids, out

    def labels(self, run_id: str) -> dict[str, str]:
        """{sample_id: class name} of the samples that round 0 of a run scored."""
        with self.db.open() as con:
            rows = con.execute(query_text("scored_labels"), {"run": run_id}).fetchall()
        return dict(rows)

    def predicted_ids(self, run_id: str) -> list[str]:
        """Ids of the samples that have a prediction in round 0 of a run, by any modality."""
        with self.db.open() as con:
            rows = con.execute("SELECT DISTINCT sample_id FROM prediction WHERE run_id = ? AND round = 0", [run_id])
            return [i for (i,) in rows.fetchall()]

    def numbers(self, run_id: str) -> list[int]:
        """The rounds stored for a run, ascending."""
        with self.db.open() as con:
            rows = con.execute("SELECT DISTINCT round FROM mixture WHERE run_id = ? ORDER BY 1", [run_id]).fetchall()
        return [r for (r,) in rows]

    def mixture_rows(self, run_id: str) -> list[tuple[str, str]]:
        """The fitted mixtures of a run as (what, value) lines, by round."""
        with self.db.open() as con:
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


def _copy_rows(
    con: duckdb.DuckDBPyConnection, source: str, sample_ids: NDArray[np.str_], key: Mapping[str, Any]
) -> None:
    """Copy a run's mixtures, and its rows of these samples, of a round to the same round of another run.

    With round 0 their usability, which has no round, is copied too.
    """
    con.register("copied", {"sample_id": sample_ids.astype(object)})
    for table in Rounds.TABLES:
        of_samples = "" if table == "mixture" else f" AND {COPIED}"
        copy_rows(con, table, source, key["run_id"], " AND round = ?" + of_samples, [key["round"]])
    if key["round"] == 0:
        usability.copy(con, source, key["run_id"], f" AND {COPIED}")
    con.unregister("copied")


def _column_arrays(
    con: duckdb.DuckDBPyConnection, table: str, columns: str, run_id: str, number: int, pair: str
) -> dict[str, NDArray[Any]]:
    """Columns of a round's rows of one pair, ascending by `sample_id`.

    They were usually written in that order, which is only checked here; sorting in the database would take several
    times as long as reading.
    """
    found = con.execute(
        f"SELECT sample_id, {columns} FROM {table} WHERE run_id = ? AND round = ? AND pair = ?", [run_id, number, pair]
    ).fetchnumpy()
    ids = np.asarray(found.pop("sample_id"), dtype=np.str_)
    order = slice(None) if (ids[1:] > ids[:-1]).all() else np.argsort(ids)
    return {"sample_id": ids[order], **{k: np.asarray(v, dtype=np.float64)[order] for k, v in found.items()}}


def _insert_gaps(
    con: duckdb.DuckDBPyConnection,
    tables: Mapping[str, Mapping[str, NDArray[Any]]],
    sample_ids: NDArray[np.str_],
    key: Mapping[str, Any],
) -> None:
    """Insert (N,) columns of one pair into several tables, a range of samples after another."""
    for block in ranges(len(sample_ids)):
        ids = sample_ids[block].astype(object)  # once for all tables
        for table, columns in tables.items():
            insert(con, table, {"sample_id": ids, **{k: v[block] for k, v in columns.items()}}, key)


def _insert_predictions(con: duckdb.DuckDBPyConnection, predictions: Predictions, key: Mapping[str, Any]) -> None:
    """Insert what each modality said, a range of samples after another."""
    names = list(predictions.classes)
    for modality, every in predictions.probs.items():
        for block in ranges(*every.shape):
            probs, labels = np.asarray(every[block]), predictions.labels[block]
            predicted = probs.argmax(axis=1)
            columns = {
                "sample_id": predictions.sample_ids[block].astype(object),
                "p_true": np.clip(true_class_probability(probs, labels), 0, 1),
                "p_max": np.clip(probs.max(axis=1), 0, 1),
                "entropy": by_row(entropy, probs),
                "predicted": predicted + 1,
                "correct": predicted == labels,
            }
            for name, more in (("fold", predictions.fold), ("in_sample", predictions.in_sample)):
                if more is not None:
                    columns[name] = more[block]
            own = {**key, "modality": modality}
            insert(con, "prediction", columns, own, expressions={"predicted": ("list_extract(?, predicted)", [names])})
            if key["round"] == 0:
                insert_lists(con, "class_probability", "probs", columns["sample_id"], probs, own)
            release(every)


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


def _read_fits(
    con: duckdb.DuckDBPyConnection, run_id: str, number: int, names: Sequence[str], config: Mapping[str, Any]
) -> tuple[MixtureFit, ...]:
    """The mixtures of some pairs, with the limits of their posterior."""
    fits = tuple(_read_fit(con, run_id, number, name) for name in names)
    if config.get("score", {}).get("posterior") != "monotone":
        return fits
    from curate.scores.posteriors import monotone_limits

    return tuple(replace(f, limits=monotone_limits(f)) for f in fits)


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
