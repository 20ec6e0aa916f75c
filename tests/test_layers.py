"""The rules of the structure, read from the source: which part may import which, and what may not stand in a module."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from curate.store.store import Store
from curate.train.methods import catalog

ROOT = Path(__file__).parent.parent
PARTS = (
    "curate",
    "curate.files",
    "curate.media",
    "curate.scores",
    "curate.comparison",
    "curate.store",
    "curate.datasets",
    "curate.predictions",
    "curate.advice",
    "curate.report",
    "curate.table",
    "curate.torch",
    "curate.commands",
    "curate.train",
    "curate.train.models",
    "curate.train.data",
    "curate.train.methods",
    "curate.train.loop",
    "curate.train.stages",
    "curate.train.commands",
    "curate.cli",
)
"""From the ground up: a part imports those before it. `curate` stands for the modules beside the packages."""
TORCH = {"torch", "torchvision", "torchaudio"}
WITH_TORCH = ("curate.torch", "curate.train")
SPEAK_TO_PEOPLE = ("curate.commands", "curate.train.commands", "curate.cli")
DUCKDB = ("curate.store", "curate.files")
LONGEST_FILE, LONGEST_FUNCTION = 400, 60
LONG = {
    "curate.scores.mixture.fit": "mostly its docstring, the reference of every setting",
    "curate.train.commands.scoring.score": "mostly its options",
    "curate.train.commands.comparing.compare": "mostly its options",
    "curate.train.commands.training.train": "mostly its options",
}
"""Functions that are longer, and why."""


def read() -> dict[str, Path]:
    """{module: its file} of everything that is installed."""
    found = {"curate.cli": ROOT / "cli.py"}
    for folder, name in ((ROOT / "curate", "curate"), (ROOT / "train", "curate.train")):
        for path in sorted(folder.rglob("*.py")):
            if not path.is_symlink() and not (name == "curate" and "train" in path.relative_to(folder).parts):
                inner = path.relative_to(folder).with_suffix("").parts
                found[".".join([name, *inner]).removesuffix(".__init__")] = path
    return found


FILES = read()
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in FILES.items()}
PACKAGES = {module for module, path in FILES.items() if path.name == "__init__.py"}


def part(module: str) -> str:
    """The part a module belongs to."""
    inside = [p for p in PARTS if module == p or (module.startswith(f"{p}.") and p in PACKAGES - {"curate"})]
    return max(inside, key=len, default="curate")


def targets(module: str, node: ast.ImportFrom) -> Iterator[str]:
    """What an import names, as absolute modules of ours or top-level names of others."""
    package = module.split(".") if module in PACKAGES else module.split(".")[:-1]
    base = package[: len(package) - node.level + 1] if node.level else []
    name = ".".join([*base, *([node.module] if node.module else [])])
    for alias in node.names:
        yield f"{name}.{alias.name}" if f"{name}.{alias.name}" in FILES else name


def imports(module: str) -> Iterator[tuple[str, bool]]:
    """(imported module, whether relatively), anywhere in a module."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((name, node.level > 0) for name in targets(module, node))


IMPORTS = {module: sorted(set(imports(module))) for module in FILES}


def test_the_walk_sees_what_it_should() -> None:
    assert {"curate.cli", "curate.scores.mixture", "curate.train.stages.score", "curate.train.methods.joint"} <= set(
        FILES
    )
    assert not {m for m in FILES if m.startswith("curate.train.train") or m.count("train") > 2}
    assert [part(m) for m in ("curate.types", "curate.table", "curate.scores.gap", "curate.train.stages.score")] == [
        "curate",
        "curate.table",
        "curate.scores",
        "curate.train.stages",
    ]
    assert ("curate.types", False) in IMPORTS["curate.scores.mixture"]
    assert ("curate.train.methods.method", True) in IMPORTS["curate.train.methods.joint"]
    assert {part(m) for m in FILES} == set(PARTS)


@pytest.mark.parametrize("module", FILES)
def test_imports_go_down(module: str) -> None:
    """The public names of `curate/__init__.py` are loaded when they are used."""
    if module == "curate":
        return
    own = PARTS.index(part(module))
    above = [name for name, _ in IMPORTS[module] if name in FILES and PARTS.index(part(name)) > own]
    assert not above


def test_there_is_no_circle() -> None:
    graph = {m: {n for n, _ in IMPORTS[m] if n in FILES and n != m} for m in FILES if m != "curate"}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)


@pytest.mark.parametrize("module", FILES)
def test_inside_a_part_imports_are_relative_and_across_parts_absolute(module: str) -> None:
    if module in ("curate", "curate.cli"):
        return
    for name, relative in IMPORTS[module]:
        if name in FILES and name != "curate":
            assert relative == (part(name) == part(module)), name


@pytest.mark.parametrize("module", FILES)
def test_torch_is_of_the_model_side_and_duckdb_of_the_store(module: str) -> None:
    tops = {name.split(".")[0] for name, _ in IMPORTS[module]}
    assert module.startswith(WITH_TORCH) or not tops & TORCH
    assert part(module) in DUCKDB or "duckdb" not in tops


@pytest.mark.parametrize("module", [m for m in FILES if m.startswith("curate.train.methods.")])
def test_a_method_sees_no_other_method_and_never_the_store(module: str) -> None:
    methods = {f"curate.train.methods.{name}" for name in catalog.names()}
    if module in methods:
        seen = {name for name, _ in IMPORTS[module]}
        assert not seen & methods and "curate.store.store" not in seen


OWNERS = {type(made).__module__: made.TABLES for made in vars(Store("x")).values() if hasattr(made, "TABLES")}


def test_every_table_has_one_owner() -> None:
    schema = (ROOT / "curate/store/schema.sql").read_text()
    made = sorted(set(re.findall(r"CREATE TABLE (\w+)", schema)) - {"schema_version"})
    assert sorted(t for tables in OWNERS.values() for t in tables) == made


@pytest.mark.parametrize("module", OWNERS)
def test_no_part_of_the_store_knows_the_tables_of_another(module: str) -> None:
    """A question over several parts is a file of `store/sql`."""
    others = {t for m, tables in OWNERS.items() if m != module for t in tables}
    texts = [n.value for n in ast.walk(TREES[module]) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    named = {t for text in texts for t in re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE) (\w+)", text)}
    assert not named & others


@pytest.mark.parametrize("module", FILES)
def test_only_commands_speak_to_people(module: str) -> None:
    calls = [ast.unparse(node.func) for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)]
    assert "print" not in calls
    assert part(module) in SPEAK_TO_PEOPLE or not {"typer.echo", "click.echo"} & set(calls)


def test_names_are_plain() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not {module for module in FILES if drawers & set(module.split("."))}
    beside = [m for m in FILES if m.count(".") == 1 and m not in PACKAGES]
    assert len(beside) <= 12


@pytest.mark.parametrize("module", FILES)
def test_files_and_functions_are_short_or_have_a_reason(module: str) -> None:
    assert len(FILES[module].read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    long = {
        f"{module}.{node.name}"
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    }
    assert long <= set(LONG)


@pytest.mark.parametrize("module", FILES)
def test_no_module_holds_state_that_changes(module: str) -> None:
    mutable = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    makers = {"list", "dict", "set", "defaultdict", "OrderedDict", "Counter", "deque", "bytearray"}
    for node in TREES[module].body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        value = node.value
        made = isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] in makers
        if isinstance(value, mutable) or made:
            assigned = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {ast.unparse(t) for t in assigned}
            assert all(n.isupper() or n in ("__all__", "_WHERE") for n in names), f"{module}: {names} can be changed"
    assert not [node for node in ast.walk(TREES[module]) if isinstance(node, ast.Global)]


def python(code: str, *blocked: str) -> str:
    """What a fresh interpreter prints, in which the blocked packages cannot be imported."""
    block = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in blocked)
    done = subprocess.run([sys.executable, "-c", block + code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "module",
    [
        "curate.cli",
        "curate.table",
        "curate.scores.selection",
        "curate.scores.mixture",
        "curate.datasets.cache",
        "curate.train.methods.catalog",
    ],
)
def test_what_needs_no_model_is_imported_without_torch_pandas_and_scikit_learn(module: str) -> None:
    python(f"import {module}", "pandas", "sklearn", *TORCH)


def test_starting_the_command_line_loads_nothing_heavy() -> None:
    heavy = ("numpy", "scipy", "pandas", "sklearn", "duckdb", "matplotlib", "av", "PIL", *TORCH)
    loaded = python(
        f"import curate.cli, curate.train.methods.catalog\nprint([m for m in {heavy!r} if m in sys.modules])"
    )
    assert loaded.strip() == "[]"
