"""What is released: one version, every dependency named wherever dependencies are, and a wheel that works by itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
CONDA = {"duckdb": "python-duckdb", "matplotlib": "matplotlib-base"}
"""Names of packages there, where they differ."""


def bounds(requirements: list[str]) -> dict[str, str]:
    """{package: its version bound}."""
    return dict(re.match(r"([\w.-]+?)\s*([<>=].*)", line).groups() for line in requirements)


def test_the_version_is_the_same_everywhere() -> None:
    citation = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    recipe = re.findall(r'^  version: "(.+)"$', (ROOT / "packaging/recipe.yaml").read_text(encoding="utf-8"), re.M)
    assert citation == recipe == [PROJECT["version"]]


def test_the_recipe_needs_what_the_project_needs() -> None:
    recipe = (ROOT / "packaging/recipe.yaml").read_text(encoding="utf-8")
    run = re.search(r"^  run:\n((?:    - .*\n)+)", recipe, re.M)
    assert run is not None
    own = {CONDA.get(name, name): bound for name, bound in bounds(PROJECT["dependencies"]).items()}
    assert bounds(re.findall(r"- (.+)", run[1])) == {"python": PROJECT["requires-python"], **own}


def test_every_dependency_has_its_licence_told() -> None:
    told = set(re.findall(r"^\| ([\w.-]+) \|", (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8"), re.M))
    extras = [name for group in PROJECT["optional-dependencies"].values() for name in bounds(group)]
    assert told - {"package"} == {*bounds(PROJECT["dependencies"]), *extras}


def test_a_wheel_has_every_file_that_is_not_python() -> None:
    command = ["git", "ls-files", "curate", "train"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    files = [Path(f) for f in listed.stdout.split() if not f.endswith(".py") and not (ROOT / f).is_symlink()]
    if not files:
        pytest.skip("not a clone: git lists no file")
    wanted = SETTINGS["tool"]["setuptools"]["package-data"]["curate"]
    assert not [f for f in files if f.parts[0] != "curate" or not any(f.match(f"curate/{glob}") for glob in wanted)]


@pytest.mark.long
def test_what_is_built_installs_and_works_outside_the_repository(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "uv", "build", "-q", "--sdist", "--wheel", "-o", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True)
    smoke = [sys.executable, str(ROOT / "packaging/smoke.py"), str(tmp_path), "--version", PROJECT["version"]]
    done = subprocess.run(smoke, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.count("installed and used") == 2, done.stdout + done.stderr
