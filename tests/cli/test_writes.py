"""No command writes anywhere but where it was told to, and none replaces a file without a word."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.comparison.plan import Row
from curate.store.store import Store

RUN, SELECTION, COMPARISON = "score-manifest-1", "keepme", "mine"
NAMES = (RUN, "score-manifest-2", SELECTION, COMPARISON, "p_balanced >= 0.5", "0.5", "s00", "ant", "manifest", "name")
NAMES += ("path", "run", "samples", "incoming", "toy", "audio", "prob", "gaussian", "warmup", "train")


@pytest.fixture
def away(tmp_path_factory: pytest.TempPathFactory, scored_folder: Path, clips: Path) -> Path:
    """A scored table with a selection and a comparison, not in the working folder."""
    folder = tmp_path_factory.mktemp("away")
    shutil.copytree(scored_folder, folder, dirs_exist_ok=True)
    table = Store(folder / "curate.duckdb")
    table.selections.make(RUN, name=SELECTION, threshold=0.0)
    table.comparisons.begin(COMPARISON, "manifest", (Row("joint", "joint", control=True), Row("new", "iprm")), [0, 1])
    table.comparisons.fill(COMPARISON, "manifest", "new", 0, None, "it diverged")
    return table.path


@pytest.fixture
def sentinels(workplace: Path) -> dict[str, str]:
    """{name: content} of files in the working folder, named like everything that a statement could be given."""
    found = {name: f"mine: {name}" for name in NAMES}
    for name, text in found.items():
        (workplace / name).write_text(text)
    return found


def files(folder: Path) -> dict[str, Path]:
    """{path below a folder: where it is} of every file in it."""
    return {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}


WRITING = [
    *(("select", "--threshold", "0", "--name", SELECTION, "-o", f"out.{s}") for s in ("csv", "parquet", "txt")),
    ("select", "--top", "3", "--where", "label_name = 'ant'", "--run", RUN, "-o", "out.csv"),
    ("select", "--top", "3", "--name", "name", "-o", "out.csv"),
    ("export", "out.csv"),
    ("export", "out.parquet"),
    ("compare", "--show", "--name", COMPARISON, *(w for s in ("md", "csv", "tex", "html") for w in ("-o", f"out.{s}"))),
]
TABLE_ONLY = [
    ("select", "--top", "5", "--name", "path"),
    ("select", "--top", "5", "--name", "samples", "--replace"),
    ("select", "--dry-run"),
    ("selections",),
    ("selections", SELECTION),
    ("selections", SELECTION, "--remove", "--yes"),
    ("score", "--refit", RUN, "--family", "student-t"),
    ("runs", RUN),
    ("recommend",),
    ("sql", "SELECT * FROM samples"),
    ("sql", "SELECT * FROM 's00'", "--allow-files"),
]


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_a_command_writes_the_files_it_was_told_to_and_no_other(
    curate: Callable, workplace: Path, away: Path, sentinels: dict[str, str], caplog: pytest.LogCaptureFixture,
    command: tuple[str, ...],
) -> None:  # fmt: skip
    asked = {word for word in command if word.startswith("out.")}
    ended = curate(*command, "--db", away)
    assert ended.code == 0, ended.err
    assert files(workplace).keys() == sentinels.keys() | asked
    assert all((workplace / name).read_text() == text for name, text in sentinels.items())
    assert not [r for r in caplog.records if "replaced" in r.getMessage()]
    for name in asked:
        (workplace / name).write_text("old")
    assert curate(*command, "--db", away).code == 0
    assert files(workplace).keys() == sentinels.keys() | asked
    assert all((workplace / name).read_bytes() != b"old" for name in asked)
    assert {r.getMessage() for r in caplog.records} == {f"replaced {name}" for name in asked}


@pytest.mark.parametrize(
    "output", ["out.foo", "out", "nowhere/out.csv", "folder.csv", "https://nowhere.invalid/o.csv", "memory://b/o.csv"]
)
@pytest.mark.parametrize(
    "command",
    [
        ("select", "--top", "3", "--name", "new"),
        ("select", "--top", "3", "--name", SELECTION, "--replace"),
        ("selections", SELECTION),
        ("export",),
        ("sql", "SELECT 1"),
        ("runs",),
        ("table", "--rows", "beside"),
        ("compare", "--show", "--name", COMPARISON),
    ],
    ids=" ".join,
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_done(
    curate: Callable, away: Path, content: Callable, command: tuple[str, ...], output: str
) -> None:
    Path("folder.csv").mkdir()
    before = content(away)
    ended = curate(*command, "-o", output, "--db", away)
    assert (ended.code, ended.out) == (1, "") and "cannot write" in ended.err, ended
    assert "space left" not in ended.err
    assert content(away) == before
    assert Store(away).rows("SELECT count(*) FROM selection") == [(1,)]


@pytest.mark.parametrize("command", ["train", "evaluate", "improve", "selfcheck"])
def test_what_takes_long_looks_at_its_file_first(curate: Callable, away: Path, command: str) -> None:
    ended = curate(command, "-o", "nowhere/out.csv", "--quiet")
    assert ended.code == 1 and "the folder nowhere does not exist" in ended.err, ended


@pytest.mark.parametrize("command", TABLE_ONLY, ids=" ".join)
def test_a_command_that_writes_to_the_table_alone_leaves_the_working_folder(
    curate: Callable, workplace: Path, away: Path, sentinels: dict[str, str], command: tuple[str, ...]
) -> None:
    curate(*command, "--db", away)
    found = files(workplace)
    assert {name: path.read_text() for name, path in found.items()} == sentinels
    assert {name.split("/")[0] for name in files(away.parent)} <= {"curate.duckdb", "curate.runs"}


@pytest.mark.long
def test_a_report_stays_in_its_folder_and_says_that_it_replaced_a_page(
    curate: Callable, workplace: Path, away: Path, sentinels: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    page = Path(curate("report", "--run", RUN, "-o", "pages", "--db", away).out.strip())
    assert page == Path("pages", RUN, "index.html")
    first = files(workplace)
    assert {name for name in first if not name.startswith(f"pages/{RUN}/")} == sentinels.keys()
    assert not caplog.records
    assert curate("report", "--run", RUN, "-o", "pages", "--db", away).code == 0
    assert files(workplace).keys() == first.keys()
    assert [r.getMessage() for r in caplog.records] == [f"replaced {page}"]


def test_saved_predictions_are_scored_into_the_table_alone(
    curate: Callable, workplace: Path, away: Path, sentinels: dict[str, str]
) -> None:
    rows = [f"s{i:02},{'xy'[i % 2]},{i % 2 * 2 - 1 + i / 40},0,{i % 3 - 1},0" for i in range(30)]
    preds = away.parent / "preds.csv"
    preds.write_text("\n".join(["sample_id,label,audio.y,audio.x,image.y,image.x", *rows]) + "\n")
    for more in ((), ("--only-missing",)):
        ended = curate("score", "--predictions", preds, "--dataset", "toy", "--db", away, *more)
        assert ended.code == 0, ended.err
    assert {name: path.read_text() for name, path in files(workplace).items()} == sentinels


def test_a_file_that_cannot_be_written_whole_leaves_the_earlier_one(
    curate: Callable, workplace: Path, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong on the way: here the file is whole, and cannot take the other's place."""

    def refuse(self: Path, target: Path) -> None:
        raise OSError(28, os.strerror(28))

    Path("out.csv").write_text("old")
    monkeypatch.setattr(Path, "replace", refuse)
    for command in (("select", "--threshold", "0", "--name", SELECTION, "-o", "out.csv"), ("export", "out.csv")):
        ended = curate(*command, "--db", away)
        assert ended.code == 1 and ended.err.startswith(f"error: cannot write out.csv: {os.strerror(28)}")
        assert ("the selection is stored" in ended.err) == (command[0] == "select")
    assert {name: p.read_text() for name, p in files(workplace).items()} == {"out.csv": "old"}


def test_what_the_system_refuses_is_said_in_words_and_without_its_number(
    curate: Callable, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("curate.store.runs.Runs.overview", full)
    ended = curate("runs", "--db", away)
    assert ended.code == 1 and ended.err.startswith(f"error: {os.strerror(28)}\nhint: ")


def test_a_selection_that_could_not_be_written_is_written_by_the_command_of_the_hint(
    curate: Callable, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        ended = curate("select", "--top", "3", "-o", "out.csv", "--db", away)
    assert ended.code == 1 and "the selection is stored" in ended.err
    (typed,) = re.findall("`curate (selections [^`]+)`", " ".join(ended.err.split()))
    assert curate(*shlex.split(typed.replace("FILE", "out.csv"))).code == 0
    assert len(Path("out.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize("place", ["https://nowhere.invalid/folder", "memory://folder"])
@pytest.mark.parametrize("command", [("export", "--to", "hf"), ("export", "--to", "webdataset"), ("report",)])
def test_a_folder_that_cannot_be_written_is_refused(
    curate: Callable, away: Path, command: tuple[str, ...], place: str
) -> None:
    ended = curate(*command, "-o", place, "--db", away)
    assert ended.code == 1 and f"cannot write {place}" in ended.err, ended
