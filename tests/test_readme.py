"""The README is short, and what it and the guide name exists; their blocks are run by `tests/cli/test_pages.py`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from curate import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HOWTO = ROOT / "docs/howto"


def rows(page: Path) -> list[list[str]]:
    """The rows of a page's tables, as cells."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def code(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def test_it_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) < 150
    links = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", README)]
    assert len(links) > 10 and not [link for link in links if "://" not in link and not (ROOT / link).exists()]


def test_the_two_set_up_commands_are_targets() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    named = re.findall(r"^    make (\w+)", README, re.M)
    assert {"demo", "test", "docs"} <= set(named) <= set(targets)


def test_the_commands_that_it_names_exist() -> None:
    commands = get_command(cli.app).commands
    for name, words in re.findall(r"`?curate ([a-z]+)([^`\n]*)", README):
        if name in ("and", "finds", "clean"):
            continue
        known = {option for p in commands[name].params for option in p.opts} if name in commands else set()
        assert name in commands or f"`curate {name}" not in README, name
        assert name not in commands or set(re.findall(r"(?<!\w)--[a-z-]+", words)) <= known, name


def test_every_data_set_of_the_papers_is_named_and_asks_for_what_the_page_says() -> None:
    from curate.datasets import find, names

    listed = {code(cells[0])[0]: cells[1] for cells in rows(HOWTO / "paper-data-sets.md") if code(cells[0])}
    assert set(names()) - set(listed) == {"avdigits", "demo", "features", "manifest", "parquet", "webdataset"}
    for name, modalities in listed.items():
        fixed = modalities.replace(" ", "")
        assert fixed == getattr(find(name).Options(), "modalities", fixed), name


def test_every_table_of_the_papers_is_named() -> None:
    from curate.comparison.plan import table_names

    text = (HOWTO / "compare.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`((?:adaptive|iprm|usability)/\w+)`", text)) == set(table_names())


@pytest.mark.model
def test_the_losses_that_stand_for_a_method_exist() -> None:
    import curate.torch
    from curate.train.methods import catalog

    text = (HOWTO / "own-loop.md").read_text(encoding="utf-8")
    table = text.partition("| `curate.torch` | method |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        objects, methods = (code(cell) for cell in line.strip("|").split("|")[:2])
        assert all(hasattr(curate.torch, name.partition("(")[0]) for name in objects)
        assert methods[0] in catalog.names()


def test_the_tree_is_the_tree() -> None:
    """What the guide names exists, and of folders and modules beside them it names all."""
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = re.search(r"^    curate/ .*?^    reports/[^\n]*", guide, re.M | re.S)
    assert tree is not None and tree[0].count("\n") < 40
    links = {ROOT / "curate/train", ROOT / "curate/cli.py"}
    for side in ("curate", "train"):
        own = re.search(rf"^    {side}/ .*?(?=^    \w)", tree[0], re.M | re.S)
        assert own is not None
        named = set(re.findall(r"\b[a-z_]+(?:\.py|/)", own[0].partition("\n")[2]))
        there = {p for p in (ROOT / side).iterdir() if p not in links and p.name[0] not in "_."}
        there = {f"{p.name}/" if p.is_dir() else p.name for p in there if p.is_dir() or p.suffix == ".py"}
        assert there <= named
    paths = set(re.findall(r"`((?:curate|train|tests)/[\w/]+(?:\.\w+)?)`", guide)) - {
        "tests/train/methods/test_NAME.py"
    }
    assert not [p for p in paths if not (ROOT / p).exists() and "NAME" not in p]


def test_as_many_methods_are_told_as_there_are() -> None:
    pytest.importorskip("torch")
    from curate.train.methods import catalog

    for page in ("README.md", "docs/peers.md"):
        (told,) = re.findall(r"(\d+) methods and baselines", (ROOT / page).read_text(encoding="utf-8"))
        assert int(told) == len(catalog.names())
