"""The views of the sample table: their columns depend on the modalities that have any predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from types import MappingProxyType

import duckdb

from curate.files.asking import literal
from curate.types import FUSED, Run

from .names import MODALITY

SCORED = """
    SELECT dataset, data_id, run_id, modalities FROM run WHERE /* chosen */ kind = 'score' AND status = 'done'
    QUALIFY row_number() OVER (PARTITION BY dataset ORDER BY started DESC, run_id DESC) = 1
"""
"""The newest scored run of each data set."""
NUMBERED = """
    SELECT name, data_id, data, CASE WHEN place <= 120 THEN 1::HUGEINT << (place - 1)::INTEGER END AS bit FROM (
        SELECT n.name, r.data_id, dense_rank() OVER (ORDER BY r.data_id) AS data,
            row_number() OVER (PARTITION BY r.data_id ORDER BY n.name) AS place
        FROM selection n JOIN run r USING (run_id)
    )
"""
"""The selections, with a bit for each of the first of their data set, by name."""
NAMED = {
    "broken": "p_broken > 0.5",
    "contradicts": "p_swapped > 0.5",
    "rare": "rare",
    "weak": "weak",
    "shortcut": "shortcut",
}
"""Columns of `samples` that name modalities, joined by +, and the condition on `usability` that each is named by."""
STORED = "SELECT DISTINCT unnest(modalities) FROM part WHERE run_id IS NOT NULL ORDER BY 1"


def refresh(con: duckdb.DuckDBPyConnection) -> None:
    """Recreate `samples` and the views on it, with columns for each modality that has any predictions, and one for its
    direction if a mixture of three is stored.
    """
    known, three = _stored(con)
    con.execute(_filled(known, three))
    _comment(con, known, three)


@contextmanager
def in_step(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Refreshes the views at the end if what was written changes their columns; that they keep them is cheap to see."""
    before = _stored(con)
    yield
    if _stored(con) != before:
        refresh(con)


def query_of(con: duckdb.DuckDBPyConnection, run_id: str, more: Mapping[str, str] = MappingProxyType({})) -> str:
    """The query behind the view `samples`, with the numbers of one scored run, whether or not it is the newest.

    Args:
        more: {further column: SQL of it}, of `probabilities_of` and `fitted_of`: what else the rows that are read have,
            which costs much less than to read them again and join them.
    """
    text = _filled(*_stored(con), more).partition(";")[0].partition("AS\n")[2]
    own = f"run_id = {literal(run_id)}"
    chosen = text.replace("/* chosen */", f"{own} AND")
    return f"SELECT * FROM ({chosen}) WHERE {own}"


def probabilities_of(run: Run, modalities: Sequence[str]) -> dict[str, str]:
    """{`probs_<modality>`: class probabilities of round 0, which `query_of` takes}, as in `class_probability`."""
    width = len(run.classes)
    return {
        f"probs_{m}": f"CASE WHEN i.probs[(v.at_{m} - 1) * {width} + 1] IS NOT NULL "
        f"THEN i.probs[(v.at_{m} - 1) * {width} + 1 : v.at_{m} * {width}] END"
        for m in modalities
    }


def fitted_of(con: duckdb.DuckDBPyConnection, run: Run) -> dict[str, str]:
    """{pair: what its mixture was fitted to, which `query_of` takes}, as in `gap`."""
    kept = {"prob": "prob_gap", "kl": "kl_gap"}.get(run.gap_kind or "prob")
    pairs = "SELECT DISTINCT unnest(pairs) FROM part WHERE run_id = ? AND round = 0 ORDER BY 1"
    known = {p: f"list_position(v.pairs, {literal(p)})" for (p,) in con.execute(pairs, [run.run_id]).fetchall()}
    return {p: f"coalesce(i.fitted[{k}], {f'i.{kept}[{k}]' if kept else 'NULL'})" for p, k in known.items()}


def _stored(con: duckdb.DuckDBPyConnection) -> tuple[list[str], bool]:
    """The modalities with any predictions, the fusion too, and whether a mixture of three is stored."""
    known = [m for (m,) in con.execute(STORED).fetchall()]
    three = con.execute("SELECT count(*) > 0 FROM mixture WHERE component = 2").fetchone() == (True,)
    return [m for m in known if MODALITY.fullmatch(m)], three


def _filled(known: Sequence[str], three: bool, more: Mapping[str, str] = MappingProxyType({})) -> str:
    """The text of `samples.sql` with the columns of the modalities."""
    own = [m for m in known if m != FUSED]

    def others(m: str) -> list[str]:
        return [o for o in own if o != m]

    def said(column: str, m: str) -> str:
        return f"i.{column}[v.at_{m}]"

    columns = {
        "scored": [SCORED.strip()],
        "numbered": [NUMBERED.strip()],
        "positions": [f"list_position(p.modalities, '{m}') AS at_{m}, " for m in own]
        + [f"list_position(p.pairs, '{a}|{b}') AS at_{a}__{b}, " for a in own for b in others(a) if three],
        "p_names": [f"{said('p_true', m)} AS p_{m}, " for m in known],
        "any_wrong": [f"coalesce(NOT {said('correct', m)}, false) OR " for m in own],
        "any_right": [f"coalesce({said('correct', m)}, false) OR " for m in own],
        "right_ones": [f"CASE WHEN {said('correct', m)} THEN '{m}' END, " for m in own],
        "lead_names": [
            f"{said('p_true', m)} - greatest({', '.join(said('p_true', o) for o in others(m))}) AS lead_{m}, "
            for m in own
            if others(m)
        ],
        "mean_leads": [f"avg(lead_{m}) AS mean_lead_{m}, " for m in own if others(m)],
        "ahead_columns": [
            f"CASE WHEN count(p_{m}) > 0 THEN avg(coalesce(dominant = '{m}', false)::INTEGER) END AS ahead_{m}, "
            for m in own
        ],
        "ahead_names": [
            "greatest(NULL::DOUBLE"
            + "".join(f", i.p_first[v.at_{m}__{o}], i.p_second[v.at_{o}__{m}]" for o in others(m))
            + f") AS p_ahead_{m}, "
            for m in own
            if three
        ],
        "usability_columns": [
            f"max(usability) FILTER (modality = '{m}') AS usability_{m}, "
            f"max(p_broken) FILTER (modality = '{m}') AS p_broken_{m}, "
            f"max(contradiction) FILTER (modality = '{m}') AS contradiction_{m}, "
            f"max(p_swapped) FILTER (modality = '{m}') AS p_swapped_{m}, "
            for m in own
        ],
        "named": [
            f", CASE WHEN count({so.split()[0]}) > 0 THEN coalesce(string_agg(modality, '+' "
            f"ORDER BY list_position(modalities, modality)) FILTER ({so}), '') END AS {name}"
            for name, so in NAMED.items()
        ],
        "more_names": [f'{sql} AS "{name}", ' for name, sql in more.items()],
        "usability_names": [f"u.usability_{m}, u.p_broken_{m}, u.contradiction_{m}, u.p_swapped_{m}, " for m in own],
    }
    template = resources.files("curate.store").joinpath("samples.sql").read_text(encoding="utf-8")
    for name, parts in columns.items():
        template = template.replace(f"/* {name} */", "".join(parts))
    return template


def _comment(con: duckdb.DuckDBPyConnection, known: Sequence[str], three: bool) -> None:
    """Comments of the columns of the modalities."""
    own = [m for m in known if m != FUSED]
    for m in known:
        what = "the fusion" if m == FUSED else m
        con.execute(f"COMMENT ON COLUMN samples.p_{m} IS 'probability of the true class by {what}, 0..1'")
    for m in own:
        if three:
            what = f"posterior of {m} being ahead, 0..1, the largest over its pairs; NULL for two components"
            con.execute(f"COMMENT ON COLUMN samples.p_ahead_{m} IS '{what}'")
        con.execute(
            f"COMMENT ON COLUMN samples.usability_{m} IS "
            f"'what {m} is worth there, by its look-alikes, 0..1, higher = more usable; NULL = not assessed'"
        )
        con.execute(
            f"COMMENT ON COLUMN samples.p_broken_{m} IS "
            f"'probability that {m} is broken there, 0..1; above 0.5 it is claimed; 0 where no broken group was found, "
            "which does not prove it whole; NULL = not assessed, or nothing may be claimed'"
        )
        con.execute(
            f"COMMENT ON COLUMN samples.contradiction_{m} IS "
            f"'how much {m} denies the label, 0..1; above 0.5 it prefers another class; NULL = not assessed'"
        )
        con.execute(
            f"COMMENT ON COLUMN samples.p_swapped_{m} IS "
            f"'probability that {m} is that of another sample, of another class, 0..1; above 0.5 it is claimed; 0 "
            "where no such group is told apart; NULL = not judged'"
        )
        con.execute(f"COMMENT ON COLUMN by_class.ahead_{m} IS 'share of samples in which {m} is dominant, 0..1'")
        if len(own) > 1:
            lead = f"p(true class) by {m} less that by the best other modality, -1..1; positive = {m} carries"
            con.execute(f"COMMENT ON COLUMN samples.lead_{m} IS '{lead} the sample; may be averaged'")
            con.execute(f"COMMENT ON COLUMN by_class.mean_lead_{m} IS 'mean of {lead} the class'")
