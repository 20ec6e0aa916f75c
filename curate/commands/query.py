"""An SQL query as an argument, which may begin with a comment."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

OPTION = re.compile(r"--[\w-]*(=.*)?", re.DOTALL)
"""How a word looks that begins with -- and is, or was meant to be, an option."""


class QueryCommand(TyperCommand):
    """A command whose argument is SQL: `-- a comment` above a question is part of it, and no option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As every command does, with a blank before such a comment, which the parser takes for an option."""
        return super().parse_args(ctx, [f" {a}" if a.startswith("--") and not OPTION.fullmatch(a) else a for a in args])
