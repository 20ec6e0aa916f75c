"""PDMP: the ranking by separately trained networks, and steps by hand."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from curate.errors import CurateError
from curate.train.methods.alone import Result
from curate.train.methods.optim import OptimConfig
from curate.train.methods.pdmp import Pdmp, best
from curate.train.models.model import freeze


def test_the_best_alone_is_dominant_and_a_tie_goes_by_the_loss() -> None:
    assert best({"audio": Result(0.2, 0.6), "visual": Result(0.9, 0.7)}) == "visual"
    assert best({"audio": Result(0.9, 0.7), "visual": Result(0.2, 0.7), "depth": Result(0.1, 0.6)}) == "visual"


def test_the_ranking_is_that_of_naively_trained_networks(make_model, make_method, make_context) -> None:
    """Each encoder under a head of its own, as many epochs as the run has; the joint model is left alone."""
    model = make_model()
    start = copy.deepcopy(model)
    method = make_method("pdmp", model)
    context = make_context(start)
    accuracies = {}
    for m in model.modalities:
        encoder, head = copy.deepcopy(start.encoders[m]), start.fusion.unimodal_head(m)
        net = nn.Sequential(encoder, head).train()
        optimizer = OptimConfig(lr=0.05).over(net.parameters())
        for epoch in range(context.epochs):
            for batch in context.data.shuffled(epoch):
                optimizer.zero_grad()
                F.cross_entropy(net(batch.inputs[m]), batch.labels).backward()
                optimizer.step()
        net.eval()
        hits = [(net(b.inputs[m]).argmax(dim=1) == b.labels).double() for b in context.data.ordered("val")]
        accuracies[m] = float(torch.cat(hits).mean())
    assert {m: r.accuracy for m, r in method.alone.items()} == pytest.approx(accuracies)
    assert accuracies[method.dominant] == max(accuracies.values())
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), start.state_dict().values(), strict=True))
    assert not model.extra


def test_a_step_is_the_joint_one_times_each_coefficient(make_model, make_context, make_batch) -> None:
    """Without weight decay, by the gradients: encoders gamma times lr, fusion lr."""
    model, batch = make_model(), make_batch()
    before = {k: v.detach().clone() for k, v in model.named_parameters()}
    method = Pdmp(Pdmp.Config(gamma_p=3, gamma_r=0.25, dominant="visual"))
    method.attach(model, False)
    optimizer = method.optimizer(model, OptimConfig(lr=0.1, weight_decay=0))
    method.begin_epoch(model, 0, make_context(model, optimizer))
    method.step(model.train(), optimizer, batch)
    factor = {"encoders.audio": 0.25, "encoders.visual": 3.0}
    for name, p in model.named_parameters():
        by = next((f for start, f in factor.items() if name.startswith(start)), 1.0)
        torch.testing.assert_close(p.detach(), before[name] - 0.1 * by * p.grad, rtol=1e-5, atol=1e-7)


def test_factors_never_pile_up(make_model, make_context) -> None:
    model = make_model()
    method = Pdmp(Pdmp.Config(dominant="audio"))
    method.attach(model, False)
    optimizer = method.optimizer(model, OptimConfig(lr=0.1))
    for epoch in range(3):
        method.begin_epoch(model, epoch, make_context(model, optimizer))
        assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.15, 0.05, 0.1])
    assert dict((m, v) for m, _, v in method.end_epoch(model)) == {"audio": 1.5, "visual": 0.5}


def test_who_leads_is_found_once_and_kept(make_model, make_method, make_context) -> None:
    model = make_model()
    method = make_method("pdmp", model)
    assert {row[1] for row in method.end_epoch(model)} == {"alone_accuracy", "rate_factor"}
    other = Pdmp()
    other.attach(model, False)
    other.load_state_dict(method.state_dict())
    other.begin_epoch(model, 1, make_context(model, other.optimizer(model, OptimConfig())))
    assert other.dominant == method.dominant and not other.alone


def test_what_cannot_lead_is_refused(make_model, make_method) -> None:
    with pytest.raises(CurateError, match="unknown modality 'smell'"):
        make_method("pdmp", make_model(), dominant="smell")
    frozen = make_model()
    freeze(frozen.encoders)
    with pytest.raises(CurateError, match="none of these is trained"):
        make_method("pdmp", frozen)
    with pytest.raises(CurateError, match=r"gamma_p=0\.5"):
        Pdmp.Config(gamma_p=0.5)
