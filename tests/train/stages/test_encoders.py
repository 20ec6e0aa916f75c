"""A user's own encoder through scoring and training on the toy data: resumed, out of fold, exchanged in a training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from curate.errors import CurateError
from curate.train.loop import checkpoint
from curate.train.stages.evaluate import evaluate
from curate.train.stages.score import plan_score, resume_score, score
from curate.train.stages.session import Session
from curate.train.stages.training import train

OWN = """
from torch import nn
def build(spec):
    return nn.Sequential(nn.Flatten(), nn.Linear({inputs}, {features}), nn.ReLU())
"""


@pytest.fixture
def own(tmp_path: Path) -> list[dict[str, dict[str, object]]]:
    """Settings by which the pictures get an encoder from a file, started from weights in another."""
    file, weights = tmp_path / "own.py", tmp_path / "own.pt"
    file.write_text(OWN.format(inputs=16 * 16, features=6))
    torch.manual_seed(9)
    torch.save({"1.weight": torch.randn(6, 16 * 16) / 16, "1.bias": torch.zeros(6)}, weights)
    return [{"model": {"encoder": f"visual=module:{file}:build", "weights": f"visual={weights}"}}]


def stored(work: Session, run_id: str) -> list:
    tables = ("prediction", "gap", "posterior", "mixture")
    sql = "SELECT * EXCLUDE (run_id) FROM {} WHERE run_id = '{}' ORDER BY ALL"
    return [work.store.query(sql.format(t, run_id))[1] for t in tables]


@pytest.mark.long
def test_resumed_scoring_needs_no_weights_and_equals_unbroken(
    work: Session, own: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score(work, "toy", None, own, 0)
    save = checkpoint.save
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", lambda t, p: save(t, p) or (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            score(work, "toy", None, own, 0)
    (tmp_path / "own.pt").unlink()
    resumed = resume_score(work, work.store.runs.all(kind="score")[0])
    assert stored(work, resumed.run_id) == stored(work, whole.run_id)
    with pytest.raises(CurateError, match="no weights at"):
        score(work, "toy", None, own, 0)


@pytest.mark.long
def test_every_fold_starts_from_the_weights(work: Session, own: list, monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.train.models.model import FusionModel

    begun: list[float] = []
    load = FusionModel.load_weights

    def noted(model: FusionModel) -> dict[str, list[str]]:
        done = load(model)
        begun.append(float(model.encoders["visual"].net[1].weight.detach().sum()))
        return done

    monkeypatch.setattr(FusionModel, "load_weights", noted)
    run = score(work, "toy", None, [*own, {"score": {"folds": 2, "epochs": 1}}], 0)
    assert len(begun) == 4 and len(set(begun)) == 1, "tried once, the warm-up, and two folds"
    assert run.config["started"]["visual"][0].startswith("2 tensors of")


@pytest.mark.long
def test_a_training_may_name_another_encoder_and_is_then_started_and_evaluated_with_it(
    work: Session, own: list, tmp_path: Path
) -> None:
    scored = score(work, "toy", None, own, 0)
    planned, _ = plan_score(work, "toy", None, own, 0)
    same = {key: scored.config[key] for key in planned.config}
    assert json.dumps(same) == json.dumps(dict(planned.config)), "by this a comparison finds a finished run"
    inherited = train(work, scored, "joint", [{"train": {"epochs": 1}}], 0)
    assert inherited.config["encoders"] == scored.config["encoders"]
    other = tmp_path / "other.py"
    other.write_text(OWN.format(inputs=16 * 16, features=9))
    changed = [{"model": {"encoder": f"visual=module:{other}:build", "weights": ""}, "train": {"epochs": 1}}]
    trained = train(work, scored, "joint", changed, 0)
    assert trained.config["encoders"]["visual"]["source"] == str(other)
    assert trained.config["started"] == {"audio": ["random weights"], "visual": ["weights as build returned them"]}
    assert evaluate(work, trained, "val")["visual"]["accuracy"] >= 0
    with pytest.raises(CurateError, match="another architecture"):
        train(work, scored, "subset", changed, 0)
