"""`score --folds K`: what is told, what is refused, and a Ctrl-C between two folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@pytest.fixture
def command(clips: Path, small_settings: Callable) -> tuple[str | Path, ...]:
    return ("score", "--dataset", "manifest", "--root", clips, "--epochs", "2", "--folds", "2", *small_settings())


@pytest.fixture
def break_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Ctrl-C at the first sign of progress of a label."""

    def prepare(told: str) -> None:
        @contextmanager
        def progress(quiet: bool) -> Iterator[Callable[[str, int, int, str], None]]:
            def advance(label: str, done: int, total: int, note: str) -> None:
                if label == told:
                    raise KeyboardInterrupt

            yield advance

        monkeypatch.setattr("curate.train.commands.opening.progress", progress)

    return prepare


@pytest.mark.long
def test_score_select_and_report_say_that_scores_are_out_of_fold(curate: Callable, command: tuple) -> None:
    ended = curate(*command)
    assert ended.code == 0, ended.err
    assert "out of fold: 2 models, each scored the fold it had not seen, in " in ended.out
    assert "score-manifest-1 fold 2 of 2: 2/2" in ended.err
    chosen = curate("select", "--top", "5")
    assert "score-manifest-1 was scored out of fold, in 2 folds\n" in chosen.err
    assert "out of fold, 2 folds" in curate("runs").out
    rows = curate(
        "sql", "--format", "csv", "SELECT fold, count(*) FROM samples WHERE gap IS NOT NULL GROUP BY 1 ORDER BY 1"
    )
    assert rows.out.splitlines()[1:] == ["0,12", "1,12"]
    page = Path(curate("report").out.strip()).read_text()
    assert "scored out of fold: each sample by one of\n2 models, which had not seen it" in page


@pytest.mark.long
def test_an_ordinary_scoring_says_nothing_of_folds(curate: Callable, db: Path) -> None:
    assert "fold" not in curate("select", "--top", "5").err
    assert "out of fold" not in Path(curate("report").out.strip()).read_text()


@pytest.mark.long
def test_ctrl_c_between_two_folds(
    curate: Callable, command: tuple, content: Callable, break_at: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert curate(*command, "--db", "whole.duckdb").code == 0
    with monkeypatch.context():
        break_at("score-manifest-1 fold 2 of 2")
        ended = curate(*command, "--db", "broken.duckdb")
    assert ended.code == 130 and "\ninterrupted: score-manifest-1 keeps every finished epoch" in ended.err
    break_at("")
    assert curate("score", "--resume", "--db", "broken.duckdb").code == 0
    assert content(Path("broken.duckdb"), unsteady=False) == content(Path("whole.duckdb"), unsteady=False)


def test_refused(refused: Callable, curate: Callable, command: tuple, clips: Path, small_settings: Callable) -> None:
    told = refused(*command, "--folds", "9")
    assert "9 folds need 9 training samples of every class" in told and "'ant' 8" in told
    assert curate(*command, "--folds", "1").code == 2
    told = refused(*command, "--set", "score.folds=-2")
    assert "score.folds=-2" in told
    told = refused(*command, "--checkpoint", clips)
    assert "has seen every sample" in told
    told = refused("score", "--predictions", "x.csv", "--folds", "3")
    assert "--folds has no part in it" in told
