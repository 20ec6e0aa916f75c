"""The page of the sample table, from the comments in the schema."""

from __future__ import annotations

import re
from importlib import resources

import duckdb

from curate.store import beside, views

from .text import code, sentence, table

HEAD = """\
# The sample table

`curate.duckdb` is one DuckDB file. Any DuckDB shell from 1.1 on opens it, with nothing of `curate` installed. Query the
views. The tables below them are where the views come from.

`gap` is p(true class) of the first minus that of the second declared modality, from -1 to 1. Its sign shows which
modality is ahead, its size by how much. A gap near zero can also mean that neither modality recognises the sample;
`quadrant` shows which is the case. With three modalities or more, `gap` is that of the pair with the largest |gap|, and
`pair` names the pair; `lead_<modality>` is a modality's lead over the best of the others, which you may average.
`p_balanced` is that of the least balanced pair; `p_imbalanced` is 1 minus that.

`<modality>` stands for each modality of your data, such as `audio` or `visual`. The meaning, range and direction of a
column are its `COMMENT` in the file, from which this page is made.

<!-- run in: scored -->
```sql
SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'samples';
```

Only `curate` writes the file. Rows of samples are in `item`, one row a sample of a round, with a list where there is a
value for each modality or pair; `sample`, `prediction`, `class_probability`, `gap` and `posterior` show them by names.
They have no index of their key: a round is replaced as a whole. Other tools that write into them must do the same.
`item`, `dynamic` and `usability` are views too: of the rows in the table (`item_here`, `dynamic_here`,
`usability_here`) and of those in [Parquet files beside it](../howto/large-tables.md), if there are any.
"""
SHOWN = "audio"
"""The modality whose columns stand for those of any."""
ORDER = ("samples", "by_class", "by_modality", "failures", "findings", "history", "results")


def page() -> str:
    """Its Markdown."""
    with duckdb.connect(":memory:") as con:
        _make(con)
        tables = con.execute(
            "SELECT table_name, comment FROM duckdb_tables() WHERE NOT ends_with(table_name, '_here') "
            "ORDER BY table_oid"
        ).fetchall()
        seen = con.execute("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall()
        seen.sort(key=lambda row: (ORDER.index(row[0]) if row[0] in ORDER else len(ORDER), row[0]))
        parts = [HEAD, "## Views\n", *(_part(con, *row) for row in seen)]
        return "\n".join([*parts, "## Tables\n", *(_part(con, *row) for row in tables)])


def _make(con: duckdb.DuckDBPyConnection) -> None:
    """The schema, with the columns of two modalities and of a mixture of three."""
    con.execute(resources.files("curate.store").joinpath("schema.sql").read_text(encoding="utf-8"))
    con.execute(
        "INSERT INTO part (number, run_id, round, modalities, pairs, changed) VALUES (1, 'r', 0, ?, [], 1)",
        [[SHOWN, "visual", "fused"]],
    )
    con.execute(
        "INSERT INTO mixture (run_id, round, pair, component, gap_kind, family, weight, loc, scale, is_balanced, rule,"
        "rule_conflict, iterations, converged, outcome, warnings)"
        "VALUES ('r', 0, 'audio|visual', 2, 'prob', 'gaussian', 1, 0, 1, true, '', false, 1, true, 'ok', [])"
    )
    beside.show(con)
    views.refresh(con)


def _part(con: duckdb.DuckDBPyConnection, name: str, comment: str | None) -> str:
    rows = con.execute(
        "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index",
        [name],
    ).fetchall()
    shown = [_general(column, kind, text) for column, kind, text in rows if not re.search(r"_visual$", column)]
    return f"### {name}\n\n{sentence(comment or '')}\n\n" + table(["column", "type", "what it is"], shown)


def _general(column: str, kind: str, comment: str | None) -> list[str]:
    """A row of the page; a column of one modality stands for those of all."""
    text = comment or ""
    if column.endswith(f"_{SHOWN}"):
        column, text = column.replace(SHOWN, "<modality>"), re.sub(rf"\b{SHOWN}\b", "the modality", text)
    return [code(column), code(kind.lower()), text]
