"""Rows to text: a table for people, CSV, JSON or Markdown for everything else; and progress on standard error."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

Format = Literal["table", "csv", "json", "markdown"]
Advance = Callable[[str, int, int, str], None]

LINE_SECONDS = 10.0
"""Where there is no terminal, a line of progress at most this often, s; ends of stages always."""


def render(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: Format = "table",
           width: int | None = None) -> str:
    """Rows as text without a final newline.

    Args:
        width: where a `table` is folded, in characters; None never folds it.
    """
    if form == "json":
        names = [c if c not in columns[:i] else f"{c}_{i + 1}" for i, c in enumerate(columns)]
        return json.dumps([dict(zip(names, r, strict=True)) for r in rows], default=str, indent=2)
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
        return text.getvalue().rstrip("\n")
    if form == "markdown":
        head, *body = ([" ".join(_cell(v).split("\n")).replace("|", "\\|") for v in r] for r in (columns, *rows))
        lines = [head, ["---"] * len(columns), *body]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return _grid(columns, rows, width)


def _grid(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for j, name in enumerate(columns):
        example = next((r[j] for r in rows if r[j] is not None), "")
        right = _is_number(example)
        grid.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(_cell(v)) for v in row))
    console = Console(width=width or 1_000_000_000, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return value.endswith("%") and value[:1].isdigit()
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@contextmanager
def progress(quiet: bool) -> Iterator[Advance]:
    """Called with (label, done, total, note): bars on a terminal's standard error, else a line now and then.

    Args:
        quiet: tell nothing.
    """
    if quiet or not sys.stderr.isatty():
        yield _silent if quiet else _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
               TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def advance(label: str, done: int, total: int, note: str) -> None:
            if label not in tasks:
                tasks[label] = bar.add_task(label, total=total, note=note)
            bar.update(tasks[label], completed=done, total=total, note=note)

        yield advance


def _silent(label: str, done: int, total: int, note: str) -> None:
    """No progress."""


def _lines() -> Advance:
    """Plain lines on standard error: of a label the first and the last, and between them one every few seconds."""
    last: dict[str, float] = {}
    told: dict[str, str] = {}

    def advance(label: str, done: int, total: int, note: str) -> None:
        text, now = f"{label}: {done}/{total} {note}".rstrip(), time.monotonic()
        news = label not in last or done == total or now - last[label] >= LINE_SECONDS
        if news and text != told.get(label):
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
            last[label], told[label] = now, text

    return advance
