"""Parquet files, read by DuckDB in ranges of rows: memory then depends on neither rows nor columns."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.arguments import FILE, need
from curate.blocks import slices
from curate.errors import CurateError

from .asking import reading
from .remote import local, located

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

    def kinds(self) -> dict[str, str]:
        """{column: its type in DuckDB}."""
        found = self._ask(f"DESCRIBE SELECT {', '.join(self._at.values())} {self._source}")
        return dict(zip(self._at, map(str, found["column_type"]), strict=True))

    def stream(self, name: str) -> Iterator[NDArray[np.float64]]:
        """The numbers of a column in portions, one after another; NULL is left out."""
        at = self._at[name]
        with reading(self.path, self.who):
            rows = self._con.execute(
                f"SELECT {at}::DOUBLE AS x {self._source} WHERE {at} IS NOT NULL", [str(self.file)]
            )
            while len(portion := rows.fetch_df_chunk(VECTORS)):
                yield portion["x"].to_numpy()

    def metadata(self, key: str) -> bytes:
        """What the file says of itself under a key; b'' for nothing."""
        found = self._ask(f"SELECT value FROM parquet_kv_metadata(?) WHERE key = '{key}'::BLOB")["value"]
        return bytes(found[0]) if len(found) else b""

    def _read(self, what: str, names: Sequence[str], block: slice) -> list[NDArray[Any]]:
        if not names:
            return []
        wanted = ", ".join(f"{what.format(self._at[name])} AS v{i}" for i, name in enumerate(names))
        within = "" if self._whole else f" WHERE {NUMBER} BETWEEN {block.start} AND {block.stop - 1}"
        found = self._ask(f"SELECT {wanted} {self._source}{within}")
        return [found[f"v{i}"] for i in range(len(names))]

    def _ask(self, sql: str) -> dict[str, NDArray[Any]]:
        with reading(self.path, self.who):
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
    with local(path) as file, reading(path, who), duckdb.connect() as con:
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
        paths: files in their order, or patterns such as `scores/*.parquet`, whose files on this machine are sorted by
            name; what exists under its very name is no pattern.
        name: of the column. NULL, as in rows without a gap, is left out; NaN is not.

    Returns:
        A function that reads the numbers in portions (n,), the same in each call.

    Raises:
        CurateError: there is no such file, it is not Parquet, it has no such column, or that does not hold numbers.
        ValueError: the paths are no names of files, or none are given.
    """
    need("name", name, str)
    need("paths", paths, *FILE, Iterable)
    wanted = [paths] if isinstance(paths, FILE) else list(paths)
    for one in wanted:
        need("each of paths", one, *FILE)
    if not wanted:
        raise ValueError("paths is empty, expected one or more Parquet files")
    files: list[tuple[Path, list[str]]] = []
    for given in wanted:
        is_name = not glob.has_magic(str(given)) or located(given).exists()
        found = [given] if is_name else sorted(glob.glob(str(given)))
        if not found:
            raise CurateError(f"no file is like {given}", "expected Parquet files, such as 'scores/*.parquet'")
        files += [(path := located(one), column_names(path, "")) for one in found]
    for path, names in files:
        with opened(path, names, "") as file:
            kind = file.kinds().get(name)
        if kind is None:
            raise CurateError(f"{path} has no column {name!r}", f"it has {', '.join(names)}")
        if not kind.removeprefix("U").startswith(NUMBERS):
            raise CurateError(f"column {name!r} of {path} holds {kind}", "expected numbers")

    def read() -> Iterator[NDArray[np.float64]]:
        for path, names in files:
            with opened(path, names, "") as file:
                yield from file.stream(name)

    return read
