"""D&R: purity and retreat by hand, what is moved, and when."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from curate.errors import CurateError
from curate.train.methods.dr import encoded, purity, retreat
from curate.train.methods.optim import OptimConfig


def test_retreat_by_hand() -> None:
    assert retreat(0.9, 0.7, 3.0) == pytest.approx(0.53705, abs=5e-6)
    assert retreat(0.7, 0.9, 3.0) == retreat(0.9, 0.7, 3.0)
    assert retreat(0.8, 0.8, 3.0) == 0 and retreat(1.0, 0.2, 0.0) == 0


def test_purity_of_perfect_clusters_is_one_whatever_they_are_called() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 10)
    features = (np.eye(3)[labels] * 50 + rng.normal(size=(30, 3))).astype(np.float32)
    for renaming in ([0, 1, 2], [2, 0, 1]):
        assert purity(features, np.array(renaming)[labels], 3, 10) == 1
    assert purity(features, np.tile([0, 1, 2], 10), 3, 10) == pytest.approx(4 / 10)  # 10 = 4 + 3 + 3 a cluster
    mixed = labels.copy()
    mixed[:3] = 1
    assert purity(features, mixed, 3, 10) == pytest.approx(27 / 30)


def test_a_constant_feature_is_no_trouble_and_too_few_samples_are_refused() -> None:
    features = np.ones((6, 2), dtype=np.float32)
    features[:3, 0] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert purity(features, np.array([0, 0, 0, 1, 1, 1]), 2, 2) == 1
        assert purity(np.ones_like(features), np.array([0, 0, 0, 0, 1, 2]), 3, 2) == pytest.approx(4 / 6)
    with pytest.raises(CurateError, match="6 samples"):
        purity(features, np.zeros(6, dtype=int), 7, 1)


def at(model, make_method, make_context, amount, monkeypatch, **config):
    """A method that has just moved both encoders by an amount; weights before, and the optimizer."""
    method = make_method("dr", model, every=1, **config)
    optimizer = OptimConfig(lr=0.1).make(model)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    monkeypatch.setattr("curate.train.methods.dr.retreat", lambda *_: amount)
    method.begin_epoch(model, 2, make_context(model, optimizer))
    return method, before, optimizer


@pytest.mark.parametrize("amount", [0.0, 0.25, 1.0])
def test_encoders_move_back_by_the_amount_and_nothing_else_moves(
    amount, make_model, make_method, make_context, monkeypatch
) -> None:
    model, start = make_model(), make_model()
    method, before, optimizer = at(model, make_method, make_context, amount, monkeypatch)
    encoders = {f"encoders.{m}.{k}" for m in model.modalities for k, _ in model.encoders[m].named_parameters()}
    for key, now in model.state_dict().items():
        if key in encoders:
            torch.testing.assert_close(now, amount * start.state_dict()[key] + (1 - amount) * before[key])
        else:
            assert torch.equal(now, before[key]), key
    assert optimizer.state
    assert {(m, k) for m, k, _ in method.end_epoch(model)} == {
        (m, k) for m in model.modalities for k in ("purity_train", "purity_val", "retreat")
    }


def test_momentum_is_forgotten_on_request(make_model, make_method, make_context, monkeypatch) -> None:
    _, _, optimizer = at(make_model(), make_method, make_context, 0.5, monkeypatch, reset_optimizer=True)
    assert not optimizer.state


def test_the_purities_are_those_of_both_splits(make_model, make_method, make_context) -> None:
    model = make_model()
    method = make_method("dr", model, every=1)
    context = make_context(model)
    fit, val = (encoded(model, context.data.ordered(s)) for s in ("fit", "val"))
    method.begin_epoch(model, 2, context)
    told = {(m, k): v for m, k, v in method.end_epoch(model)}
    for m in model.modalities:
        assert told[m, "purity_train"] == purity(fit[0][m], fit[1], 3, 10)
        assert told[m, "purity_val"] == purity(val[0][m], val[1], 3, 10)
        assert told[m, "retreat"] == pytest.approx(
            np.tanh(3 * abs(told[m, "purity_train"] - told[m, "purity_val"])), abs=1e-12
        )


def test_when(make_model, make_method, make_context, monkeypatch) -> None:
    """The published calendar: after the epochs 20, 40 and 60 of 90, counted from 0."""
    model = make_model()

    def epochs(total, **config):
        method, moved = make_method("dr", model, **config), []
        monkeypatch.setattr(method, "_relearn", lambda *_: moved.append(epoch))
        for epoch in range(total):
            method.begin_epoch(model, epoch, make_context(model, epochs=total))
        return moved

    assert epochs(90) == [21, 41, 61]
    assert epochs(9) == [3, 5, 7]
    assert epochs(90, every=30, times=2) == [31, 61]
