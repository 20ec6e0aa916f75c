"""Words for Markdown: tables whose cells hold anything, and docstrings as the pages have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A Markdown table; on a narrow screen the cells of a row stand below one another."""
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)
    return f'<div class="{f"rows {kind}".strip()}" markdown>\n\n{text}\n\n</div>\n'


def code(text: object) -> str:
    """As code, bars and backticks included."""
    shown = str(text).replace("\n", " ")
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`" if shown else ""


def sentence(text: str) -> str:
    """On one line, with a full stop at the end."""
    text = " ".join(text.split())
    return text if not text or text[-1] in ".!?:" else f"{text}."


def attributes(docstring: str) -> dict[str, str]:
    """{name: description} of a docstring's section `Attributes`; one description may serve several names."""
    lines = docstring.partition("Attributes:\n")[2].split("\n\n")[0].splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        starts = re.match(rf" {{{indent}}}([\w, ]+):(?: (.*))?$", line)
        if starts:
            names = [name.strip() for name in starts[1].split(",")]
            found |= dict.fromkeys(names, starts[2] or "")
        elif names:
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found


def _cell(text: str) -> str:
    """On one line; bars and angle brackets mean nothing, in code or outside it."""
    parts = re.split(r"(`` .*? ``|`[^`]*`)", " ".join(text.split()))
    return "".join(p if p.startswith("`") else p.replace("|", "\\|").replace("<", "&lt;") for p in parts)
