"""Sum fusion as a method: joint training with another fusion, chosen by the method's name."""

from __future__ import annotations

import pytest

from curate.errors import CurateError
from curate.train.stages.score import score
from curate.train.stages.session import Session
from curate.train.stages.training import train

ONE_EPOCH = {"score": {"epochs": 1, "dynamics": False}}


@pytest.fixture
def scored(work: Session):
    return score(work, "toy", None, [ONE_EPOCH], 0)


def epochs_of(work: Session, run_id: str) -> list:
    return work.store.query(
        "SELECT epoch, split, modality, metric, value FROM epoch "
        f"WHERE run_id = '{run_id}' AND metric <> 'seconds' ORDER BY ALL"
    )[1]


@pytest.mark.long
@pytest.mark.parametrize("name", ["sum", "weight"])
def test_it_is_joint_training_with_its_fusion(work, scored, name: str) -> None:
    epochs = {"train": {"epochs": 1}}
    own = train(work, scored, name, [epochs], 0)
    joint = train(work, scored, "joint", [epochs, {"model": {"fusion": name}}], 0)
    plain = train(work, scored, "joint", [epochs], 0)
    assert own.config["model"]["fusion"] == name and plain.config["model"]["fusion"] == "concat"
    assert epochs_of(work, own.run_id) == epochs_of(work, joint.run_id) != epochs_of(work, plain.run_id)


def test_another_fusion_under_its_name_is_refused(work, scored) -> None:
    with pytest.raises(CurateError) as refused:
        train(work, scored, "sum", [{"model": {"fusion": "weight"}}], 0)
    assert "method sum is training with model.fusion=sum, the settings say weight" in refused.value.message
    assert "--method joint --set model.fusion=weight" in refused.value.hint
