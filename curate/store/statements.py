"""A user's own SQL: what it may be, and DuckDB's errors for it."""

from __future__ import annotations

import duckdb

from curate.errors import CurateError

from .instance import statements

VIEWS = "samples, by_class, by_modality, failures, findings, history, dynamics, gap_dynamics and results"


def check_statement(sql: str, otherwise: str = "") -> None:
    """Check that there is exactly one statement, and that it is a SELECT, if something must be done otherwise."""
    try:
        sql.encode()
        found = statements(sql)
    except UnicodeEncodeError:
        raise CurateError("the SQL is no text in UTF-8", "give one SELECT") from None
    except duckdb.Error as error:
        raise sql_error(error) from None
    if not found:
        raise CurateError(
            "expected one SQL statement, there is none", "give one SELECT, e.g. SELECT * FROM samples LIMIT 5"
        )
    if len(found) != 1:
        raise CurateError("expected one SQL statement", "send several one after another")
    try:
        kind = found[0].type
    except ValueError:  # one that DuckDB's Python has no name for
        kind = None
    # A statement that may read a folder may also COPY to it, even within an EXPLAIN.
    if otherwise and kind != duckdb.StatementType.SELECT:
        raise CurateError("with files at hand only a SELECT is run", otherwise)


def sql_error(error: Exception, files: bool = False) -> CurateError:
    """DuckDB's error for a user's SQL, or for a value that Python cannot represent, as a `CurateError`."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if isinstance(error, duckdb.PermissionException):
        asked = "files are read, not written, and those of this machine alone"
        alone = "only the table is read; `curate sql --allow-files` lets a SELECT read other files"
        return CurateError(lines[0], asked if files else alone)
    return CurateError(lines[0], lines[1] if len(lines) > 1 else f"the views are {VIEWS}")
