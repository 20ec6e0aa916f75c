"""The README's commands exist, and those of the main job run as they are typed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command

from curate import cli
from curate.datasets import avdigits

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SPEECH = Path(os.environ.get("CURATE_TEST_DATA", ROOT.parent / "shared/data")) / "free-spoken-digit-dataset"
COMMANDS = get_command(cli.app).commands


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    return re.split(r"^##+ ", README.partition(f"# {title}\n")[2], maxsplit=1, flags=re.M)[0]


def table(title: str) -> list[list[str]]:
    """The rows of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def code(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def typed() -> list[list[str]]:
    """Every `curate ...` of the README, on a line of its own or in a sentence, as words."""
    lines = re.findall(r"^\s*(curate .*)$", README, re.M) + re.findall(r"`(curate [a-z]+[^`\n]*)`", README)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_every_command_is_documented() -> None:
    named = re.findall(r"`([a-z]+)(?: \[NAME\])?`", " ".join(row[0] for row in table("Commands")))
    assert set(COMMANDS) == set(named)


def test_every_method_and_only_known_knobs_are_in_the_table() -> None:
    from curate.train.methods import catalog

    rows = {code(name)[0]: (from_, code(knobs)) for name, from_, _, knobs in table("Methods")}
    entries = {e.name: e for e in catalog.entries()}
    assert rows.keys() == entries.keys()
    for name, (from_, knobs) in rows.items():
        assert set(knobs) <= entries[name].knobs.keys(), name
        assert from_.split(",")[0].split(" ")[0] in entries[name].paper, name


def test_every_data_set_is_named_and_asks_for_what_the_table_says() -> None:
    from curate.datasets import find, names

    rows = table("The papers' data sets")
    assert set(names()) - {code(row[0])[0] for row in rows} == {"avdigits", "demo", "features", "manifest"}
    for name, modalities, _, _ in rows:
        fixed = modalities.replace(" ", "")
        assert fixed == getattr(find(code(name)[0]).Options(), "modalities", fixed), name


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


def test_named_views_and_tables_of_papers_exist() -> None:
    from curate.comparison.plan import table_names

    views = (ROOT / "curate/store/samples.sql").read_text() + (ROOT / "curate/store/schema.sql").read_text()
    for row in table("The table"):
        assert all(f"VIEW {name} AS" in views for name in code(row[0])), row
    assert set(re.findall(r"`((?:adaptive|iprm|usability)/\w+)`", section("Comparing"))) == set(table_names())


@pytest.mark.parametrize("words", typed(), ids=" ".join)
def test_documented_commands_and_options_exist(words: list[str]) -> None:
    command = COMMANDS[words[0]]
    known = {name for p in command.params for name in p.opts}
    assert {w for w in words[1:] if re.fullmatch(r"--?[a-z][a-z-]*", w)} <= known


@pytest.mark.model
def test_documented_settings_exist() -> None:
    from curate.datasets import find, names
    from curate.predictions.score import PredictionsConfig
    from curate.train.loop.engine import OptimConfig
    from curate.train.methods import catalog
    from curate.train.models.model import ModelConfig
    from curate.train.stages.settings import ScoreConfig, TrainConfig

    known = {f"method.{k}" for e in catalog.entries() for k in e.knobs} | {"data.KEY", "method.KEY"}
    known |= {f"data.{f}" for name in names() for f in find(name).Options.__dataclass_fields__}
    for section, config in (
        ("optim", OptimConfig),
        ("model", ModelConfig),
        ("score", ScoreConfig),
        ("score", PredictionsConfig),
        ("train", TrainConfig),
    ):
        known |= {f"{section}.{k}" for k in config.__dataclass_fields__}
    written = set(re.findall(r"\b((?:data|model|optim|score|train|method)\.[a-zA-Z_]+)=", README))
    assert written and written <= known


@pytest.mark.long
@pytest.mark.model
@pytest.mark.skipif(
    not SPEECH.is_dir(), reason=f"the Free Spoken Digit Dataset is not at {SPEECH}; set CURATE_TEST_DATA"
)
def test_the_main_job_runs_as_typed(workplace: Path, monkeypatch: pytest.MonkeyPatch, curate: Callable) -> None:
    """On a tenth of the recordings, each test picture with one of them, and with few epochs by curate.toml."""
    recordings = workplace / "speech" / "recordings"
    recordings.mkdir(parents=True)
    for path in sorted((SPEECH / "recordings").glob("*.wav")):
        if int(path.stem.split("_")[2]) in (0, 5, 6, 10, 11, 12):
            (recordings / path.name).symlink_to(path)
    (workplace / "curate.toml").write_text("[score]\nepochs = 1\n[train]\nepochs = 4\n")
    monkeypatch.setattr(avdigits, "TEST_DRAWS", 1)
    monkeypatch.setenv("FSDD", str(recordings.parent))
    lines = "".join(re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)).split("\n")
    commands = [shlex.split(os.path.expandvars(line), comments=True) for line in lines if line]
    assert {"score", "select", "train", "report"} <= {words[1] for words in commands}
    for words in commands:
        ended = curate(*words[1:])
        assert (words[0], ended.code) == ("curate", 0), (words, ended.err)
    ids = Path("clean.csv").read_text().splitlines()
    assert ids[0].startswith("sample_id") and len(ids) > 1
    (page,) = Path("reports").glob("*/index.html")
    assert "adaptive" in page.read_text(encoding="utf-8")
