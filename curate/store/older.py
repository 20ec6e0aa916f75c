"""Rows of the tables that a file had a row a sample and modality in, before schema version 7, as rows of `item`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import duckdb

from curate.files.asking import literal

from .items import FACTS, begin, complete, of_data

BY_NAME = ("sample", "prediction", "class_probability", "gap", "posterior")
"""Tables then, views now, with the same columns."""


def convert(con: duckdb.DuckDBPyConnection, old: str, tables: Collection[str]) -> None:
    """Copy the rows of the tables of an older file to the current tables of the database in use.

    Args:
        old: name of the database of the older file; its table `run` is read too.
        tables: those of `BY_NAME` that it has.
    """
    # A column, or a table, that is not there yet is NULL.
    source = {
        name: f'(FROM "{old}".main."{name}" UNION ALL BY NAME FROM {name} WHERE false)' if name in tables else name
        for name in BY_NAME
    }
    data = f'SELECT data_id FROM "{old}".main.sample GROUP BY 1 ORDER BY max(rowid)'
    for (data_id,) in con.execute(data).fetchall() if "sample" in tables else ():
        number = begin(con, data_id)
        con.execute(
            f"INSERT INTO item_here BY NAME SELECT {number} AS part, * EXCLUDE (data_id) FROM {source['sample']} "
            "WHERE data_id = ? ORDER BY sample_id",
            [data_id],
        )
    keys = " UNION ".join(f"SELECT run_id, round FROM {source[name]}" for name in BY_NAME[1:])
    runs = f'SELECT run_id, data_id, kind, modalities FROM "{old}".main.run'
    for row in con.execute(f"SELECT * FROM ({keys}) LEFT JOIN ({runs}) USING (run_id) ORDER BY ALL").fetchall():
        _convert_round(con, source, *row)


def _convert_round(
    con: duckdb.DuckDBPyConnection,
    source: dict[str, str],
    run_id: str,
    round_: int,
    data_id: str | None,
    kind: str | None,
    declared: list[str] | None,
) -> None:
    key = {"run": run_id, "round": round_}
    rows = {name: f"(FROM {source[name]} WHERE run_id = $run AND round = $round)" for name in BY_NAME[1:]}

    def distinct(what: str, *names: str) -> list[str]:
        every = " UNION ".join(f"SELECT {what} FROM {rows[name]}" for name in names)
        return [v for (v,) in con.execute(f"{every} ORDER BY 1", key).fetchall()]

    position = {m: i for i, m in enumerate(declared or [])}
    modalities = distinct("modality", "prediction", "class_probability")
    modalities.sort(key=lambda m: (m == "fused", position.get(m, len(position))))
    pairs = distinct("pair", "gap", "posterior")
    pairs.sort(key=lambda p: [position.get(m, len(position)) for m in p.split("|")])
    number = begin(con, data_id, run_id, round_, modalities, pairs)

    width = con.execute(f"SELECT max(len(probs)) FROM {rows['class_probability']}", key).fetchall()[0][0] or 0
    asked = _asked(rows, modalities, pairs, width)
    shown = round_ == 0 and kind == "score" and data_id is not None
    if shown:
        data = ", ".join(map(str, of_data(con, str(data_id)))) or "NULL"
        asked.append(f"SELECT sample_id, {', '.join(FACTS)} FROM item WHERE part IN ({data})")
    ids = " UNION ".join(f"SELECT sample_id FROM {rows[name]}" for name in BY_NAME[1:])
    joined = "".join(f" LEFT JOIN ({query}) USING (sample_id)" for query in asked)
    con.execute(
        f"INSERT INTO item_here BY NAME SELECT {number} AS part, * FROM ({ids}){joined} ORDER BY sample_id",
        key,
    )
    if shown:
        complete(con, run_id, str(data_id))


def _asked(rows: Mapping[str, str], modalities: Sequence[str], pairs: Sequence[str], width: int) -> list[str]:
    """Queries of one row a sample, in the columns of `item`, of the rows of each older table."""
    said = {"p_true": "DOUBLE", "p_max": "DOUBLE", "entropy": "DOUBLE", "predicted": "VARCHAR", "correct": "BOOLEAN"}
    listed = _lists("modality", modalities, said)
    every = ", ".join(
        f"coalesce(any_value(probs) FILTER (modality = {literal(m)}), list_resize([]::FLOAT[], {width}))"
        for m in modalities
    )
    gaps = _lists("pair", pairs, {"prob_gap": "DOUBLE", "kl_gap": "DOUBLE", "fitted": "DOUBLE"})
    sizes = ", ".join(f"any_value(abs(prob_gap)) FILTER (pair = {literal(p)})" for p in pairs)
    widest = f"list_position([{sizes}], max(abs(prob_gap))) AS widest"
    posteriors = _lists("pair", pairs, {"p_balanced": "DOUBLE", "p_first": "DOUBLE", "p_second": "DOUBLE"})
    return [
        f"SELECT sample_id, {listed}, bool_and(in_sample) AS in_sample, any_value(fold) AS fold "
        f"FROM {rows['prediction']} GROUP BY 1",
        f"SELECT sample_id, flatten([{every}]) AS probs FROM {rows['class_probability']} GROUP BY 1",
        f"SELECT sample_id, {gaps}, {widest} FROM {rows['gap']} GROUP BY 1",
        f"SELECT sample_id, {posteriors} FROM {rows['posterior']} GROUP BY 1",
    ]


def _lists(what: str, names: Sequence[str], columns: Mapping[str, str]) -> str:
    """SQL for {column: type} as lists with an element for each name; NULL where no row has a value."""
    return ", ".join(
        f"CASE WHEN count({c}) > 0 "
        f"THEN [{', '.join(f'any_value({c}) FILTER ({what} = {literal(n)})' for n in names)}]::{kind}[] END AS {c}"
        for c, kind in columns.items()
    )
