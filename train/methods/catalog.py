"""The methods and their settings, parsed from the source files, so that listing them does not load torch."""

from __future__ import annotations

import ast
import importlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import unknown_name

if TYPE_CHECKING:
    from .method import Method

FOLDER = Path(__file__).parent
ALL = "all"
"""Stands for every method in `departures`."""
SHARED = {
    "model": ("models/model.py", "ModelConfig"),
    "optim": ("methods/optim.py", "OptimConfig"),
    "score": ("stages/settings.py", "ScoreConfig"),
    "train": ("stages/settings.py", "TrainConfig"),
}
"""{section of settings: file and class that has them}."""


@dataclass(frozen=True)
class Entry:
    """What is known about a method before it is loaded.

    Attributes:
        name: its name on the command line and the name of its file.
        summary: first line of the class's docstring.
        paper: the paper it is from.
        start: `warm` or `scratch`.
        knobs: {key: (type, default, what it does)} as written in its `Config`.
        tried: its main knob and the values that tuning tries, such as `alpha=0.1,0.3`; '' without one.
        departures: {what: where it differs from the paper or its published code, and why}.
    """

    name: str
    summary: str
    paper: str
    start: str
    knobs: dict[str, tuple[str, str, str]]
    tried: str = ""
    departures: dict[str, str] = field(default_factory=dict)

    @property
    def control(self) -> str:
        """The value of its knob `control` that makes it its own control; '' if it has no such knob."""
        kind, *_ = self.knobs.get("control", ("",))
        return next((c for c in re.findall(r"'(\w+)'", kind) if c != "none"), "")


def names() -> list[str]:
    """Names of all methods, ascending."""
    return sorted(p.stem for p in FOLDER.glob("*.py") if _is_method(p))


def _is_method(path: Path) -> bool:
    """Whether a file defines a method of the same name, rather than code that several methods share."""
    return bool(re.search(rf'^    name = "{path.stem}"$', path.read_text(encoding="utf-8"), re.M))


def entries() -> list[Entry]:
    """All methods, ascending by name."""
    return [_read(FOLDER / f"{name}.py") for name in names()]


def departures() -> list[tuple[str, str, str]]:
    """(method, what, where it differs from the paper or its published code, and why); those of all methods first."""
    tree = ast.parse((FOLDER / "method.py").read_text(encoding="utf-8"))
    base = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Method")
    shared = _section(ast.get_docstring(base) or "", "Departures")
    found = [(ALL, shared), *((e.name, e.departures) for e in entries())]
    return [(name, what, text) for name, own in found for what, text in own.items()]


def find(name: str) -> type[Method]:
    """The class of a method, loaded.

    Raises:
        CurateError: there is none; the message names the nearest one.
    """
    if name not in names():
        raise unknown_name("method", name, names())
    module = importlib.import_module(f".{name}", __package__)
    return next(v for v in vars(module).values() if isinstance(v, type) and v.__dict__.get("name") == name)


def usual_settings() -> dict[str, dict[str, Any]]:
    """{section: {key: default}} of the settings that all methods share; `score` has those of the warm-up."""
    found = {}
    for section, (file, name) in SHARED.items():
        tree = ast.parse((FOLDER.parent / file).read_text(encoding="utf-8"))
        config = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
        found[section] = {key: ast.literal_eval(default) for key, (_, default, _) in _knobs(config).items()}
    return found


def _read(path: Path) -> Entry:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            literals = {
                t.id: s.value.value
                for s in node.body
                if isinstance(s, ast.Assign) and isinstance(s.value, ast.Constant)
                for t in s.targets
                if isinstance(t, ast.Name)
            }
            if literals.get("name") == path.stem:
                config = next((s for s in node.body if isinstance(s, ast.ClassDef) and s.name == "Config"), None)
                text = ast.get_docstring(node) or ""
                return Entry(
                    path.stem,
                    text.split("\n")[0],
                    str(literals.get("paper", "")),
                    str(literals.get("start", "warm")),
                    _knobs(config),
                    str(literals.get("tried", "")),
                    _section(text, "Departures"),
                )
    raise ValueError(f"{path.name} has no class with name = {path.stem!r}")


def _knobs(config: ast.ClassDef | None) -> dict[str, tuple[str, str, str]]:
    if config is None:
        return {}
    what = _section(ast.get_docstring(config) or "", "Attributes")
    return {
        s.target.id: (ast.unparse(s.annotation), ast.unparse(s.value), what.get(s.target.id, ""))
        for s in config.body
        if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name) and s.value is not None
    }


def _section(docstring: str, title: str) -> dict[str, str]:
    """{name: description} of a docstring's last section; one description may serve several names. Empty without it."""
    out: dict[str, str] = {}
    for entry in filter(str.strip, re.split(r"\n {4}(?=\w)", docstring.partition(f"{title}:")[2])):
        names, _, text = entry.strip().partition(":")
        out |= {name.strip(): " ".join(text.split()) for name in names.split(",")}
    return out
