"""Averaged weights: what is averaged, what it changes, and what a checkpoint keeps of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curate.errors import CurateError
from curate.train.loop import checkpoint
from curate.train.loop.engine import fit, make_trainer, predict
from curate.train.methods.method import Method
from curate.train.methods.optim import OptimConfig
from curate.train.models.model import FusionModel, ModelConfig
from curate.train.stages.appearance import appearance
from curate.train.stages.evaluate import evaluate
from curate.train.stages.training import resume_train, train
from curate.types import FUSED

CPU = torch.device("cpu")


class Watched(Method):
    """Joint training that keeps what the weights were after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, torch.Tensor]] = []

    def step(self, model, optimizer, batch):
        loss = super().step(model, optimizer, batch)
        self.seen.append({k: v.clone() for k, v in model.state_dict().items()})
        return loss


def trainer(data, method: Method | None = None, **optim):
    torch.manual_seed(0)
    model = FusionModel(data.specs, ("low", "middle", "high"), ModelConfig())
    return make_trainer(model, method or Method(), OptimConfig(**{"lr": 0.05, **optim}), data, CPU)


def test_the_average_by_hand_of_weights_and_batch_statistics(small_data) -> None:
    method = Watched()
    t = trainer(small_data, method, ema=0.8)
    list(fit(t, small_data, 2))
    assert len(method.seen) == 6
    known = t.evaluated.state_dict()
    assert any("running_mean" in name for name in known)
    for name, value in known.items():
        if not value.is_floating_point():
            continue
        expected = method.seen[0][name].double()
        for state in method.seen[1:]:
            expected = 0.8 * expected + 0.2 * state[name].double()
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)


def test_averaging_changes_no_step(small_data) -> None:
    plain, averaged = trainer(small_data), trainer(small_data, ema=0.9)
    told, also = ([dict(((s, k), v) for s, _, k, v in e) for e in fit(t, small_data, 2)] for t in (plain, averaged))
    assert [e["train", "loss"] for e in told] == [e["train", "loss"] for e in also]
    weights = averaged.model.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in plain.model.state_dict().items())


def test_predictions_and_appearance_are_of_the_average(small_data) -> None:
    t, other = trainer(small_data, ema=0.9), trainer(small_data)
    list(fit(t, small_data, 2))
    other.model.load_state_dict(t.evaluated.state_dict())
    there, here = (predict(x, small_data, small_data.val).probs[FUSED] for x in (t, other))
    np.testing.assert_array_equal(there, here)
    seen, also = (appearance(x, small_data, small_data.val)["visual"] for x in (t, other))
    np.testing.assert_array_equal(seen, also)
    other.model.load_state_dict(t.model.state_dict())
    assert not np.array_equal(predict(other, small_data, small_data.val).probs[FUSED], there)


def test_without_it_nothing_is_kept(small_data, tmp_path) -> None:
    t = trainer(small_data)
    list(fit(t, small_data, 1))
    checkpoint.save(t, tmp_path / "a.pt")
    assert t.averaged is None and t.evaluated is t.model
    assert "averaged" not in checkpoint.read(tmp_path / "a.pt", CPU)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_out_of_range_is_refused(decay) -> None:
    with pytest.raises(CurateError, match=r"optim\.ema"):
        OptimConfig(ema=decay)


def test_others_go_on_from_the_average(small_data, tmp_path) -> None:
    """What a warm start, or another score, loads is what was judged."""
    t = trainer(small_data, ema=0.9)
    list(fit(t, small_data, 2))
    checkpoint.save(t, tmp_path / "a.pt")
    fresh = trainer(small_data)
    checkpoint.load_model(fresh.model, checkpoint.read(tmp_path / "a.pt", CPU), "a.pt")
    weights = t.evaluated.state_dict()
    assert all(torch.equal(v, weights[k]) for k, v in fresh.model.state_dict().items())
    assert not torch.equal(fresh.model.fusion.head.weight, t.model.fusion.head.weight)


PLAIN = [{"train": {"epochs": 3, "augment": "shift"}, "optim": {"ema": 0.9}}]


@pytest.mark.long
def test_an_interrupted_run_with_average_and_augmentation_resumes_to_the_same_end(work, scored, monkeypatch) -> None:
    whole = train(work, scored, "warmup", PLAIN, 0)
    real, calls = checkpoint.save, []

    def interrupted(trainer, path):
        real(trainer, path)
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(work, scored, "warmup", PLAIN, 0)
    monkeypatch.setattr(checkpoint, "save", real)
    resumed = resume_train(work, work.store.runs.all(status="interrupted")[0])

    def epochs(run):
        return work.store.query(
            f"SELECT * EXCLUDE (run_id) FROM epoch WHERE run_id = '{run.run_id}' AND metric <> 'seconds' ORDER BY ALL"
        )[1]

    assert epochs(whole) == epochs(resumed)
    assert evaluate(work, resumed, "test") == work.store.epochs.test_metrics(whole.run_id)
    plain = train(work, scored, "warmup", [{"train": {"epochs": 3}}], 0)
    assert epochs(plain) != epochs(whole)
