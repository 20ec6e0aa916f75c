"""Tables in files, CSV or Parquet: used for manifests, saved predictions, and ids of features.

A table is read by these rules; otherwise an error names file, line, column and what to do:

- Text is UTF-8, with or without byte order mark, or UTF-16 or UTF-32. Cells are separated by commas, semicolons, tabs
  or bars, as found in the header or given by a first line such as `sep=;`. Lines that start with `#` above the header,
  and empty ones, are skipped.
- Column names may differ from the expected ones in case, and may have spaces for underscores. Two columns with the same
  name are an error, and so is pandas' copy of a column, `label.1` beside `label`.
- Space around a cell is not part of it. A cell is empty if it contains nothing; in a column of numbers also if it is a
  word for a missing value, see `MISSING_WORDS`. Numbers may have a decimal comma, in the whole table, if the comma does
  not separate cells.
- Ids are stored unchanged. Labels, class names and column names are compared in Unicode's composed form (NFC).

Letters: N rows, C columns of numbers.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.blocks import Growing, release, scratch
from curate.errors import CurateError, counted

from . import parquet
from .headers import SEPARATORS, _not_text, _text_header
from .names import known_name

MISSING_WORDS = frozenset(
    {"", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "nil", "?", "-", "--", "#na", "-nan", "(null)"}
)
"""Words for a missing value that other programs write, in lower case."""
PARQUET = (".parquet", ".pq")
SYNONYMS = {
    "sample_id": ("id", "sampleid", "sample", "uid", "guid", "name", "file", "filename", "path", "index", "key"),
    "label": ("labels", "class", "category", "target", "y", "gold", "class_name", "label_name", "truth"),
}
CHUNK = 4096
"""Rows that are converted to numbers at once."""
SHOWN = 3
Found = tuple[NDArray[np.int64], NDArray[np.float64], bool]
Keep = Callable[[str, list[str]], None]
"""Keeps the cells of some more rows in a column of this name."""
COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Rows:
    """The cells that were asked for.

    Attributes:
        lines: (N,) line where each row ends in the file, counted from 1; for Parquet the number of the row.
        texts: {column: N cells, without space around them, '' for an empty cell}.
        numbers: (N, C) float64, NaN for an empty cell; many are in a temporary file, see `curate.blocks`.
        decimal_comma: whether numbers had one.
    """

    lines: NDArray[np.int64]
    texts: Mapping[str, list[str]]
    numbers: NDArray[np.float64]
    decimal_comma: bool = False


@dataclass(frozen=True)
class Arrays(Rows):
    """As `Rows`, with texts as arrays of strings: without an object a cell.

    Attributes:
        arrays: {column: (N,) strings, many in a temporary file}; `texts` is empty.
    """

    arrays: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)


@dataclass(frozen=True)
class TableFile:
    """A table whose header was read; made by `open_table`.

    Attributes:
        path: the file.
        who: beginning of error messages, e.g. `manifest: `.
        names: of all columns in the file's order, known columns under their known names; '' for one without a name.
        encoding: of text; '' for Parquet.
        separator: of the cells; '' for Parquet.
        skipped: lines above the first row, the header included.
    """

    path: Path
    who: str
    names: tuple[str, ...]
    encoding: str = ""
    separator: str = ""
    skipped: int = 0

    @property
    def form(self) -> str:
        """Separator and encoding, where they are not commas and UTF-8, e.g. `semicolons, UTF-16`; else ''."""
        parts = [] if self.separator in ("", ",") else [SEPARATORS.get(self.separator, repr(self.separator))]
        if self.encoding not in ("", "utf-8", "utf-8-sig"):
            parts.append(self.encoding.upper())
        return ", ".join(parts)

    def read(self, texts: Sequence[str], numbers: Sequence[str] = ()) -> Rows:
        """Columns by name.

        Raises:
            CurateError: a row does not fit the header, or a cell of `numbers` is not a number.
        """
        cells: dict[str, list[str]] = {name: [] for name in texts}
        lines, values, comma = self._read(texts, numbers, lambda name, own: cells[name].extend(own))
        return Rows(lines, cells, values, comma)

    def arrays(self, texts: Sequence[str], numbers: Sequence[str]) -> Arrays:
        """Columns by name, as `read`, with less memory: an array of strings is as wide as its longest."""
        cells = {name: Growing(np.empty(0, dtype=np.str_)) for name in texts}
        found = self._read(texts, numbers, lambda name, own: cells[name].append(np.array(own, dtype=np.str_)))
        lines, values, comma = found
        return Arrays(lines, {}, values, comma, {name: own.array() for name, own in cells.items()})

    def _read(self, texts: Sequence[str], numbers: Sequence[str], keep: Keep) -> Found:
        """Line numbers, numbers, and whether they had a decimal comma; `keep` gets the cells of texts as they come."""
        for name in (*texts, *numbers):
            if name not in self.names:
                raise ValueError(f"no column {name!r}")
        return (self._read_text if self.separator else self._read_parquet)(texts, numbers, keep)

    def _read_text(self, texts: Sequence[str], numbers: Sequence[str], keep: Keep) -> Found:
        at = [self.names.index(name) for name in texts]
        places = [self.names.index(name) for name in numbers]
        values, lines, comma = Growing(np.empty((0, len(numbers)))), [np.empty(0, dtype=np.int64)], None
        rows = self._rows()
        while chunk := list(islice(rows, CHUNK)):
            for place, name in zip(at, texts, strict=True):
                keep(name, [row[place].strip() for _, row in chunk])
            lines.append(np.array([line for line, _ in chunk], dtype=np.int64))
            if numbers:
                comma = self._has_decimal_comma(chunk, places) if comma is None else comma
            values.append(self._numbers(chunk, places, bool(comma)) if numbers else np.empty((len(chunk), 0)))
        return np.concatenate(lines), values.array(), bool(comma)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line, as many cells as the header has) of every row that is not empty."""
        with self._failing(), self.path.open(newline="", encoding=self.encoding) as file:
            for _ in range(self.skipped):
                file.readline()
            reader = csv.reader(file, delimiter=self.separator, strict=True, skipinitialspace=True)
            for row in reader:
                if len(row) != len(self.names):
                    row = self._fitted(row, self.skipped + reader.line_num)
                if row[0].strip() or any(cell.strip() for cell in row):
                    yield self.skipped + reader.line_num, row

    def _fitted(self, row: list[str], line: int) -> list[str]:
        """A row cut or filled to the header's width, if its extra cells or all its cells are empty; else an error."""
        width = len(self.names)
        if not any(cell.strip() for cell in row[width:]) and len(row) > width:
            return row[:width]
        if not any(cell.strip() for cell in row):
            return [""] * width
        described = f"{self.who}line {line} of {self.path} has {counted(len(row), 'cell')}, its header {width}"
        if row[0].lstrip().startswith("#") and len(row) == 1:
            raise CurateError(described, "comment lines may stand above the header only")
        what = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}.get(self.separator, self.separator)
        raise CurateError(described, f'put a value with {what} in it between "quotes"')

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn errors of reading text into a `CurateError`."""
        try:
            yield
        except UnicodeError:
            raise _not_text(self.path, self.encoding, self.who) from None
        except csv.Error as error:
            hint = 'a quote may be open: every opening " needs a closing one, and "" stands for one within a value'
            raise CurateError(f"{self.who}{self.path} cannot be read: {error}", hint) from None

    @staticmethod
    def _has_decimal_comma(chunk: Sequence[tuple[int, list[str]]], places: Sequence[int]) -> bool:
        cells = [row[p].strip() for _, row in chunk for p in places]
        return any(COMMA_NUMBER.fullmatch(c) for c in cells) and not any("." in c for c in cells)

    def _numbers(self, chunk: Sequence[tuple[int, list[str]]], places: Sequence[int], comma: bool) -> NDArray[Any]:
        """(rows, C) numbers of a chunk."""
        if not comma:
            try:
                cells = chain.from_iterable(map(itemgetter(*places, places[0]), (row for _, row in chunk)))
                flat = np.fromiter(map(float, cells), np.float64, len(chunk) * (len(places) + 1))
                return flat.reshape(len(chunk), -1)[:, :-1]  # one column twice: for one alone there is no tuple
            except ValueError:
                pass  # an empty cell, or one that is not a number
        out = np.empty((len(chunk), len(places)))
        for i, (line, row) in enumerate(chunk):
            for j, p in enumerate(places):
                out[i, j] = self._number(row[p].strip(), comma, p, line)
        return out

    def _number(self, cell: str, comma: bool, place: int, line: int) -> float:
        if cell.lower() in MISSING_WORDS:
            return np.nan
        try:
            if comma and "." in cell:
                raise ValueError
            return float(cell.replace(",", ".") if comma else cell)
        except ValueError:
            hint = "write plain numbers such as 0.25 or 1e-3, and nothing where there is none"
            if cell.endswith("%"):
                hint = "leave out the percent sign"
            described = f"{self.who}{self.path}, line {line}, column {self.names[place]!r}: {cell!r} is no number"
            raise CurateError(described, hint) from None

    def _read_parquet(self, texts: Sequence[str], numbers: Sequence[str], keep: Keep) -> Found:
        with parquet.opened(self.path, self.names, self.who) as file:
            values = scratch(file.rows, len(numbers))
            for block in file.ranges():
                for i in range(0, len(numbers), parquet.COLUMNS):
                    names = numbers[i : i + parquet.COLUMNS]
                    for j, (name, column) in enumerate(zip(names, file.numbers(names, block), strict=True)):
                        self._check_numbers(file, name, column, block)
                        values[block, i + j] = column
                for name, own in zip(texts, file.texts(texts, block), strict=True):
                    keep(name, own)
                release(values)
        return np.arange(1, file.rows + 1), values, False

    def _check_numbers(self, file: parquet.Parquet, name: str, column: NDArray[np.float64], block: slice) -> None:
        """Check that each cell in a column of numbers is a number or a word for a missing one."""
        empty = np.flatnonzero(np.isnan(column)).tolist()
        cells = file.texts([name], block)[0] if empty else []
        for row in empty:
            if cells[row].lower() not in MISSING_WORDS:
                where = f"row {block.start + row + 1}, column {name!r}"
                described = f"{self.who}{self.path}, {where}: {cells[row]!r} is no number"
                raise CurateError(described, "store numbers, and NULL where there is none")


def open_table(path: Path, known: Sequence[str], needed: Sequence[str], expected: str, who: str = "") -> TableFile:
    """Read the header of a table.

    Args:
        path: the file; one whose name ends in .parquet or .pq is Parquet, any other is text.
        known: names of columns that are looked for, in lower case.
        needed: names of columns that it must have.
        expected: one line on what the table should look like, for hints.
        who: beginning of error messages, e.g. `manifest: `.

    Raises:
        CurateError: it is a folder or not a table, lacks a needed column, or has two columns with the same name.
    """
    if path.is_dir():
        raise CurateError(f"{who}{path} is a folder", "give the CSV or Parquet file itself")
    if path.suffix.lower() in PARQUET:
        raw, opened = parquet.column_names(path, who), dict[str, Any]()
    else:
        raw, opened = _text_header(path, known, needed, expected, who)
    names = tuple(known_name(name, known) for name in raw)
    absent = [name for name in needed if name not in names]
    if absent:
        shown = ", ".join(names[:10]) + (f", ... ({len(names)} in all)" if len(names) > 10 else "")
        message = f"{who}{path}: no column {', '.join(map(repr, absent))}; found: {shown or 'none'}"
        raise CurateError(message, _renamed(absent, names) or f"expected {expected}")
    _refuse_twins(path, names, known, who)
    return TableFile(path, who, names, **opened)


def _renamed(absent: Sequence[str], names: Sequence[str]) -> str:
    """Which columns the absent ones may be, as a hint; '' if none of the names is like one."""
    meant = {a: next((n for n in names if n.lower() in SYNONYMS.get(a, ())), "") for a in absent}
    return "; ".join(f"is it {name!r}? rename it to {own}" for own, name in meant.items() if name)


def is_missing(cell: str) -> bool:
    """Whether a cell is empty or a word for a missing value."""
    return cell.strip().lower() in MISSING_WORDS


def places(lines: Sequence[int]) -> str:
    """The first few line numbers; if there are more, also how many there are."""
    more = f", ... ({len(lines)} in all)" if len(lines) > SHOWN else ""
    return f"line{'s' * (len(lines) > 1)} {', '.join(map(str, lines[:SHOWN]))}{more}"


def _refuse_twins(path: Path, names: Sequence[str], known: Sequence[str], who: str) -> None:
    if twice := [name for name, count in Counter(n for n in names if n).items() if count > 1]:
        message = f"{who}{path}: the header names {', '.join(map(repr, twice[:SHOWN]))} more than once"
        raise CurateError(message, "give each column its own name, or remove one of them")
    for name in names:
        first, _, number = name.rpartition(".")
        if number.isdigit() and first in known and first in names:
            message = f"{who}{path}: the column {name!r} is a copy of {first!r}, as pandas names a repeated column"
            raise CurateError(message, f"keep the right one, under the name {first}")
