"""Mixup of features against cross-entropy with mixed labels, and what it draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from curate.errors import CurateError
from curate.train.loop.engine import OptimConfig


def test_a_step_is_one_on_mixed_features_and_mixed_labels(
    make_model, make_batch, make_method, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of each sample and three quarters of its partner, of all modalities and of the label."""
    batch, partners, share = make_batch(), torch.tensor([1, 2, 3, 4, 5, 0]), 0.25
    model, same = make_model(), make_model()
    method = make_method("mixup", model)
    monkeypatch.setattr(method, "drawn", lambda count: (partners, share))
    method.step(model, OptimConfig(lr=0.05).make(model), batch)
    optimizer = OptimConfig(lr=0.05).make(same)
    features = same.encode(batch.inputs)
    mixed = {m: 0.25 * f + 0.75 * f[partners] for m, f in features.items()}
    given = F.one_hot(batch.labels, 3).float()
    F.cross_entropy(same.fusion(mixed)[1], 0.25 * given + 0.75 * given[partners]).backward()
    optimizer.step()
    for ours, theirs in zip(model.parameters(), same.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_with_nothing_of_the_partner_it_is_joint_training(make_model, make_batch, make_method, monkeypatch) -> None:
    models = make_model(), make_model()
    methods = make_method("mixup", models[0]), make_method("joint", models[1])
    monkeypatch.setattr(methods[0], "drawn", lambda count: (torch.arange(count).roll(1), 1.0))
    for method, model in zip(methods, models, strict=True):
        method.step(model, OptimConfig(lr=0.05).make(model), make_batch())
    for ours, theirs in zip(*(m.parameters() for m in models), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_partners_are_a_permutation_and_shares_have_the_moments_of_a_beta(alpha, make_model, make_method) -> None:
    """Mean 1/2 and variance 1 / (4 (2 alpha + 1)); five standard errors."""
    method = make_method("mixup", make_model(), alpha=alpha)
    torch.manual_seed(0)
    drawn = [method.drawn(6) for _ in range(2000)]
    assert all(sorted(partners.tolist()) == list(range(6)) for partners, _ in drawn)
    shares, variance = np.array([share for _, share in drawn]), 1 / (4 * (2 * alpha + 1))
    error = np.sqrt(variance / 2000)
    assert abs(shares.mean() - 0.5) < 5 * error and abs(shares.var() - variance) < 5 * 0.25 * error
    own = [np.mean([partners[i] == i for partners, _ in drawn]) for i in range(6)]
    assert all(abs(x - 1 / 6) < 5 * np.sqrt(5 / 36 / 2000) for x in own)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_an_alpha_that_is_none_is_refused(alpha: float, make_model, make_method) -> None:
    with pytest.raises(CurateError, match="alpha"):
        make_method("mixup", make_model(), alpha=alpha)
