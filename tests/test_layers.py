"""The laws of the house, read from the source: who may import whom, and what may not stand in a module."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([ROOT / "cli.py", *(ROOT / "curate").rglob("*.py"), *(ROOT / "train").rglob("*.py")])
TREES = {p.relative_to(ROOT).as_posix(): ast.parse(p.read_text(encoding="utf-8")) for p in FILES}
METHODS = [f for f in TREES if f.startswith("train/methods/") and not f.endswith("__init__.py")]
PURE = {
    f"curate/{room}.py": {"curate.types", "curate.errors"}
    for room in ("gap", "selection", "metrics", "types", "errors")
} | {
    "curate/scores/cells.py": {"curate.types"},
    "curate/scores/em.py": {"curate.scores.cells", "curate.types"},
    "curate/scores/mixture.py": {"curate.scores.cells", "curate.scores.em", "curate.scores.two_sided", "curate.types"},
    "curate/scores/two_sided.py": {"curate.scores.cells", "curate.types"},
}
SPEAKS_SQL = {
    "curate/store/connection.py",
    "curate/store/migration.py",
    "curate/store/rounds.py",
    "curate/store/selections.py",
    "curate/datasets/vectors.py",
    "curate/files/tables.py",
}
SEES_OF_A_METHOD = {
    "curate.train.methods.method",
    "curate.train.models.model",
    "curate.train.models.fusion",
    "curate.train.methods.losses",
    "curate.train.data.samples",
    "curate.train.methods.optim",
    "curate.train.methods.balance",
    "curate.train.models.encoders",
    "curate.train.methods.knobs",
    "curate.train.models.mmtm",
    "curate.types",
    "curate.errors",
    "curate.scores.two_sided",
}
TORCH = {"torch", "torchvision", "torchaudio"}
SPEAKS = {"cli.py", "curate/commands/messages.py"}
NAMED_TRAIN = {("cli.py", "train"), ("train/stages/stages.py", "train")}


def is_module(name: str) -> bool:
    """Whether a dotted name is a module or package of this house."""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def imports(file: str, tree: ast.Module) -> set[str]:
    """Every module a file imports, anywhere in it, with relative names made absolute."""
    package = Path(file).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            ours = module.split(".")[0] in ("curate", "train")
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= {name if ours and is_module(name) else module for name in inner}
    return found


IMPORTS = {file: imports(file, tree) for file, tree in TREES.items()}


def tops(file: str) -> set[str]:
    """The top-level packages a file imports."""
    return {name.split(".")[0] for name in IMPORTS[file]}


def of(file: str, package: str) -> set[str]:
    """What a file imports of one package."""
    return {name for name in IMPORTS[file] if name.split(".")[0] == package}


def bound(tree: ast.Module) -> Iterator[str]:
    """Names of functions, classes, parameters, fields and variables that a file makes; what it imports is another's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def test_the_walk_sees_what_it_should():
    assert {"cli.py", "curate/scores/mixture.py", "train/stages/stages.py", "train/methods/adaptive.py"} <= set(TREES)
    assert len(METHODS) >= 5
    assert (
        "curate.types" in IMPORTS["curate/scores/mixture.py"]
        and "curate.train.methods.method" in IMPORTS["train/methods/joint.py"]
    )
    assert (
        "curate.train.methods.catalog" in IMPORTS["train/stages/stages.py"]
        and "curate.errors" in IMPORTS["curate/store/connection.py"]
    )
    code = "from . import joint\nfrom ..x import y\nfrom ...curate import gap\nimport torch.nn\nif 1:\n import duckdb"
    assert imports("train/methods/a.py", ast.parse(code)) == {
        "curate.train.methods.joint",
        "train.x",
        "curate.scores.gap",
        "torch.nn",
        "duckdb",
    }


@pytest.mark.parametrize("file", [f for f in TREES if f.startswith("curate/")])
def test_the_data_side_knows_neither_the_model_side_nor_torch(file):
    assert not tops(file) & {"train", "cli", *TORCH}


@pytest.mark.parametrize("file", PURE)
def test_pure_rooms_see_types_and_errors_alone(file):
    assert of(file, "curate") <= PURE[file]


def test_only_the_table_speaks_sql():
    assert {file for file in TREES if "duckdb" in tops(file)} == SPEAKS_SQL


@pytest.mark.parametrize("file", METHODS)
def test_a_method_sees_no_other_method_and_never_the_table(file):
    assert of(file, "curate") | of(file, "train") <= SEES_OF_A_METHOD
    assert not tops(file) & {"duckdb", "cli"}


@pytest.mark.parametrize("file", [f for f in TREES if f.startswith("train/")])
def test_the_model_side_is_imported_relatively_inside_itself(file):
    absolute = {node.module for node in ast.walk(TREES[file]) if isinstance(node, ast.ImportFrom) and not node.level}
    assert not {name for name in absolute if name and name.split(".")[0] in ("train", "cli")}


@pytest.mark.parametrize("file", TREES)
def test_nothing_prints_and_only_the_command_line_speaks(file):
    calls = [node.func for node in ast.walk(TREES[file]) if isinstance(node, ast.Call)]
    assert not [f for f in calls if isinstance(f, ast.Name) and f.id == "print"]
    if file not in SPEAKS:
        assert not [f for f in calls if isinstance(f, ast.Attribute) and ast.unparse(f) in ("typer.echo", "click.echo")]
        assert "curate.commands.messages" not in IMPORTS[file]


def test_no_module_is_a_drawer_for_odds_and_ends():
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not {file for file in TREES if drawers & set(Path(file).with_suffix("").parts)}


def test_nothing_but_the_stage_and_the_command_is_called_train():
    assert {(file, name) for file, tree in TREES.items() for name in bound(tree) if name == "train"} == NAMED_TRAIN


@pytest.mark.parametrize("file", TREES)
def test_no_module_holds_state_that_changes(file):
    mutable = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    makers = {"list", "dict", "set", "defaultdict", "OrderedDict", "Counter", "deque", "bytearray"}
    for node in TREES[file].body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        value = node.value
        made = isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] in makers
        if isinstance(value, mutable) or made:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {ast.unparse(t) for t in targets}
            assert all(n.isupper() or n in ("__all__", "_WHERE") for n in names), f"{file}: {names} can be changed"
    assert not [node for node in ast.walk(TREES[file]) if isinstance(node, ast.Global)]


@pytest.mark.parametrize("file", TREES)
def test_every_public_thing_says_what_it_is(file):
    def walk(owner: ast.Module | ast.ClassDef, name: str) -> Iterator[str]:
        if not ast.get_docstring(owner):
            yield name
        for node in owner.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from walk(node, node.name)
            elif (
                isinstance(owner, ast.Module)
                and isinstance(node, ast.FunctionDef)
                and not node.name.startswith("_")
                and not ast.get_docstring(node)
            ):
                yield node.name

    assert list(walk(TREES[file], "module")) == []


def python(code: str, *blocked: str) -> str:
    """What a fresh interpreter prints, in which the blocked packages cannot be imported."""
    block = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in blocked)
    done = subprocess.run([sys.executable, "-c", block + code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "module",
    [
        "cli",
        "curate",
        "curate.store.table",
        "curate.scores.selection",
        "curate.scores.mixture",
        "curate.datasets.cache",
        "curate.datasets",
        "train",
        "curate.train.methods.catalog",
    ],
)
def test_what_needs_no_model_is_imported_without_torch_pandas_and_scikit_learn(module):
    python(f"import {module}", "pandas", "sklearn", *TORCH)


@pytest.mark.parametrize("module", ["cli", "curate", "train", "curate.train.methods.catalog"])
def test_starting_the_command_line_loads_nothing_heavy(module):
    heavy = ("numpy", "scipy", "pandas", "sklearn", "duckdb", "matplotlib", "av", "PIL", *TORCH)
    loaded = python(f"import {module}\nprint([m for m in {heavy!r} if m in sys.modules])")
    assert loaded.strip() == "[]"
