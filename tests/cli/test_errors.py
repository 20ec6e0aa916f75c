"""Bad input: one line of error, one hint, the right exit status, and nothing stored is lost (see `refused`)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

Refused = Callable[..., str]
SCORE = ("score", "--quiet", "--dataset", "manifest", "--epochs", "1")


@pytest.fixture
def score(refused: Refused, clips: Path, small_settings: Callable[..., list[str]]) -> Refused:
    """`curate score` on the small data set, which must be refused; options given replace its own."""

    def run(*args: str | Path, root: Path = clips, **settings: object) -> str:
        return refused(*SCORE, "--root", root, *small_settings(), *args, **settings)

    return run


# --- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "error", "offer"),
    [
        (("score", "--dataset", "manifst"), "unknown data set 'manifst'", "did you mean 'manifest'?"),
        (("prepare", "--dataset", "manifst"), "unknown data set 'manifst'", "did you mean 'manifest'?"),
        (("datasets", "manifst"), "unknown data set 'manifst'", "did you mean 'manifest'?"),
        (("train", "--method", "adaptve"), "unknown method 'adaptve'", "did you mean 'adaptive'?"),
        (("methods", "jont"), "unknown method 'jont'", "did you mean 'joint'?"),
        (("train", "--method", "joint", "--set", "optim.lrr=1"), "unknown setting 'optim.lrr'", "'optim.lr'?"),
        (("train", "--method", "joint", "--set", "optm.lr=1"), "unknown section 'optm'", "did you mean 'optim'?"),
        (("train", "--method", "adaptive", "--set", "method.alpah=1"), "'method.alpah'", "'method.alpha'?"),
        (
            ("train", "--method", "joint", "--set", "data.rate=1"),
            "train has no setting data.rate",
            "model, optim, train",
        ),
        (("train", "--method", "subset", "--selection", "god"), "unknown selection 'god'", "did you mean 'good'?"),
        (("train", "--method", "joint", "--run", "score-manifst-1"), "unknown run", "'score-manifest-1'?"),
        (("evaluate", "--run", "score-manifst-1"), "unknown run", "'score-manifest-1'?"),
        (("select", "--threshold", "0.5", "--run", "score-manifst-1"), "unknown run", "'score-manifest-1'?"),
        (("report", "--run", "score-manifst-1"), "unknown run", "'score-manifest-1'?"),
        (("runs", "score-manifst-1"), "unknown run", "'score-manifest-1'?"),
        (("score", "--resume", "--run", "score-manifst-1"), "unknown run", "'score-manifest-1'?"),
    ],
)
def test_an_unknown_name_offers_the_nearest(
    refused: Refused, curate: Callable, db: Path, command: tuple[str, ...], error: str, offer: str
) -> None:
    assert curate("select", "--top", "3", "--name", "good").code == 0
    told = refused(*command)
    assert error in told and offer in told


@pytest.mark.parametrize("command", [("score",), ("train",)])
def test_a_command_that_lacks_its_subject_says_so(refused: Refused, db: Path, command: tuple[str, ...]) -> None:
    assert f"{command[0]} needs " in refused(*command)


# --- values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        "optim.lr=fast",
        "optim.lr=[1]",
        "optim.lr=true",
        "optim.batch_size=2.5",
        "optim.batch_size=0",
        "data.standardize=5",
        "data.rate=eight",
        "data.rate=0",
        "data.fill=loop",
        "score.gap=gap",
        "model.fusion=glue",
        "optim.lr",
        "nothing",
        "optim.=1",
        "=1",
    ],
)
def test_a_wrong_value_is_told_before_anything_runs(score: Refused, workplace: Path, setting: str) -> None:
    assert setting.removeprefix("data.").partition("=")[0] in score("--set", setting)
    assert not Path("curate.duckdb").exists()


@pytest.mark.parametrize("device", ["cuda:7", "gpu", "cuda:-1"])
def test_a_device_that_is_not_there(score: Refused, device: str) -> None:
    assert device in score("--device", device)


@pytest.mark.parametrize(
    "command",
    [
        ("select", "--threshold", "1.5"),
        ("select", "--threshold", "nan"),
        ("select", "--top", "0"),
        ("train", "--method", "subset", "--threshold", "7", "--quiet"),
        ("train", "--method", "adaptive", "--epochs", "3", "--quiet"),
        ("select", "--threshold", "0", "--output", "ids.json"),
        ("select", "--top", "1", "--output", "nowhere/ids.csv"),
        ("export", "table.xlsx"),
        ("export", "nowhere/table.csv"),
        ("report", "--output", "/proc/nowhere"),
    ],
)
def test_an_impossible_request(refused: Refused, db: Path, command: tuple[str, ...]) -> None:
    refused(*command)


# --- SQL -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["nope > 1", "gap >", "gap > 0; DROP TABLE run", "gap = 'loud'"])
def test_a_wrong_condition(refused: Refused, db: Path, where: str) -> None:
    refused("select", "--where", where)


@pytest.mark.parametrize(
    "query",
    [
        "SELEC 1",
        "SELECT nope FROM samples",
        "",
        "SELECT 1; SELECT 2",
        "DELETE FROM run",
        "DROP TABLE run",
        "CREATE TABLE mine (a INT)",
        "UPDATE run SET seed = 1",
        "COPY run TO 'stolen.csv'",
        "EXPORT DATABASE 'stolen'",
        "ATTACH 'stolen.db'",
        "SELECT * FROM read_csv('secret.csv')",
        "SELECT * FROM 'secret.csv'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ],
)
def test_sql_neither_writes_nor_touches_files(refused: Refused, db: Path, query: str) -> None:
    Path("secret.csv").write_text("a\n1\n")
    refused("sql", query)
    refused("sql", "-", stdin=query)
    assert not list(Path.cwd().glob("stolen*"))


# --- tables ----------------------------------------------------------------------------------------------------


def test_no_table(refused: Refused) -> None:
    for command in (
        ("runs",),
        ("sql", "SELECT 1"),
        ("select", "--top", "1"),
        ("train", "--method", "joint"),
        ("evaluate",),
        ("report",),
        ("export", "all.csv"),
        ("score", "--resume"),
        ("train", "--resume"),
    ):
        assert "no sample table at curate.duckdb" in refused(*command)
    assert not Path("curate.duckdb").exists()


def test_a_table_of_a_newer_curate(refused: Refused, score: Refused, db: Path) -> None:
    with duckdb.connect(str(db)) as con:
        con.execute("UPDATE schema_version SET version = 99")
    for told in (refused("runs"), refused("sql", "SELECT 1"), score()):
        assert "has schema version 99" in told and "install the newer curate" in told


@pytest.mark.parametrize("content", [b"sample_id,label\n1,2\n", b"", b"\x00" * 10_000])
def test_a_file_that_is_no_table(refused: Refused, score: Refused, workplace: Path, content: bytes) -> None:
    Path("other.db").write_bytes(content)
    refused("runs", "--db", "other.db")
    if content:
        score("--db", "other.db")
        assert Path("other.db").read_bytes() == content


def test_a_database_of_someone_else(refused: Refused, score: Refused, workplace: Path) -> None:
    with duckdb.connect("other.db") as con:
        con.execute("CREATE TABLE theirs AS SELECT 1 AS a")
    assert "not a sample table" in refused("runs", "--db", "other.db")
    assert "not a sample table" in score("--db", "other.db")


def test_a_locked_table_names_the_process(
    refused: Refused, score: Refused, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.store.connection.READ_PATIENCE", 0.1)
    monkeypatch.setattr("curate.store.connection.WRITE_PATIENCE", 0.1)
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", hold, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        nowhere = Path("none.duckdb")  # the content cannot be read now
        for told in (refused("runs", "--db", db, code=4, db=nowhere), score("--db", db, code=4, db=nowhere)):
            assert f"locked by process {holder.pid} " in told
    finally:
        holder.communicate()


# --- what there is nothing of ----------------------------------------------------------------------------------


def test_an_empty_selection(refused: Refused, db: Path) -> None:
    assert "nothing was stored" in refused("select", "--where", "p_balanced > 2", "--name", "none", code=5)
    with duckdb.connect(str(db), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM selection").fetchone() == (0,)


def test_an_empty_selection_keeps_the_one_of_that_name(refused: Refused, curate: Callable, db: Path) -> None:
    assert curate("select", "--top", "3", "--name", "mine").code == 0
    refused("select", "--where", "p_balanced > 2", "--name", "mine", "--replace", code=5)
    assert "exists" in refused("select", "--top", "4", "--name", "mine")


def test_training_on_an_empty_selection(refused: Refused, db: Path) -> None:
    with duckdb.connect(str(db)) as con:
        con.execute("UPDATE item_here SET p_balanced = [0.25] WHERE p_balanced IS NOT NULL")
    assert "p_balanced >= 0.5" in refused("train", "--method", "subset", "--epochs", "1", "--quiet", code=5)


def test_nothing_to_resume(refused: Refused, db: Path) -> None:
    assert "no unfinished score run" in refused("score", "--resume")
    assert "no unfinished score run" in refused("score", "--resume", "--run", "score-manifest-1")
    assert "no unfinished train run" in refused("train", "--resume")


@pytest.mark.parametrize("option", ["--epochs=3", "--seed=1", "--set=optim.lr=1"])
def test_a_resumed_run_keeps_its_settings(refused: Refused, db: Path, option: str) -> None:
    for command in ("score", "train"):
        assert f"{option.partition('=')[0]} cannot change them" in refused(command, "--resume", option)


# --- the handler -----------------------------------------------------------------------------------------------


def test_debug_shows_the_traceback(workplace: Path) -> None:
    command = [sys.executable, "-m", "curate.cli", "methods", "nope"]
    root = str(Path(__file__).parents[2])
    ended = subprocess.run(command, capture_output=True, text=True, env={"CURATE_DEBUG": "1", "PYTHONPATH": root})
    assert ended.returncode == 1 and ended.stdout == ""
    assert "Traceback" in ended.stderr and "unknown method 'nope'" in ended.stderr
