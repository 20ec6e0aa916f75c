"""A run whose name another process took since it was planned gets the next one; a resumed one keeps its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from curate.errors import LockedError
from curate.files.lock import claimed
from curate.store.runs import Runs
from curate.train.stages.session import Session
from curate.train.stages.training import plan_train, train
from curate.types import Run

FEW = [{"train": {"epochs": 1}}]


@pytest.fixture
def planned_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first name that is asked for is `joint-toy-1`, whoever has it by now."""
    real, asked = Runs.new_id, []

    def new_id(self: Runs, stem: str, folder: Path) -> str:
        asked.append(stem)
        return "joint-toy-1" if len(asked) == 1 else real(self, stem, folder)

    monkeypatch.setattr(Runs, "new_id", new_id)


def locked(work: Session, parent: Run) -> Callable[[], Run]:
    def begin() -> Run:
        with claimed(work.runs_folder / "joint-toy-1"):
            return train(work, parent, "joint", FEW, 0)

    return begin


def stored(work: Session, parent: Run) -> Callable[[], Run]:
    work.store.runs.start(replace(parent, run_id="joint-toy-1", kind="train", method="joint", parent=parent.run_id))
    return lambda: train(work, parent, "joint", FEW, 0)


@pytest.mark.parametrize("taken", [locked, stored])
def test_the_next_name_is_taken(work: Session, scored: Run, planned_together: None, taken: Callable) -> None:
    found = taken(work, scored)()
    assert (found.run_id, found.status) == ("joint-toy-2", "done")
    assert (work.runs_folder / "joint-toy-2" / "last.pt").exists()
    assert not (work.runs_folder / "joint-toy-1" / "last.pt").exists()


def test_a_run_that_is_not_new_is_refused_while_another_works_on_it(work: Session, scored: Run) -> None:
    run = plan_train(work, scored, "joint", FEW, 0)
    with claimed(work.folder(run)), pytest.raises(LockedError), work.working(run):
        pass
    with work.working(run) as own, pytest.raises(LockedError), claimed(work.folder(run)):
        pass
    assert own == run
    with pytest.raises(LockedError, match="of the body"), work.working(run, new=True):
        raise LockedError("of the body", "is not taken for a lost name")
