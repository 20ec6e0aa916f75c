"""The command that a report prints gives the run that it reports on."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from curate.train.methods import catalog

Curate = Callable[..., object]


def printed(page: str) -> list[str]:
    """The words of the page's `curate score`, without `curate`."""
    (command,) = re.findall(r"<code>(curate score .*?)</code>", Path(page.strip()).read_text(encoding="utf-8"))
    return shlex.split(html.unescape(command))[1:]


def samples(curate: Curate) -> str:
    return curate("sql", "SELECT * EXCLUDE run_id FROM samples ORDER BY sample_id", "--format", "csv").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--family", "student-t", "--set", "score.dof=none"], {"score.family=student-t", "score.dof=none"}),
        pytest.param(["--folds", "2"], {"score.folds=2"}, marks=pytest.mark.long),
    ],
)
@pytest.mark.long
def test_typed_again_it_gives_the_same_numbers(
    curate: Curate, clips: Path, small_settings: Callable, workplace: Path, words: list[str], told: set[str]
) -> None:
    given = small_settings(**{"score.epochs": 2, "model.dim": 6})
    ended = curate("score", "--dataset", "manifest", "--root", clips, "--seed", "3", *given, *words)
    assert ended.code == 0, ended.err
    first, again = samples(curate), printed(curate("report").out)
    assert {w for w in again if w.startswith(("score.", "optim.", "model."))} == {
        *("score.epochs=2", "model.dim=6", "optim.batch_size=8", "optim.lr=0.05"),
        *told,
    }
    assert curate(*again).code == 0
    assert curate("runs").out.count("score-manifest-") == 2 and samples(curate) == first


@pytest.mark.model
@pytest.mark.long
def test_a_notebook_knows_fewer_defaults_and_writes_more(curate: Curate, db: Path) -> None:
    from curate import open as open_table

    long, short = printed(str(open_table(db).report(output="mine"))), printed(curate("report").out)
    assert set(short) < set(long) and "optim.momentum=0.9" in long


@pytest.mark.model
def test_defaults_read_from_the_sources_are_those_of_the_classes() -> None:
    from curate.train.methods.optim import OptimConfig
    from curate.train.models.model import ModelConfig
    from curate.train.stages.settings import ScoreConfig, TrainConfig

    usual, warm = catalog.usual_settings(), asdict(ScoreConfig())
    assert usual["model"] == asdict(ModelConfig()) and usual["optim"] == asdict(OptimConfig())
    assert usual["train"] == asdict(TrainConfig())
    assert usual["score"].items() <= warm.items() and "epochs" in usual["score"]
