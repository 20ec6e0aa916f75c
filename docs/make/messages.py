"""The page of messages: every error that the code can raise for a user, with its hint, read from the sources.

What is filled in when it is raised is shown as `…`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from .text import code, table

ROOT = Path(__file__).parents[2]
KINDS = ("CurateError", "LockedError", "NoTableError", "EmptySelectionError", "NonFiniteError", "UnansweredError")
FILLED = "…"
HEAD = """\
# All messages

An error is one line and a hint. This page lists all of them, made from the code; `…` stands for what is filled in.
Search it for a word of the message. The most frequent ones are explained in [Troubleshooting](../troubleshooting.md).
"""
PARTS = {
    "curate/config.py": "Settings",
    "curate/commands": "Commands",
    "train/commands": "Commands",
    "curate/cli.py": "Commands",
    "cli.py": "Commands",
    "curate/files": "Reading files",
    "curate/predictions": "Saved predictions",
    "curate/datasets": "Data sets",
    "curate/media": "Media and texts",
    "curate/scores": "Scores and selections",
    "curate/store": "The table",
    "curate/comparison": "Comparisons",
    "curate/exports": "Reports, exports and the page",
    "curate/report": "Reports, exports and the page",
    "curate/view": "Reports, exports and the page",
    "curate/torch": "Your own loop",
    "curate/lightning.py": "Your own loop",
    "curate/transformers.py": "Your own loop",
    "train/models": "Models and encoders",
    "train/methods": "Training",
    "train/loop": "Training",
    "train/stages": "Training",
}
"""{beginning of a path: the section that its messages are in}."""


def page() -> str:
    """Its Markdown."""
    found: dict[str, dict[str, str]] = {title: {} for title in PARTS.values()}
    for path, message, hint in messages():
        title = next((t for start, t in PARTS.items() if path.startswith(start)), "Others")
        found.setdefault(title, {}).setdefault(message, hint)
    parts = [HEAD]
    for title, rows in found.items():
        if rows:
            parts += [
                f"## {title}\n",
                table(["message", "hint"], [[code(m), code(h)] for m, h in sorted(rows.items())], "messages"),
            ]
    return "\n".join(parts)


@cache
def messages() -> tuple[tuple[str, str, str], ...]:
    """(path of the source, message, hint) of each error; messages that are made elsewhere are left out."""
    out = []
    for path in sources():
        for call, scope in _calls(ast.parse(path.read_text(encoding="utf-8"))):
            if _name(call) in KINDS:
                texts = [_text(argument, scope) for argument in call.args]
                if texts and texts[0].strip(f"{FILLED} :") and len(texts[0]) > 3:
                    hint = texts[1] if len(texts) > 1 and texts[1].strip(FILLED) else ""
                    out.append((path.relative_to(ROOT).as_posix(), texts[0], hint))
    return tuple(out)


@cache
def statuses() -> frozenset[str]:
    """Every status that an item whose media cannot be used may have."""
    from curate.errors import MediaError

    named = (MediaError.__doc__ or "").partition("status:")[2].partition("reason:")[0]
    return frozenset(named.split("`")[1::2])


def sources() -> list[Path]:
    """The files that may raise an error; the links in `curate` are not followed."""
    folders = (ROOT / "curate", ROOT / "train")
    files = [p for folder in folders for p in folder.rglob("*.py") if (ROOT / "curate/train") not in p.parents]
    return [*sorted(p for p in files if not p.is_symlink()), ROOT / "cli.py"]


Scope = dict[str, ast.expr]


def _calls(tree: ast.AST, scope: Scope | None = None) -> Iterator[tuple[ast.Call, Scope]]:
    """Every call, with the texts that were given names before it, in the same function or in the module."""
    scope = dict(scope or {})
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    scope[target.id] = node.value
        if isinstance(node, ast.Call):
            yield node, scope
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield from _calls(node, scope)
        else:
            for call, inner in _calls(node, scope):
                scope |= inner if not isinstance(node, ast.expr) else {}
                yield call, inner


def _text(node: ast.expr, scope: Scope, depth: int = 0) -> str:
    """A text with `…` for what is only known when it is raised."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(v, scope, depth) for v in node.values)
    if isinstance(node, ast.FormattedValue):
        node = node.value
        if isinstance(node, ast.Call) and _name(node) == "counted":  # a number, and the noun in the form of several
            _, one, *several = (_text(argument, scope) for argument in node.args)
            return f"{FILLED} {several[0] if several else f'{one}s'}"
        if isinstance(node, ast.IfExp) and getattr(node.orelse, "value", "") == "are":  # 'is' if count == 1 else 'are'
            return "are"
        return FILLED
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, scope, depth) + _text(node.right, scope, depth)
    if (
        isinstance(node, ast.Name)
        and depth < 3
        and isinstance(scope.get(node.id), ast.Constant | ast.JoinedStr | ast.BinOp)
    ):
        return _text(scope[node.id], scope, depth + 1)
    return FILLED


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""
