"""The header of a text table: encoding, separator, names of columns."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from curate.errors import CurateError

from .names import known_name

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
OTHER_KINDS = {
    b"PK\x03\x04": "an Excel workbook or another ZIP archive: save the sheet as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as CSV in UTF-8",
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"PAR1": "Parquet: let its name end in .parquet",
    b"\x93NUMPY": "a NumPy array: expected a table of text",
}
HEAD = 1 << 16
"""Bytes from which the encoding is detected."""
LONGEST_HEADER = 1 << 24
"""Characters."""
JSON = re.compile(r'\s*(\{\s*("|$)|\[\s*([{\["]|$))')
"""How a file of JSON begins, and no header."""


def _text_header(
    path: Path, known: Sequence[str], needed: Sequence[str], expected: str, who: str
) -> tuple[list[str], dict[str, Any]]:
    """The header's cells, and encoding, separator and number of lines up to its end."""
    with path.open("rb") as binary:
        start = binary.read(HEAD)
    for magic, shown in OTHER_KINDS.items():
        if start.startswith(magic):
            raise CurateError(f"{who}{path} is no table of text", f"it is {shown}")
    encoding = _encoding(start)
    try:
        with path.open(newline="", encoding=encoding) as file:
            separator, lines, text = _first_line(file)
            while text.lstrip().startswith("#") and not _has(_cells(text.lstrip("# "), separator or ","), needed):
                lines, text = lines + 1, file.readline(LONGEST_HEADER)
            text = text.lstrip("# ") if text.lstrip().startswith("#") else text
            while text.count('"') % 2:  # a name with a line break in it
                more = file.readline(LONGEST_HEADER)
                if not more:
                    raise CurateError(f"{who}{path}: a quote of the header is not closed", f"expected {expected}")
                lines, text = lines + 1, text + more
    except UnicodeError:
        raise _not_text(path, encoding, who) from None
    if "\0" in text:
        raise CurateError(f"{who}{path} is no table of text: it holds zero bytes", f"expected {expected}")
    if not text.strip():
        raise CurateError(f"{who}{path} has no rows", f"expected {expected}")
    if JSON.match(text):
        written = f"duckdb.read_json({str(path)!r}).write_csv({str(path.with_suffix('.csv'))!r})"
        raise CurateError(
            f"{who}{path} is JSON, not a CSV or Parquet file",
            f'expected {expected}; to write it as CSV: python -c "import duckdb; {written}"',
        )
    separator = separator or _separator(text, known, needed)
    cells = _cells(text, separator)
    while len(cells) > 1 and not cells[-1].strip():
        cells.pop()
    return cells, {"encoding": encoding, "separator": separator, "skipped": lines + 1}


def _first_line(file: IO[str]) -> tuple[str, int, str]:
    """(separator given by a first line such as `sep=;`, or ''; lines before the first with text; that line)."""
    separator, lines, text = "", 0, file.readline(LONGEST_HEADER)
    if named := re.fullmatch(r'"?sep=(.)"?[\s,;]*', text.rstrip("\r\n"), re.IGNORECASE):
        separator, lines, text = named[1], 1, file.readline(LONGEST_HEADER)
    while text and not text.strip():
        lines, text = lines + 1, file.readline(LONGEST_HEADER)
    return separator, lines, text


def _encoding(start: bytes) -> str:
    """The encoding by the byte order mark, or by the positions of zero bytes; else UTF-8."""
    for mark, name in MARKS:
        if start.startswith(mark):
            return name
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if max(even, odd) > len(start) / 5:
        return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8"


def _separator(header: str, known: Sequence[str], needed: Sequence[str]) -> str:
    """The first separator with which the header has the needed columns; else the one that gives the most known columns,
    and among equals the most cells.
    """
    cells = {separator: _cells(header, separator) for separator in SEPARATORS}
    for separator, names in cells.items():
        if _has(names, needed) and len(names) > 1:
            return separator
    return max(cells, key=lambda s: (sum(known_name(n, known) in known for n in cells[s]), len(cells[s])))


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return [line]


def _has(cells: Sequence[str], needed: Sequence[str]) -> bool:
    return set(needed) <= {known_name(cell, needed) for cell in cells}


def _not_text(path: Path, encoding: str, who: str) -> CurateError:
    """An error that names the first line that is not in the encoding."""
    line, hint = 0, f"save it as UTF-8; it begins as {encoding.upper()} and is cut off or mixed"
    if encoding.startswith("utf-8"):
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                try:
                    text.decode("utf-8")
                except UnicodeDecodeError as error:
                    line, byte = number, text[error.start]
                    hint = f"save it as UTF-8; byte 0x{byte:02X} there looks like Windows-1252 or Latin-1"
                    break
    where = f"line {line} of {path}" if line else str(path)
    return CurateError(f"{who}{where} cannot be read as {encoding.upper().removesuffix('-SIG')}", hint)
