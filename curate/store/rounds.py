"""The results of scoring the training set in the table: predictions, gaps, mixtures, posteriors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import duckdb
import numpy as np
from numpy.typing import NDArray

from curate.blocks import are_ascending, are_unique, take
from curate.errors import CurateError
from curate.types import GapScores, Known, MixtureFit, Predictions, Round, pair_name

from . import arrays, usability, views
from .block import Block
from .connection import Connection, query_text
from .instance import inserting
from .items import Items
from .names import MODALITY, name_hint
from .rows import copy_rows, delete, ranges
from .runs import declared
from .writing import Writing

WHOLE = ("prob_gap", "kl_gap", "p_balanced")
"""What every sample with a gap has of every pair."""


@dataclass(frozen=True)
class Rounds:
    """Rounds of scoring, keyed (run, round, sample): each is written completely or not at all."""

    TABLES: ClassVar[tuple[str, ...]] = ("mixture",)
    """Those with a row a round; the rows of samples are in `item`, see `items`."""

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
        known: tuple[str, NDArray[np.str_] | None] | None = None,
        others: Sequence[Predictions] = (),
        items: Items | None = None,
    ) -> None:
        """Store all results of one scoring of the training set, in one transaction: completely or not at all.

        Existing rows of this round are replaced; its rows stay unique.

        Args:
            predictions: None if another run's predictions were fitted; their rows are then in the table already.
            p_ahead: as in `Round`; stored for the pairs with three components.
            known: (run, ids of other samples): the mixtures are those of this run. They are copied from its round with
                this number, and so are the rows of these samples; with round 0 also their usability. Without ids all of
                its samples belong to this round too, and their rows are not copied.
            others: predictions of samples that lack a modality and therefore have no gap and no posterior, by the
                modalities that they have.
            items: the items of the run's data set, or those that are new in it, which are then written with the round:
                cheaper than before it, by `Samples.write_columns`. Existing ones of these ids must not be there.
        """
        for modality in {m for pair in gaps.pairs for m in pair}:
            if not MODALITY.fullmatch(modality):
                raise CurateError(f"modality {modality!r} cannot name a column", name_hint(modality))
        if not are_unique(gaps.sample_ids):
            raise ValueError("sample_ids are not unique")
        if predictions is not None and not np.array_equal(predictions.sample_ids, gaps.sample_ids):
            raise ValueError("gaps are not of the samples that were predicted")
        key = {"run_id": run_id, "round": number}
        said = [] if predictions is None else [predictions, *others]
        with self.db.open(write=True) as con, views.in_step(con):
            written = Writing(con, run_id, number, said, [pair_name(pair) for pair in gaps.pairs], items)
            delete(con, "mixture", key)
            if known is None:
                for pair, fitted in zip(gaps.pairs, fits, strict=True):
                    _insert_mixture(con, {**key, "pair": pair_name(pair)}, gap_kind, gaps, fitted)
            three = [len(fitted.weights) == 3 for fitted in fits]
            ahead = p_ahead if any(three) else None
            with inserting(con):
                for rows in ranges(len(gaps.sample_ids), written.width):
                    block = Block(gaps.sample_ids[rows].astype(object))
                    block.fitted(gaps, p_balanced, ahead, three, rows)
                    written.put(block, predictions, rows)
                for given in others:
                    for rows in ranges(len(given.sample_ids), written.width):
                        written.put(Block(given.sample_ids[rows].astype(object)), given, rows)
            if known is not None:
                written.take_over(*known)
                copy_rows(con, "mixture", known[0], run_id, " AND round = ?", [number])
                if number == 0:
                    _copy_usability(con, *known, run_id)
            written.end()

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
            found = _columns_of_pairs(con, run_id, number, names, bool(three))
            fits = _read_fits(con, run_id, number, names, config)
        ids = found.pop("sample_id")
        if not are_unique(ids) or not all(
            np.isfinite(found[what][:, j]).all() for what in WHOLE for j in range(len(names))
        ):
            raise CurateError(
                f"round {number} of {run_id} is not whole: some samples lack a gap or a posterior",
                "something else than curate wrote to it; score again",
            )
        pairs = tuple((a, b) for a, b in (name.split("|") for name in names))
        fitted = None if plain else found["fitted"]
        scores = GapScores(ids, pairs, found["prob_gap"], found["kl_gap"], fitted, form, average)
        ahead = np.stack([found["p_first"], found["p_second"]], axis=2) if three else None
        return Round(ids, scores, fits, found["p_balanced"], ahead)

    def fits(self, run_id: str) -> dict[str, MixtureFit]:
        """{pair: its mixture} of round 0, without its samples; {} if there is none."""
        with self.db.open() as con:
            _, config = declared(con, run_id)
            sql = "SELECT DISTINCT pair FROM mixture WHERE run_id = ? AND round = 0 ORDER BY 1"
            names = [p for (p,) in con.execute(sql, [run_id]).fetchall()]
            return dict(zip(names, _read_fits(con, run_id, 0, names, config), strict=True))

    def known(self, run_id: str, number: int = 0) -> Known:
        """Each modality's predictions for the samples with a gap in a round, samples ascending by id.

        Raises:
            CurateError: there are no predictions of that round.
        """
        sql = (
            "SELECT i.sample_id, p.modality, i.p_true[p.k] AS p_true, i.entropy[p.k] AS entropy, "
            "i.correct[p.k] AS correct, i.fold IS NOT NULL AS held_out FROM item i JOIN (SELECT number, "
            "unnest(modalities) AS modality, unnest(range(1, len(modalities) + 1)) AS k FROM part "
            "WHERE run_id = $1 AND round = $2) p ON p.number = i.part "
            "WHERE i.widest IS NOT NULL AND i.p_true[p.k] IS NOT NULL"
        )
        with self.db.open() as con:
            absent = f"run {run_id!r} has no predictions of round {number}"
            return arrays.read_known(con, declared(con, run_id)[0], sql, run_id, number, absent)

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

    def predicted_ids(self, run_id: str) -> NDArray[np.str_]:
        """Ids of the samples that have a prediction in round 0 of a run, by any modality; ascending."""
        sql = (
            "SELECT sample_id FROM item WHERE part IN (SELECT number FROM part WHERE run_id = ? AND round = 0) "
            "AND p_true IS NOT NULL ORDER BY sample_id"
        )
        with self.db.open() as con:
            return arrays.columns(con, sql, [run_id], ["sample_id"])["sample_id"]

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


def _columns_of_pairs(
    con: duckdb.DuckDBPyConnection, run_id: str, number: int, names: Sequence[str], three: bool
) -> dict[str, NDArray[Any]]:
    """{sample_id: (N,), each column of pairs: (N, P)} of the samples of a round with a gap, ascending by id.

    They were usually written in that order, which is only checked here; sorting in the database would take several
    times as long as reading.
    """
    columns = [*WHOLE, "fitted", *(("p_first", "p_second") if three else ())]
    parts = con.execute("SELECT number, pairs FROM part WHERE run_id = ? AND round = ?", [run_id, number]).fetchall()
    found: list[dict[str, NDArray[Any]]] = []
    for part, pairs in parts:
        at = [pairs.index(name) + 1 if name in pairs else 0 for name in names]
        listed = ", ".join(f"{c}[{k}] AS {c}_{j}" for c in columns for j, k in enumerate(at))
        sql = f"SELECT sample_id, {listed} FROM item WHERE part = ? AND widest IS NOT NULL"
        found.append(arrays.columns(con, sql, [part], ("sample_id",)))

    def column(name: str, empty: NDArray[Any]) -> NDArray[Any]:
        own = [f[name] for f in found] or [empty]
        return own[0] if len(own) == 1 else np.concatenate(own)

    ids = column("sample_id", np.empty(0, dtype=np.str_))
    order = np.arange(len(ids)) if are_ascending(ids) else np.argsort(ids)
    numbers = {c: [column(f"{c}_{j}", np.empty(0)) for j in range(len(names))] for c in columns}
    stacked = {c: np.stack([take(own, order) for own in several], axis=1) for c, several in numbers.items()}
    return {"sample_id": take(ids, order), **stacked}


def _copy_usability(
    con: duckdb.DuckDBPyConnection, source: str, sample_ids: NDArray[np.str_] | None, target: str
) -> None:
    if sample_ids is None:
        usability.copy(con, source, target)
        return
    with arrays.placed(con, sample_ids):
        usability.copy(con, source, target, " AND sample_id IN (SELECT sample_id FROM temp.placed)")


def _insert_mixture(
    con: duckdb.DuckDBPyConnection, key: Mapping[str, Any], gap_kind: str, gaps: GapScores, fitted: MixtureFit
) -> None:
    con.executemany(
        f"INSERT INTO mixture VALUES ({', '.join('?' * 20)})",
        [
            [*key.values(), k, gap_kind, gaps.input, gaps.average, *_component(fitted, k)]
            for k in range(len(fitted.weights))
        ],
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
