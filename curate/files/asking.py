"""What all questions to DuckDB about files share: names in SQL, and its errors as those of the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.errors import CurateError, first_line


def quoted(name: str) -> str:
    """A column's name in SQL."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def literal(text: str) -> str:
    """A text in SQL."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


@contextmanager
def reading(path: Path, who: str = "") -> Iterator[None]:
    """Turns errors of DuckDB into a `CurateError`, but for a Ctrl-C, which stays one.

    Args:
        path: the Parquet file that is read.
        who: beginning of the message.
    """
    import duckdb

    try:
        yield
    except (duckdb.Error, RuntimeError) as error:
        if isinstance(error, duckdb.InterruptException) or str(error) == "Query interrupted":
            raise KeyboardInterrupt from None
        described = f"{who}{path} cannot be read: {first_line(error)}"
        raise CurateError(described, "expected a Parquet file that may be read") from None


def condition(where: str) -> str:
    """A user's condition in brackets; a comment in it ends before the closing one."""
    return f"({where}\n)"
