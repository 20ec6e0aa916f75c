"""Commands in messages as they must be typed to work: with the table that the running command was given."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import typer

COMMAND = re.compile(r"`curate ([a-z]+)(?![^`]*--(?:db|help)\b)([^`]*)`")
WITHOUT_TABLE = ("demo", "datasets", "selfcheck", "methods")
"""Commands that read no table."""


class _Named:
    """The table of the running command, if its command line names one."""

    path: Path | None = None


def name_table(ctx: typer.Context, path: Path) -> None:
    """Keep the table that the command line names with `--db`; a variable of the environment holds for the next too."""
    source = ctx.get_parameter_source("db")
    _Named.path = path if source is not None and source.name == "COMMANDLINE" else None


def as_typed(text: str) -> str:
    """A message whose `curate ...` commands name the same table as the running command."""
    if _Named.path is None:
        return text
    option = f" --db {shlex.quote(str(_Named.path))}"
    return COMMAND.sub(lambda m: m[0] if m[1] in WITHOUT_TABLE else f"`curate {m[1]}{option}{m[2]}`", text)
