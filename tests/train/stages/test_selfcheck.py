"""What is planted in which copy, and a whole check on built-in data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from curate.datasets import find
from curate.datasets.worlds import possible
from curate.errors import CurateError
from curate.store.store import Store
from curate.train.loop.engine import Runtime
from curate.train.stages.selfcheck import LABELS, LEFT_OUT, TOGETHER, Check, planned, selfcheck
from curate.train.stages.session import Session


def test_every_kind_is_planted_once_and_few_together() -> None:
    kind = find("demo")
    base = kind(None, kind.Options())
    copies = planned(base, Check())
    for modality in base.modalities:
        own = [[f.kind for f in faults if f.modality == modality] for faults in copies]
        assert sorted(k for copy in own for k in copy) == sorted(set(possible(base, modality)) - set(LEFT_OUT))
        assert max(map(len, own)) <= TOGETHER
    assert sum(f.kind == LABELS for faults in copies for f in faults) == 1
    (few,) = planned(base, Check(kinds=("noise", LABELS)))
    assert [f.name for f in few] == ["noise audio", "noise visual", LABELS]
    with pytest.raises(CurateError, match="no kind of fault"):
        planned(base, Check(kinds=("rain",)))
    with pytest.raises(CurateError, match="give a share"):
        Check(share=0.5)


@pytest.mark.parametrize(
    ("layer", "epochs"),
    [
        ({}, 100),  # `score` takes 200 of so few samples, see `long_enough`
        ({"score": {"epochs": 4}}, 4),
        ({"optim": {"lr": 1e-9}}, 15),
    ],
)
def test_a_warm_up_is_half_as_long_as_that_of_score(layer, epochs, work, toy, monkeypatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(toy, "defaults", {})
    place = replace(work, message=told.append)

    class Stopped(Exception):
        pass

    def stop(*_: object, **__: object) -> None:
        raise Stopped

    monkeypatch.setattr("curate.train.stages.selfcheck.score", stop)
    with pytest.raises(Stopped):
        selfcheck(place, "toy", None, [layer], 0, Check(share=0.1, kinds=(LABELS,)))
    assert any(f"one training of {epochs} epochs" in line for line in told)


@pytest.mark.parametrize(("rate", "said"), [(1e-9, True), (0.05, False)])
def test_a_model_that_learnt_little_is_told(rate: float, said: bool, work, toy: Callable) -> None:
    told: list[str] = []
    layers = [{"score": {"epochs": 12}, "optim": {"lr": rate}}]
    selfcheck(replace(work, message=told.append), "toy", None, layers, 0, Check(share=0.1, kinds=(LABELS,)))
    assert any("the fusion is right on only" in line for line in told) == said


@pytest.mark.long
def test_strong_faults_are_found_and_nothing_is_left_behind(tmp_path) -> None:
    place = Session(Store(tmp_path / "t.duckdb"), tmp_path / "cache", Runtime(device="cpu"))
    layers = [{"data": {"degraded_audio": 0.0, "degraded_visual": 0.0}, "score": {"epochs": 12}}]
    results = selfcheck(place, "demo", None, layers, 0, Check(kinds=("noise", LABELS)))
    by_name = {(r.kind, r.modality): r for r in results}
    assert by_name["noise", "visual"].auroc > 0.8 and by_name[LABELS, ""].auroc > 0.8
    assert not place.store.path.exists() and not list((tmp_path / "cache").glob("selfcheck-*"))
