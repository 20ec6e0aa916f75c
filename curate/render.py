"""Rows to text: a table for the terminal, CSV, TSV, JSON, JSON lines or Markdown; progress on standard error."""

from __future__ import annotations

import ast
import csv
import io
import json
import math
import re
import sys
import textwrap
import time
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

Format = Literal["table", "csv", "tsv", "json", "jsonl", "markdown"]
Progress = Callable[[str, int, int, str], None]
"""Called with (label, done, total, note)."""
Message = Callable[[str], None]
"""Called with a line for the user."""

UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)
"""Characters that `printable` escapes."""
LITERAL = re.compile(r"Literal\[([^\]]*)\]")
LINE_SECONDS = 10.0
"""Least time between two lines of progress without a terminal, s; the end of a stage is always printed."""


def render(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], form: Format = "table", width: int | None = None
) -> str:
    """Rows as text without a final newline.

    Args:
        width: of the terminal, in characters: a `table` is folded between words, or turned upright; None does neither.
    """
    return "\n".join(pieces(columns, [rows], form, width))


def pieces(
    columns: Sequence[str], portions: Iterable[Sequence[Sequence[Any]]], form: Format = "csv", width: int | None = None
) -> Iterator[str]:
    """As `render`, in pieces of whole lines: rows come in portions; only a `table` needs all of them at once."""
    if form == "table":
        yield _grid(columns, [row for portion in portions for row in portion], width)
        return
    if form in ("json", "jsonl"):
        yield from _records(columns, portions, form)
        return
    if form == "markdown":
        yield from (_markdown(row) for row in (columns, ["---"] * len(columns)))
    else:
        yield _separated([columns], form)
    for rows in portions:
        if rows:
            yield "\n".join(map(_markdown, rows)) if form == "markdown" else _separated(rows, form)


def _records(columns: Sequence[str], portions: Iterable[Sequence[Sequence[Any]]], form: Format) -> Iterator[str]:
    """One JSON object per row, on its own line or in one list."""
    names = [c if c not in columns[:i] else f"{c}_{i + 1}" for i, c in enumerate(columns)]
    before = ""  # the last objects of a list have no comma behind them
    for rows in portions:
        records = [{k: _plain(v) for k, v in zip(names, row, strict=True)} for row in rows]
        if form == "jsonl" and records:
            yield "\n".join(json.dumps(record, default=str) for record in records)
        elif records:
            yield f"{before}," if before else "["
            before = json.dumps(records, default=str, indent=2)[2:-2]
    if form == "json":
        yield f"{before}\n]" if before else "[]"


def cut(rows: Sequence[Sequence[Any]], longest: int) -> tuple[list[list[Any]], bool]:
    """Rows for a `table`, a cell of more characters than `longest` ending in an ellipsis, and whether there is one."""
    found = False
    made: list[list[Any]] = []
    for row in rows:
        made.append(own := list(row))
        for j, value in enumerate(row):
            if not isinstance(value, bool | int | float) and len(text := _cell(value)) > longest:
                own[j], found = f"{text[: longest - 1]}\u2026", True
    return made, found


def _markdown(row: Sequence[Any]) -> str:
    return "| " + " | ".join(_cell(v, keep="\n").replace("\n", " ").replace("|", "\\|") for v in row) + " |"


def _separated(rows: Sequence[Sequence[Any]], form: Format) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter="," if form == "csv" else "\t", lineterminator="\n").writerows(rows)
    return text.getvalue().removesuffix("\n")


def printable(text: str, keep: str = "") -> str:
    """The text with control, direction and tag characters, and lone surrogates, written as escapes.

    Ids, labels and paths are not trusted: an escape sequence printed unchanged could control the terminal, and a
    direction mark could show a false name.

    Args:
        keep: characters that are not escaped.
    """
    return UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character) or character.encode("unicode_escape").decode()


def _grid(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None) -> str:
    """A table; where even its longest words are wider than `width`, one line a cell instead."""
    names, cells = [_cell(c) for c in columns], [[_cell(v) for v in row] for row in rows]
    words = [max(len(w) for text in column for w in text.split(" ")) for column in zip(names, *cells, strict=True)]
    if width is not None and rows and sum(words) + 2 * (len(columns) - 1) > width:
        return _upright(names, cells, width)
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for j, name in enumerate(names):
        least = None if width is None else words[j]
        right = _is_number(next((r[j] for r in rows if r[j] is not None), ""))
        grid.add_column(Text(name), justify="right" if right else "left", overflow="fold", min_width=least)
    for row in cells:
        grid.add_row(*map(Text, row))
    console = Console(width=(width if rows else None) or 1_000_000_000, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _upright(names: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Rows one below the other, a line a cell; a long cell is folded between words."""
    side, lines = max(map(len, names)) + 2, []
    for number, row in enumerate(rows, 1):
        lines.append(f"row {number}".center(width, "\u2500"))
        for name, text in zip(names, row, strict=True):
            folded = textwrap.wrap(text, max(width - side, 20), break_long_words=False, break_on_hyphens=False) or [""]
            lines += [f"{name if k == 0 else '':{side}}{part}".rstrip() for k, part in enumerate(folded)]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """About how long: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def readable_type(annotation: str) -> str:
    """`Literal['a', 'b'] | None` as `a | b | none`, which a user types; other types are unchanged."""
    choices = LITERAL.sub(lambda found: " | ".join(map(str, ast.literal_eval(f"[{found[1]}]"))), annotation)
    return re.sub(r"\bNone\b", "none", choices)


def readable_hint(hint: Any) -> str:
    """As `readable_type`, for a type object; a named type is shown by its choices."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    words = [typing.get_args(p) if typing.get_origin(p) is Literal else (_type_name(p),) for p in parts]
    return " | ".join(str(word) for choices in words for word in choices)


def _type_name(kind: type) -> str:
    return "none" if kind is types.NoneType else kind.__name__


def _plain(value: Any) -> Any:
    """A value for JSON, which has no NaN and no infinity (here None), and whose keys are texts."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return value.endswith("%") and value[:1].isdigit()
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any, keep: str = "") -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value), keep)


def no_progress(label: str, done: int, total: int, note: str) -> None:
    """Leaves progress out."""


def no_message(text: str) -> None:
    """Leaves a line out."""


@contextmanager
def progress(quiet: bool) -> Iterator[Progress]:
    """A function to call with (label, done, total, note): bars on a terminal's standard error, else lines of text.

    Args:
        quiet: show nothing.
    """
    if quiet or not sys.stderr.isatty():
        yield no_progress if quiet else _lines()
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
        bars.TextColumn("{task.fields[note]}"),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def advance(label: str, done: int, total: int, note: str) -> None:
            if label not in tasks:
                tasks[label] = bar.add_task(label, total=total, note=note)
            bar.update(tasks[label], completed=done, total=total, note=note)

        yield advance


def _lines() -> Progress:
    """Plain lines on standard error: for each label the first and the last, and one every `LINE_SECONDS` between."""
    last: dict[str, float] = {}
    shown: dict[str, str] = {}

    def advance(label: str, done: int, total: int, note: str) -> None:
        text, now = f"{label}: {done}/{total} {note}".rstrip(), time.monotonic()
        news = label not in last or done == total or now - last[label] >= LINE_SECONDS
        if news and text != shown.get(label):
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
            last[label], shown[label] = now, text

    return advance
