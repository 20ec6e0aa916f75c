"""In which epochs methods act, by hand: the published share of a run, or epochs that are set."""

from __future__ import annotations

import logging

import pytest

from curate.errors import CurateError
from curate.train.methods import catalog
from curate.train.methods.windows import Window
from curate.train.stages.training import train

PARTS: list[tuple[str, str, int, range]] = [
    ("ogm", "gradient modulation", 100, range(0, 51)),  # as published: epochs 0 to 50 of 100
    ("ogm_ge", "gradient modulation", 100, range(0, 51)),
    ("ogm", "gradient modulation", 40, range(0, 20)),  # 20.4
    ("ogm", "gradient modulation", 50, range(0, 26)),  # 25.5, halves up
    ("ogm", "gradient modulation", 5, range(0, 3)),  # 2.55
    ("ogm", "gradient modulation", 1, range(0, 1)),
    ("agm", "gradient modulation", 100, range(0, 20)),  # the published epochs 1 to 20, counted from 1
    ("agm", "gradient modulation", 40, range(0, 8)),
    ("agm", "gradient modulation", 2, range(0, 1)),  # 0.4, but at least one
    ("opm_ogm", "gradient modulation", 100, range(6, 61)),
    ("opm_ogm", "gradient modulation", 40, range(2, 24)),  # 2.4 and 24.4
    ("opm_ogm", "gradient modulation", 70, range(4, 43)),  # 4.2 and 42.7
    ("dr", "re-initialisation", 90, range(21, 62, 20)),  # at the end of epochs 20, 40 and 60
    ("dr", "re-initialisation", 9, range(3, 8, 2)),
]


@pytest.mark.parametrize(("name", "part", "epochs", "expected"), PARTS)
def test_by_default_a_window_is_the_published_share_of_the_run(name, part, epochs, expected) -> None:
    window = catalog.find(name)().windows(epochs)[part]
    assert [e for e in range(epochs) if e in window] == list(expected)


@pytest.mark.parametrize(
    ("name", "epochs", "first"), [("opm", 100, 6), ("opm", 40, 2), ("opm", 5, 0), ("opm_ogm", 25, 2), ("opm", 1, 0)]
)
def test_dropping_begins_after_the_published_share_and_does_not_end(name, epochs, first) -> None:
    window = catalog.find(name)().windows(epochs)["dropping"]
    assert [e for e in range(epochs) if e in window] == list(range(first, epochs))


def test_epochs_that_are_set_stay_as_they_are() -> None:
    window = Window(first=10, stop=50, epochs=100)
    assert window.of(20, 3, 7) == range(3, 8)
    assert window.of(20, None, 7) == range(2, 8)
    assert window.of(20, 3) == range(3, 10)
    assert not window.of(20, 15), "begins after the published share has ended"
    assert window.of(0, None) == range(10, 50), "where the length is unknown, the published epochs"


def test_a_method_asks_its_window_of_the_whole_run(make_model, make_method, make_context) -> None:
    model = make_model()
    method, seen = make_method("opm_ogm", model), []
    for epoch in range(20):
        method.begin_epoch(model, epoch, make_context(model, epochs=20))
        seen.append((method.dropping, method.damping))
    assert seen == [(e >= 1, 1 <= e < 12) for e in range(20)]  # 1.2 and 12.2 of 20


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("ogm", {"first_epoch": 9, "last_epoch": 3}),
        ("opm", {"first_epoch": -1}),
        ("opm_ogm", {"ogm_first_epoch": 9, "ogm_last_epoch": 3}),
        ("agm", {"last_epoch": -2}),
    ],
)
def test_a_window_that_cannot_be_is_refused(name, config) -> None:
    with pytest.raises(CurateError, match="out of range"):
        catalog.find(name).Config(**config)


def test_a_window_that_never_acts_is_warned_of(work, scored, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        train(work, scored, "opm", [{"method": {"first_epoch": 6}, "train": {"epochs": 1}}], 0)
    assert "dropping acts in none of the 3 epochs" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        train(work, scored, "opm", [{"train": {"epochs": 1}}], 0)
    assert "acts in none" not in caplog.text
