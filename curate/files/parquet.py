"""Parquet files, read by DuckDB in ranges of rows: memory then depends on neither rows nor columns."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.blocks import slices
from curate.errors import CurateError

from .remote import local

if TYPE_CHECKING:
    import duckdb

RANGE = 1 << 17
"""Rows that are read at once: about a row group of most writers."""
COLUMNS = 32
"""Columns of numbers that are read at once."""
NUMBER = "file_row_number"
VECTORS = 32
"""Vectors of 2048 rows that are streamed at once."""
NUMBERS = ("DECIMAL", "DOUBLE", "FLOAT", "HUGEINT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT")
"""How the names of DuckDB's types of numbers begin, without the U of those that are not negative."""


class Parquet:
    """An open Parquet file.

    Columns are read by position, because SQL does not distinguish names that differ in case alone.

    Args:
        con: a connection of its own.
        path: the file.
        file: the same on this machine.
        names: of its columns.
        who: beginning of error messages.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, path: Path, file: Path, names: Sequence[str], who: str) -> None:
        self._con, self.path, self.file, self.who = con, path, file, who
        self._at = {name: f"c{i}" for i, name in enumerate(names)}
        self._whole = any(name.lower() == NUMBER for name in names)  # DuckDB adds a column of that name
        numbered = "" if self._whole else f", {NUMBER} = true"
        self._source = f"FROM read_parquet(?{numbered}) AS t({', '.join(f'c{i}' for i in range(len(names)))})"
        self.rows = int(self._ask(f"SELECT count(*) AS n {self._source}")["n"][0])

    def ranges(self) -> Iterator[slice]:
        """Slices of rows, to be read one after another."""
        return slices(self.rows, max(self.rows, 1) if self._whole else RANGE)

    def texts(self, names: Sequence[str], block: slice) -> list[list[str]]:
        """The cells of some columns in a range, without space around them, '' for an empty one."""
        found = self._read("coalesce({}::VARCHAR, '')", names, block)
        return [[cell.strip() for cell in column.tolist()] for column in found]

    def numbers(self, names: Sequence[str], block: slice) -> list[NDArray[np.float64]]:
        """The cells of some columns in a range, NaN where there is no number; converted by SQL, which rounds no id."""
        found = self._read("coalesce(TRY_CAST({} AS DOUBLE), 'nan'::DOUBLE)", names, block)
        return [np.asarray(column, dtype=np.float64) for column in found]

    def _read(self, what: str, names: Sequence[str], block: slice) -> list[NDArray[Any]]:
        if not names:
            return []
        wanted = ", ".join(f"{what.format(self._at[name])} AS v{i}" for i, name in enumerate(names))
        within = "" if self._whole else f" WHERE {NUMBER} BETWEEN {block.start} AND {block.stop - 1}"
        found = self._ask(f"SELECT {wanted} {self._source}{within}")
        return [found[f"v{i}"] for i in range(len(names))]

    def _ask(self, sql: str) -> dict[str, NDArray[Any]]:
        with _failing(self.path, self.who):
            return self._con.execute(sql, [str(self.file)]).fetchnumpy()


@contextmanager
def opened(path: Path, names: Sequence[str], who: str) -> Iterator[Parquet]:
    """A file whose columns are known, see `column_names`.

    Raises:
        CurateError: it cannot be read.
    """
    import duckdb

    with local(path) as file, duckdb.connect() as con:
        yield Parquet(con, path, file, names, who)


def column_names(path: Path, who: str) -> list[str]:
    """Names of the top-level columns, unchanged.

    Raises:
        CurateError: it is no Parquet file.
    """
    import duckdb

    sql = "SELECT name, coalesce(num_children, 0)::BIGINT AS inner FROM parquet_schema(?)"
    with local(path) as file, _failing(path, who), duckdb.connect() as con:
        found = con.execute(sql, [str(file)]).fetchnumpy()
    names, inside = [], 0
    for name, inner in list(zip(found["name"].tolist(), np.ma.filled(found["inner"], 0).tolist(), strict=True))[1:]:
        if inside == 0:
            names.append(str(name))
        else:
            inside -= 1
        inside += int(inner)
    return names


def column(paths: str | Path | Sequence[str | Path], name: str) -> Callable[[], Iterator[NDArray[np.float64]]]:
    """A column of numbers of Parquet files that memory need not hold, for `fit_mixture`.

    Args:
        paths: files in their order, or patterns such as `scores/*.parquet`, whose files are sorted by name.
        name: of the column. NULL, as in rows without a gap, is left out; NaN is not.

    Returns:
        A function that reads the numbers in portions (n,), the same in each call.

    Raises:
        CurateError: there is no such file, it is not Parquet, it has no such column, or that does not hold numbers.
    """
    import duckdb

    files: list[tuple[Path, str]] = []
    for given in [paths] if isinstance(paths, str | Path) else paths:
        found = sorted(glob.glob(str(given))) if glob.has_magic(str(given)) else [str(given)]
        if not found:
            raise CurateError(f"no file is like {given}", "expected Parquet files, such as 'scores/*.parquet'")
        files += [(Path(path), _source(Path(path), name)) for path in found]

    def read() -> Iterator[NDArray[np.float64]]:
        for path, source in files:
            with _failing(path, ""), duckdb.connect() as con:
                rows = con.execute(f"SELECT x::DOUBLE AS x {source} WHERE x IS NOT NULL", [str(path)])
                while len(portion := rows.fetch_df_chunk(VECTORS)):
                    yield portion["x"].to_numpy()

    return read


def _source(path: Path, name: str) -> str:
    """What follows FROM to read the column `name` as `x`; the file and its column are checked."""
    import duckdb

    names = column_names(path, "")
    if name not in names:
        raise CurateError(f"{path} has no column {name!r}", f"it has {', '.join(names)}")
    columns = ", ".join("x" if n == name else f"c{i}" for i, n in enumerate(names))
    source = f"FROM read_parquet(?) AS t({columns})"
    with _failing(path, ""), duckdb.connect() as con:
        kind = str(con.execute(f"DESCRIBE SELECT x {source}", [str(path)]).fetchall()[0][1])
    if not kind.removeprefix("U").startswith(NUMBERS):
        raise CurateError(f"column {name!r} of {path} holds {kind}", "expected numbers")
    return source


@contextmanager
def _failing(path: Path, who: str) -> Iterator[None]:
    """Turn errors of DuckDB into a `CurateError`."""
    import duckdb

    try:
        yield
    except (duckdb.Error, RuntimeError) as error:
        described = f"{who}{path} cannot be read: {str(error).splitlines()[0]}"
        raise CurateError(described, "expected a Parquet file") from None
