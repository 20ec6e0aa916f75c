"""Data remixing: who gets a sample by hand, and a step against a naive double."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from curate.torch.losses import negative_entropy


def test_negative_entropy_by_hand() -> None:
    """p = (.5, .25, .25): H = 1.5 ln 2."""
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3], [1.0, 1e-30, 1e-30]]))
    torch.testing.assert_close(negative_entropy(logits), torch.tensor([-1.5 * math.log(2), -math.log(3), 0.0]))


def test_the_loss_of_the_warm_up(make_model, make_batch, make_method) -> None:
    """With half of the unimodal losses, if nothing is said."""
    model, batch = make_model(), make_batch()
    method = make_method("remix", model)
    out = method.forward(model, batch.inputs)
    fused, audio, visual = (F.cross_entropy(x, batch.labels) for x in (out.fused, *out.logits.values()))
    torch.testing.assert_close(method.loss(out, batch), fused + 0.5 * (audio + visual))


def test_a_sample_is_of_the_modality_that_says_least_and_only_that_one_learns_from_it(
    make_model, make_batch, make_method, make_context, look
) -> None:
    model, double, batch = make_model(), make_model(), make_batch()
    method = make_method("remix", model, first_epoch=0, gamma=0.5)
    method.begin_epoch(model, 0, make_context(model, data=look([batch], [])))
    model.eval()
    said = {m: F.softmax(x.detach(), 1) for m, x in method.forward(model, batch.inputs).logits.items()}
    surest = {m: (p * p.log()).sum(dim=1) for m, p in said.items()}
    names = model.modalities
    for i, sample in enumerate(batch.sample_ids.tolist()):
        assert names[method.assigned[sample]] == min(names, key=lambda m: float(surest[m][i]))
    method.assigned = dict(zip(batch.sample_ids.tolist(), [0, 1, 0, 0, 1, 0], strict=True))
    assert dict((m, x) for m, _, x in method.end_epoch(model)) == pytest.approx({names[0]: 4 / 6, names[1]: 2 / 6})

    make_method("remix", double)
    double.load_state_dict(model.state_dict())
    optimizers = [torch.optim.SGD(x.parameters(), 0.1) for x in (model, double)]
    model.train()
    double.train()
    loss = method.step(model, optimizers[0], batch)
    total = 0.0
    for m, other, rows in ((*names, [0, 2, 3, 5]), (*names[::-1], [1, 4])):
        optimizers[1].zero_grad()
        features = double.encoders[m](batch.inputs[m])[rows]
        fused = double.fusion({m: features, other: torch.zeros(len(rows), double.dims[other])})[1]
        own = double.extra["own"][m](features)
        value = F.cross_entropy(fused, batch.labels[rows]) + 0.5 * F.cross_entropy(own, batch.labels[rows])
        value.backward()
        optimizers[1].step()
        total += float(value.detach()) * len(rows) / 6
    assert float(loss) == pytest.approx(total, rel=1e-5)
    for p, q in zip(model.parameters(), double.parameters(), strict=True):
        torch.testing.assert_close(p, q)
