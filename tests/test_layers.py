"""The rules of the structure, read from the source: which part may import which, and what may not stand in a module."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

from curate.store import beside, items
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
    "curate.exports",
    "curate.advice",
    "curate.report",
    "curate.view",
    "curate.table",
    "curate.torch",
    "curate.lightning",
    "curate.transformers",
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
WITH_TORCH = ("curate.torch", "curate.transformers", "curate.train")
SPEAK_TO_PEOPLE = ("curate.commands", "curate.train.commands", "curate.cli")
DUCKDB = ("curate.store", "curate.files")
OF_A_METHOD = (
    "curate",
    "curate.scores",
    "curate.torch",
    "curate.train.models",
    "curate.train.data",
    "curate.train.methods",
)
"""Parts that a method may see: types, pure mathematics, losses, models, batches, and what methods share."""
OF_METHODS = ("agm", "balance", "iprm", "losses", "mixup", "valuation")
"""Modules of `curate.torch` that methods are made of."""
LONGEST_FILE, LONGEST_FUNCTION = 400, 60
LONG = {
    "curate.scores.mixture.fit": "mostly its docstring, the reference of every setting",
    "curate.train.commands.scoring.score": "mostly its options",
    "curate.train.commands.comparing.compare": "mostly its options",
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
TOPMOST = ("curate", "curate.__main__")
"""Modules of the lowest part that load higher ones: public names on first use, and the command line."""
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


def ours(module: str) -> Iterator[str]:
    """The modules of ours that a module imports."""
    yield from (name for name, _ in IMPORTS[module] if name in FILES)


def test_imports_go_down() -> None:
    """The public names of `curate/__init__.py` are loaded when they are used."""
    height = {module: PARTS.index(part(module)) for module in FILES}
    assert not [(m, n) for m in FILES if m not in TOPMOST for n in ours(m) if height[n] > height[m]]


def test_there_is_no_circle() -> None:
    graph = {m: set(ours(m)) - {m} for m in FILES if m != "curate"}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)


def test_inside_a_part_imports_are_relative_and_across_parts_absolute() -> None:
    inner = [m for m in FILES if m not in ("curate", "curate.cli")]
    named = [(m, n, relative) for m in inner for n, relative in IMPORTS[m] if n in FILES and n != "curate"]
    assert not [(m, n) for m, n, relative in named if relative != (part(m) == part(n))]


def test_torch_is_of_the_model_side_and_duckdb_of_the_store() -> None:
    tops = {m: {name.split(".")[0] for name, _ in IMPORTS[m]} for m in FILES}
    assert not [m for m in FILES if tops[m] & TORCH and not m.startswith(WITH_TORCH)]
    assert not [m for m in FILES if "duckdb" in tops[m] and part(m) not in DUCKDB]


def test_the_mathematics_of_scores_sees_nothing_else() -> None:
    assert {part(n) for m in FILES if part(m) == "curate.scores" for n in ours(m)} <= {"curate", "curate.scores"}


def test_a_method_sees_no_other_method_and_never_the_store() -> None:
    methods = {f"curate.train.methods.{name}" for name in catalog.names()}
    assert len(methods) > 20 and methods <= set(FILES)
    assert not [(m, n) for m in methods for n in ours(m) if n in methods or part(n) not in OF_A_METHOD]
    used = {n for m in methods for n in ours(m) if part(n) == "curate.torch"}
    assert used == {f"curate.torch.{name}" for name in OF_METHODS}
    assert not [(m, n) for m in used for n in ours(m) if part(n) == "curate.table"], "nor through these"


def test_nothing_but_the_stage_the_command_and_the_settings_section_is_called_train() -> None:
    """Whoever searches for the training finds two functions, and the section that `--set train.epochs` names."""
    found = set()
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            function = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == "train"
            stored = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == "train"
            if function or stored or (isinstance(node, ast.arg) and node.arg == "train"):
                found.add(module)
    stages = "curate.train.stages"
    assert found == {"curate.train.commands.training", f"{stages}.training", f"{stages}.settings"}


OWNERS = {type(made).__module__: made.TABLES for made in vars(Store("x")).values() if hasattr(made, "TABLES")}


def test_every_table_has_one_owner() -> None:
    schema = (ROOT / "curate/store/schema.sql").read_text()
    made = {t.removesuffix("_here") for t in re.findall(r"CREATE TABLE (\w+)", schema)} - {"schema_version"}
    assert sorted(t for tables in (*OWNERS.values(), items.TABLES, beside.TABLES) for t in tables) == sorted(made)


@pytest.mark.parametrize("module", OWNERS)
def test_no_part_of_the_store_knows_the_tables_of_another(module: str) -> None:
    """A question over several parts is a file of `store/sql`."""
    others = {t for m, tables in OWNERS.items() if m != module for t in tables}
    texts = [n.value for n in ast.walk(TREES[module]) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    named = {t for text in texts for t in re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE) (\w+)", text)}
    assert not {t.removesuffix("_here") for t in named} & others


def test_only_commands_speak_to_people() -> None:
    for module, tree in TREES.items():
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert "print" not in calls, module
        assert part(module) in SPEAK_TO_PEOPLE or not {"typer.echo", "click.echo"} & calls, module


def test_names_are_plain() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not {module for module in FILES if drawers & set(module.split("."))}
    beside = [m for m in FILES if m.count(".") == 1 and m not in PACKAGES]
    assert len(beside) <= 12


def test_files_and_functions_are_short_or_have_a_reason() -> None:
    assert not [m for m, path in FILES.items() if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_FILE]
    long = {
        f"{module}.{node.name}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    }
    assert long == set(LONG)


def test_no_module_holds_state_that_changes() -> None:
    for module, tree in TREES.items():
        check_state(module, tree)


def check_state(module: str, tree: ast.Module) -> None:
    """Constants in capitals are taken at their word."""
    mutable = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    makers = {"list", "dict", "set", "defaultdict", "OrderedDict", "Counter", "deque", "bytearray"}
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        value = node.value
        made = isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] in makers
        if isinstance(value, mutable) or made:
            assigned = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {ast.unparse(t) for t in assigned}
            assert all(n.isupper() or n in ("__all__", "_WHERE") for n in names), f"{module}: {names} can be changed"
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]


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
        "curate.predictions.score",
        pytest.param("curate.view.server", marks=pytest.mark.skipif(not find_spec("starlette"), reason="extra view")),
        "curate.train.methods.catalog",
    ],
)
def test_what_needs_no_model_is_imported_without_torch_pandas_and_scikit_learn(module: str) -> None:
    python(f"import {module}", "pandas", "sklearn", *TORCH)


@pytest.mark.long
@pytest.mark.model
def test_callbacks_load_the_trainers_of_others_only_when_they_are_imported() -> None:
    asked = "import importlib, curate.torch\nfor name in ('lightning', 'transformers'):\n"
    asked += " try: importlib.import_module(f'curate.{name}')\n except Exception as e: print(type(e).__name__, e.hint)"
    hints = python(asked, "lightning", "transformers", "accelerate").splitlines()
    extras = [f"'curate-mm[{name}]'" for name in ("lightning", "transformers")]
    assert hints == [f"CurateError install the extra: pip install {extra}" for extra in extras]


def test_starting_the_command_line_loads_nothing_heavy() -> None:
    heavy = ("numpy", "scipy", "pandas", "sklearn", "duckdb", "matplotlib", "av", "PIL", "fsspec", *TORCH)
    loaded = python(
        f"import curate.cli, curate.train.methods.catalog\nprint([m for m in {heavy!r} if m in sys.modules])"
    )
    assert loaded.strip() == "[]"
