"""`curate score --refit`, and the inputs of the mixture from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

Curate = Callable[..., object]
Refused = Callable[..., str]


@pytest.mark.long
@pytest.mark.model
def test_another_mixture_from_what_a_run_kept_and_training_from_it(curate: Curate, db: Path) -> None:
    ended = curate("score", "--refit", "score-manifest-1", "--gap", "log_odds", "--set", "score.average=warmup",
                   "--set", "score.input=absolute")  # fmt: skip
    assert ended.code == 0, ended.err
    assert "gaussian mixture of the |log_odds gap audio - image|, mean over the warm-up" in ended.out
    assert "score-manifest-2" in curate("runs").out and "refit of score-manifest-1" in curate("runs").out
    assert "|log_odds gap|, mean over the warm-up: weight" in curate("runs", "score-manifest-2").out
    shown = curate("sql", "SELECT DISTINCT run_id, in_sample FROM samples WHERE gap IS NOT NULL", "--format", "csv")
    assert shown.out.split() == ["run_id,in_sample", "score-manifest-2,True"]
    trained = curate("train", "--method", "adaptive", "--epochs", "1", "--set", "method.rounds=1", "--quiet")
    assert trained.code == 0, trained.err
    assert curate("report").code == 0
    assert curate("runs", "score-manifest-1", "--remove", "--yes").code == 0, "a refit leans on nothing"
    assert curate("evaluate", "--run", "score-manifest-2", "--split", "val", "--quiet").code == 0


@pytest.mark.model
def test_three_components_are_an_option_and_a_line_of_the_settings_file(curate: Curate, db: Path) -> None:
    arguments = ("score", "--refit", "score-manifest-1", "--set", "score.check=none")
    typed = curate(*arguments, "--components", "3")
    Path("curate.toml").write_text("[score]\ncomponents = 3\nepochs = 9\n")
    from_file = curate(*arguments)
    assert typed.code == from_file.code == 0, (typed.err, from_file.err)
    assert typed.out.replace("score-manifest-2", "") == from_file.out.replace("score-manifest-3", "")
    with duckdb.connect(str(db), read_only=True) as con:
        stored = con.execute(
            "SELECT run_id, config->'$.score.components', config->'$.score.epochs' FROM run ORDER BY 1"
        )
        assert [(r, int(c), int(e)) for r, c, e in stored.fetchall()] == [
            ("score-manifest-1", 2, 4),
            ("score-manifest-2", 3, 4),
            ("score-manifest-3", 3, 4),
        ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--epochs", "3"], "--epochs has no part in it"),
        (["--dataset", "manifest"], "--dataset has no part in it"),
        (["--seed", "3"], "--seed has no part in it"),
        (["--set", "score.epochs=3"], "--set score.epochs has no part in it"),
        (["--set", "optim.lr=3"], "--set optim.lr has no part in it"),
        (["--components", "3", "--set", "score.input=absolute"], "no left tail"),
        (["--components", "3", "--set", "score.posterior=monotone"], "two components"),
    ],
)
def test_what_has_no_part_in_a_refit_is_refused(refused: Refused, db: Path, words: list[str], said: str) -> None:
    assert said in refused("score", "--refit", "score-manifest-1", *words)


def test_only_a_finished_scored_run_can_be_fitted_anew(refused: Refused, db: Path) -> None:
    assert "unknown run 'score-manifest-9'" in refused("score", "--refit", "score-manifest-9")
    with duckdb.connect(str(db)) as con:
        con.execute("UPDATE run SET status = 'interrupted'")
    assert "score-manifest-1" in refused("score", "--refit", "score-manifest-1")


def test_a_resumed_scoring_keeps_its_components(refused: Refused, db: Path) -> None:
    assert "--components cannot change them" in refused("score", "--resume", "--components", "3")
