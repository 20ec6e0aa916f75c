"""Command line over CURATE_* variables over curate.toml over defaults."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest

SCORE = ("score", "--quiet", "--dataset", "manifest")


@pytest.fixture
def saved_file(workplace: Path) -> Path:
    """Predictions of 40 samples by two modalities, at random: `m.csv`."""
    draw = random.Random(0)
    rows = (f"s{i},{'xy'[i % 2]}," + ",".join(f"{draw.gauss(0, 2):.3f}" for _ in range(4)) for i in range(40))
    path = workplace / "m.csv"
    path.write_text("\n".join(["sample_id,label,audio.x,audio.y,visual.x,visual.y", *rows]) + "\n")
    return path


@pytest.fixture
def settings_of(
    curate: Callable, clips: Path, small_settings: Callable, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, str]]:
    """Scores with what curate.toml, CURATE_SET and the command line say; the run's settings as `runs` tells them."""

    def run(toml: str, variables: dict[str, str], *args: str) -> dict[str, str]:
        data = "\n".join(v.removeprefix("data.") for v in small_settings() if v.startswith("data."))
        text = data.replace("augment=none", "augment='none'")
        Path("curate.toml").write_text(f"{toml}\n[data]\n{text}\n")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        ended = curate(*SCORE, "--root", clips, *args)
        assert ended.code == 0, ended.err
        told = curate("runs", "score-manifest-1", "--format", "csv").out
        return dict(csv.reader(io.StringIO(told)))

    return run


def test_set_by_key(settings_of: Callable) -> None:
    told = settings_of(
        "[score]\nepochs = 1\n[optim]\nlr = 0.1\nmomentum = 0.1\ngamma = 0.1\nbatch_size = 7",
        {"CURATE_SET": "optim.lr=0.2 optim.momentum=0.2"},
        "--set",
        "optim.lr=0.3",
    )
    assert [told[f"optim.{k}"] for k in ("lr", "momentum", "gamma", "batch_size")] == ["0.3", "0.2", "0.1", "7"]
    assert told["optim.weight_decay"] == "0.0001" and told["data.rate"] == "8000"


@pytest.mark.parametrize(
    ("toml", "variables", "arguments", "expected"),
    [
        pytest.param("[score]\nepochs = 2", {}, (), "2", marks=pytest.mark.long),
        pytest.param("epochs = 1", {}, (), "1", marks=pytest.mark.long),
        pytest.param("epochs = 1\n[score]\nepochs = 2", {}, (), "1", marks=pytest.mark.long),
        pytest.param("epochs = 1", {"CURATE_SET": "score.epochs=2"}, (), "2", marks=pytest.mark.long),
        ("epochs = 1", {"CURATE_SET": "score.epochs=2"}, ("--epochs", "3"), "3"),
        pytest.param("", {"CURATE_SET": "score.epochs=2"}, ("--epochs", "3"), "3", marks=pytest.mark.long),
        ("", {"CURATE_SET": "score.epochs=3"}, ("--set", "score.epochs=2", "--epochs", "2"), "2"),
    ],
)
def test_an_option_that_stands_for_a_setting(
    settings_of: Callable, toml: str, variables: dict[str, str], arguments: tuple[str, ...], expected: str
) -> None:
    assert settings_of(toml, variables, *arguments)["score.epochs"] == expected


@pytest.mark.parametrize(
    ("toml", "variables", "arguments", "expected"),
    [
        pytest.param("", {}, (), "0", marks=pytest.mark.long),
        pytest.param("seed = 3", {}, (), "3", marks=pytest.mark.long),
        pytest.param("seed = 3", {"CURATE_SEED": "4"}, (), "4", marks=pytest.mark.long),
        ("seed = 3", {"CURATE_SEED": "4"}, ("--seed", "5"), "5"),
    ],
)
def test_seed(
    settings_of: Callable, toml: str, variables: dict[str, str], arguments: tuple[str, ...], expected: str
) -> None:
    assert settings_of(toml, variables, "--epochs", "1", *arguments)["seed"] == expected


def test_db(curate: Callable, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(*args: str) -> str:
        ended = curate("runs", *args)
        return "scored" if ended.code == 0 else ended.err.split(" at ")[1].split("\n")[0]

    assert seen() == "scored"
    Path("curate.toml").write_text('db = "toml.duckdb"')
    assert seen() == "toml.duckdb"
    monkeypatch.setenv("CURATE_DB", "variable.duckdb")
    assert seen() == "variable.duckdb"
    assert seen("--db", "line.duckdb") == "line.duckdb"
    assert seen("--db", str(db)) == "scored"


def test_other_commands_ignore_sections_that_are_not_theirs(
    curate: Callable, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("curate.toml").write_text("threshold = 0.9\n[data]\nrate = 8000\n[method.adaptive]\nalpha = 0.3\n")
    monkeypatch.setenv("CURATE_SET", "data.rate=8000 train.epochs=1")
    assert curate("train", "--method", "warmup").code == 0


def test_settings_of_a_method(curate: Callable, db: Path) -> None:
    Path("curate.toml").write_text("[method.adaptive]\nalpha = 0.3\nrounds = 1\n")
    assert curate("train", "--method", "adaptive", "--epochs", "1").code == 0
    assert "method.alpha,0.3\n" in curate("runs", "adaptive-manifest-1", "--format", "csv").out


def test_options_carry_the_names_of_the_command_line(curate: Callable, db: Path) -> None:
    Path("curate.toml").write_text('format = "csv"')
    assert curate("runs").out.startswith("run,method,")
    assert curate("runs", "--format", "json").out.startswith("[")


@pytest.mark.parametrize(
    ("toml", "error", "hint"),
    [
        ("dbb = 'x'", "unknown option in curate.toml 'dbb'", "did you mean 'db'?"),
        ("resume = true", "unknown option in curate.toml 'resume'", "known: "),
        ("[optimm]\nlr = 1", "unknown section in curate.toml 'optimm'", "did you mean 'optim'?"),
        ("optim = 3", "curate.toml: optim is a section", "[optim]"),
        ("[method]\nalpha = 1", "unknown section in curate.toml 'method.alpha'", "method.adaptive"),
        ("[method.adaptiv]\nalpha = 1", "unknown section in curate.toml 'method.adaptiv'", "'method.adaptive'?"),
        ("db = ", "not valid TOML", "toml.io"),
    ],
)
def test_what_curate_toml_cannot_hold(refused: Callable, db: Path, toml: str, error: str, hint: str) -> None:
    Path("curate.toml").write_text(toml)
    told = refused("runs")
    assert error in told and hint in told


def test_an_unknown_key_of_a_section_is_found_by_who_reads_it(refused: Callable, db: Path) -> None:
    Path("curate.toml").write_text("[optim]\nlrr = 1\n[method.adaptive]\nalpah = 1")
    assert "unknown setting 'optim.lrr'" in refused("train", "--method", "joint", "--quiet")
    Path("curate.toml").write_text("[method.adaptive]\nalpah = 1")
    assert "did you mean 'method.alpha'?" in refused("train", "--method", "adaptive", "--quiet")


SAVED = ("score", "--predictions", "m.csv")
REFIT = ("score", "--refit", "score-manifest-1")
JOINT = ("compare", "--method", "joint", "--dataset", "demo")


@pytest.mark.parametrize(
    ("words", "one", "other"),
    [
        ((*SAVED, "--paper", "--family", "student-t"), "--paper", "--family student-t"),
        ((*SAVED, "--components", "3", "--paper"), "--paper", "--components 3"),
        ((*SAVED, "--paper", "--set", "score.check=bic"), "--paper", "--set score.check=bic"),
        ((*REFIT, "--paper", "--set", "score.components=3"), "--paper", "--set score.components=3"),
        ((*SAVED, "--gap", "prob", "--set", "score.gap=kl"), "--gap prob", "--set score.gap=kl"),
        ((*SAVED, "--set", "score.gap=kl", "--gap", "prob"), "--gap prob", "--set score.gap=kl"),
        (("score", "--dataset", "demo", "--folds", "3", "--set", "score.folds=0"), "--folds 3", "--set score.folds=0"),
        (
            ("prepare", "--dataset", "demo", "--drop-leaks", "--set", "data.drop_leaks=false"),
            "--drop-leaks",
            "--set data.drop_leaks=false",
        ),
        (("train", "--method", "joint", "--epochs", "1", "--set", "train.epochs=2"), "--epochs 1", "train.epochs=2"),
        (
            ("train", "--method", "subset", "--threshold", "0.5", "--selection", "s"),
            "--threshold 0.5",
            "--selection s",
        ),
        (("improve", "--yes", "--epochs", "1", "--set", "train.epochs=2"), "--epochs 1", "--set train.epochs=2"),
        ((*JOINT, "--redraw", "--set", "data.seed=3"), "--redraw", "--set data.seed=3"),
        ((*JOINT, "--sweep", "optim.lr=0.1,0.2", "--set", "optim.lr=0.3"), "--sweep optim.lr", "--set optim.lr=0.3"),
    ],
)
@pytest.mark.model
def test_two_values_of_one_setting_are_refused(
    refused: Callable, db: Path, saved_file: Path, words: tuple[str, ...], one: str, other: str
) -> None:
    told = refused(*words)
    assert one in told and other in told and "contradict each other" in told


@pytest.mark.parametrize(
    "words",
    [("--paper", "--family", "gaussian"), ("--gap", "kl", "--set", "score.gap=kl"), ("--paper", "--components", "2")],
)
def test_two_options_that_agree_are_fine(curate: Callable, saved_file: Path, words: tuple[str, ...]) -> None:
    assert curate(*SAVED, *words).code == 0


def test_the_word_of_the_command_line_stands_above_the_file(curate: Callable, saved_file: Path) -> None:
    Path("curate.toml").write_text("[score]\ncomponents = 3\ninput = 'absolute'\n")
    assert curate(*SAVED, "--paper").code == 0
    told = curate("runs", "score-m-1", "--format", "csv").out
    assert "score.components,2\n" in told and "score.input,signed\n" in told
    Path("curate.toml").write_text("paper = true\n")
    assert "student-t mixture" in curate(*SAVED, "--family", "student-t").out


def test_a_variable_that_nothing_reads_is_told_and_a_misspelt_one_refused(
    curate: Callable, saved_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURATE_GAP", "kl")
    ended = curate("score", "--predictions", saved_file)
    assert ended.code == 0 and "CURATE_GAP has no effect" in ended.err and "CURATE_SET='score.gap=kl" in ended.err
    monkeypatch.setenv("CURATE_DEVIC", "cpu")
    ended = curate("sql", "SELECT 1")
    assert ended.code == 1 and "'CURATE_DEVIC'" in ended.err and "'CURATE_DEVICE'" in ended.err
    assert curate("doctor").code == 0
