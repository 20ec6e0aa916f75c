"""MLA: projection and entropy weights by hand, the step against a naive double."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from curate.train.methods.mla import entropy_weights, shrink
from curate.train.methods.optim import OptimConfig


def test_the_projection_by_hand() -> None:
    r = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    p = shrink(torch.eye(3, dtype=torch.float64), r, 0.1)
    assert (p @ r).tolist() == pytest.approx([0.0196, 0.0392, 0.0], abs=5e-5)
    for orthogonal in ([2.0, -1.0, 0.0], [0.0, 0.0, 1.0]):
        x = torch.tensor(orthogonal, dtype=torch.float64)
        torch.testing.assert_close(p @ x, x)


@given(st.lists(st.lists(st.floats(-3, 3), min_size=4, max_size=4), min_size=1, max_size=6))
def test_the_projection_is_the_inverse_of_what_it_took_in(rows) -> None:
    """Sherman-Morrison: P = (I + sum r r' / a)^-1, symmetric, eigenvalues in (0, 1]."""
    p, total = torch.eye(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    for row in rows:
        r = torch.tensor(row, dtype=torch.float64)
        p, total = shrink(p, r, 0.1), total + torch.outer(r, r) / 0.1
    torch.testing.assert_close(p @ total, torch.eye(4, dtype=torch.float64), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(p, p.T)


def test_entropy_weights_by_hand() -> None:
    even = torch.tensor([[[2.0, 0.0], [0.0, 3.0]], [[0.0, 2.0], [3.0, 0.0]]])
    torch.testing.assert_close(entropy_weights(even), torch.full((2, 2), 0.5))
    w = entropy_weights(torch.tensor([[[50.0, 0.0]], [[0.0, 0.0]]]))  # entropies 0 and ln 2: shares 2 to 1
    torch.testing.assert_close(w, torch.tensor([[2 / 3], [1 / 3]]))
    w = entropy_weights(torch.randn(3, 5, 4) * 100)
    torch.testing.assert_close(w.sum(0), torch.ones(5))


def test_the_fusion_is_a_weighted_sum_a_sample(make_model, make_method, make_batch) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("mla", model)
    with torch.no_grad():
        model.extra["shared"].weight.mul_(20)  # of small logits all entropies are the same
    out = method.forward(model.eval(), batch.inputs)
    for i in range(6):
        p = {m: x[i].softmax(0) for m, x in out.logits.items()}
        e = {m: -(q * q.log()).sum() for m, q in p.items()}
        w = {m: (max(e.values()) - e[m]).exp() for m in e}
        torch.testing.assert_close(out.fused[i], sum(w[m] * out.logits[m][i] for m in w) / sum(w.values()))
    fixed = make_method("mla", model, weights="audio=0.55,visual=0.45").forward(model, batch.inputs)
    torch.testing.assert_close(fixed.fused, 0.55 * fixed.logits["audio"] + 0.45 * fixed.logits["visual"])


@pytest.mark.parametrize("projection", ["previous", "current", "off"])
def test_steps_equal_a_naive_double(projection, make_model, make_method, make_batch) -> None:
    model = make_model()
    method = make_method("mla", model, projection=projection)
    assert method.steps == 2
    naive = copy.deepcopy(model).train()
    head = naive.extra["shared"]
    optimizers = {
        m: torch.optim.SGD([*naive.encoders[m].parameters()], 0.05, 0.9, weight_decay=1e-4) for m in naive.modalities
    }
    shared = torch.optim.SGD(head.parameters(), 0.05, 0.9, weight_decay=1e-4)
    p = torch.eye(64, dtype=torch.float64)
    optimizer = OptimConfig(lr=0.05).make(model)
    for t in range(2):
        batch = make_batch(seed=t)
        loss = method.step(model.train(), optimizer, batch)
        total = 0.0
        for m, own in optimizers.items():
            own.zero_grad()
            shared.zero_grad()
            f = naive.encoders[m](batch.inputs[m])
            ce = F.cross_entropy(head(f), batch.labels)
            ce.backward()
            total += ce.item()
            r = f.detach().double().mean(0)
            old, k = p, p @ r
            p = p - k[:, None] * k[None, :] / (0.1 ** (1 + t / 2) + (r * k).sum())
            used = {"previous": old, "current": p, "off": torch.eye(64, dtype=torch.float64)}[projection]
            head.weight.grad = (head.weight.grad.double() @ used.T).float()
            own.step()
            shared.step()
        assert float(loss) == pytest.approx(total, rel=1e-4)
    for (key, a), b in zip(model.state_dict().items(), naive.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=key)


def test_the_projection_takes_the_earlier_modalitys_direction_out_of_the_head(make_model, make_method) -> None:
    model = make_model()
    method = make_method("mla", model)
    head = model.extra["shared"]
    r = torch.zeros(64)
    r[:2] = torch.tensor([30.0, 40.0])
    head.weight.grad = torch.ones_like(head.weight)
    method._project(head, r)
    assert torch.equal(head.weight.grad, torch.ones_like(head.weight))
    head.weight.grad = torch.ones_like(head.weight)
    method._project(head, r)
    assert (head.weight.grad @ r).abs().max() < 0.01
    torch.testing.assert_close(head.weight.grad[:, 2:], torch.ones(3, 62))
