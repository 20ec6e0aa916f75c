"""OPM & OGM is OPM in the loss and OGM in the gradients, with the same scores."""

from __future__ import annotations

import pytest
import torch

from curate.train.loop.engine import OptimConfig

OPM = {"opm_first_epoch": 0, "p_exe": 1.0}


def stepped(make_model, make_batch, make_method, name: str, **config):
    """Parameters after three steps."""
    model = make_model()
    method = make_method(name, model, **config)
    optimizer = OptimConfig(lr=0.05).make(model)
    model.train()
    for seed in range(3):
        torch.manual_seed(seed)
        method.step(model, optimizer, make_batch(seed=seed))
    return [p.detach() for p in model.parameters()]


@pytest.mark.parametrize(
    ("config", "other", "others"),
    [
        ({"opm_first_epoch": 1, "ogm_first_epoch": 1}, "joint", {}),
        ({"p_exe": 0.0, "alpha": 0.0, "opm_first_epoch": 0}, "joint", {}),
        ({**OPM, "ogm_first_epoch": 1}, "opm", {"first_epoch": 0, "p_exe": 1.0}),
        ({"opm_first_epoch": 1}, "ogm", {}),
        ({"opm_first_epoch": 1, "noise": "all", "conv_only": True}, "ogm_ge", {"conv_only": True}),
    ],
)
def test_with_one_half_off_it_is_the_other(make_model, make_batch, make_method, config, other, others) -> None:
    here = stepped(make_model, make_batch, make_method, "opm_ogm", **config)
    there = stepped(make_model, make_batch, make_method, other, **others)
    assert all(torch.equal(p, q) for p, q in zip(here, there, strict=True))


def test_both_act_on_the_scores_of_the_undropped_features(make_model, make_batch, make_method) -> None:
    """The gradient of OPM's loss, times OGM's factor of the same forward."""
    model, batch = make_model(), make_batch()
    both, opm = make_method("opm_ogm", model, **OPM), make_method("opm", model, first_epoch=0, p_exe=1.0)
    gradients = []
    for method in (opm, both):
        model.zero_grad(set_to_none=True)
        torch.manual_seed(4)
        out = method.forward(model, batch.inputs)
        method.loss(out, batch).backward()
        edited = method.modulate(model, out, batch)
        gradients.append([p.grad.clone() for m in model.modalities for p in model.encoder_parameters(m)])
    assert edited == 8
    rows = both.end_epoch(model)
    factors = {m: v for m, metric, v in rows if metric == "gradient_factor"}
    assert {metric for _, metric, _ in rows} == {"gradient_factor", "drop_probability"}
    owners = [m for m in model.modalities for _ in model.encoder_parameters(m)]
    for m, plain, damped in zip(owners, *gradients, strict=True):
        torch.testing.assert_close(damped, plain * factors[m] if plain.ndim >= 2 else plain)
    dropped = {m: v for m, metric, v in rows if metric == "drop_probability"}
    assert {m: q > 0 for m, q in dropped.items()} == {m: k < 1 for m, k in factors.items()}
