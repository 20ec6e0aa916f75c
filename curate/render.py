"""Rows to text: a table for people, CSV, JSON or Markdown for everything else."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Literal

Format = Literal["table", "csv", "json", "markdown"]


def render(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: Format = "table",
           width: int | None = None) -> str:
    """Rows as text without a final newline.

    Args:
        width: where a `table` is folded, in characters; None never folds it.
    """
    if form == "json":
        return json.dumps([dict(zip(columns, r, strict=True)) for r in rows], default=str, indent=2)
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
        return text.getvalue().rstrip("\n")
    if form == "markdown":
        lines = [columns, ["---"] * len(columns), *[[_cell(v).replace("|", "\\|") for v in r] for r in rows]]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return _grid(columns, rows, width)


def _grid(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, example in zip(columns, rows[0] if rows else columns, strict=True):
        right = isinstance(example, int | float) and not isinstance(example, bool)
        grid.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(_cell(v)) for v in row))
    console = Console(width=width or 10_000, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
