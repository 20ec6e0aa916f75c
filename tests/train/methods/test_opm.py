"""OPM against hand-computed probabilities and a naive double of its loss."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from curate.torch.balance import discrepancy, drop_features, drop_probabilities

ALWAYS = {"first_epoch": 0, "p_exe": 1.0}


def test_probabilities_and_scale_by_hand() -> None:
    """S = (1.5, 1): t = tanh .5, q = .61553, theta = .30776, scale 1.44459; the weak modality is never dropped."""
    q = drop_probabilities({"audio": torch.tensor(1.5), "visual": torch.tensor(1 / 1.5)}, 0.5, 0.5)
    assert float(q["audio"]) == pytest.approx(0.61553, abs=5e-6)
    assert float(q["visual"]) == 0
    out = drop_features({m: torch.ones(3, 8) for m in q}, q)
    torch.testing.assert_close(out["visual"], torch.full((3, 8), 1.44459), atol=1e-5, rtol=0)


def test_a_certain_drop_is_a_probability() -> None:
    q = drop_probabilities({"audio": torch.tensor(9.0), "visual": torch.tensor(1 / 9)}, 0.9, 2.0)
    assert float(q["audio"]) == 1
    out = drop_features({m: torch.ones(5, 8) for m in q}, q)
    assert torch.equal(out["audio"], torch.zeros(5, 8)) and torch.equal(out["visual"], torch.full((5, 8), 2.0))


def test_the_loss_equals_a_naive_double(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("opm", model, q_base=0.6, growth=0.3, **ALWAYS)
    model.train()
    out = method.forward(model, batch.inputs)
    torch.manual_seed(11)
    loss = method.loss(out, batch)

    torch.manual_seed(11)
    torch.rand(())  # whether this batch is treated
    scores = {m: F.softmax(x, 1).gather(1, batch.labels[:, None]).sum().item() for m, x in out.logits.items()}
    strong = max(scores, key=scores.get)
    t = math.tanh(scores[strong] / min(scores.values()) - 1)
    q = {m: 0.6 * (1 + 0.3 * t) if m == strong else 0.0 for m in scores}
    kept = {m: torch.rand(6, 1) >= q[m] for m in scores}
    assert 0 < int(kept[strong].sum()) < 6
    rows = []
    for i in range(6):
        parts = [out.features[m][i] * float(kept[m][i]) / (1 - q[strong] / 2) for m in scores]
        rows.append(model.fusion.head(torch.cat(parts)))
    torch.testing.assert_close(loss, F.cross_entropy(torch.stack(rows), batch.labels))
    assert {m: pytest.approx(v, rel=1e-5) for m, _, v in method.end_epoch(model)} == q


@pytest.mark.parametrize(("epoch", "config"), [(5, {"p_exe": 1.0, "first_epoch": 6}), (9, {"p_exe": 0.0})])
def test_untreated_batches_are_joint_training(make_model, make_batch, make_method, epoch: int, config: dict) -> None:
    model, batch = make_model(), make_batch()
    method, joint = make_method("opm", model, epoch=epoch, **config), make_method("joint", model)
    out = method.forward(model, batch.inputs)
    assert torch.equal(method.loss(out, batch), joint.loss(out, batch))
    assert method.end_epoch(model) == []


def test_treatment_begins_in_the_seventh_epoch(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("opm", model, epoch=6, p_exe=1.0, first_epoch=6)
    method.loss(method.forward(model, batch.inputs), batch)
    assert len(method.end_epoch(model)) == 2


def test_a_dropped_modality_gets_no_gradient_from_its_sample(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("opm", model, q_base=1.0, growth=1.0, **ALWAYS)
    out = method.forward(model, batch.inputs)
    for f in out.features.values():
        f.retain_grad()
    method.loss(out, batch).backward()
    ahead = {m: bool(r > 1) for m, r in discrepancy(out.logits, batch.labels).items()}
    assert sorted(ahead.values()) == [False, True]
    for m, f in out.features.items():
        assert torch.equal(f.grad, torch.zeros_like(f)) is ahead[m]


def test_predictions_are_of_undropped_features(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("opm", model, q_base=1.0, **ALWAYS)
    model.eval()
    assert torch.equal(method.forward(model, batch.inputs).fused, model(batch.inputs).fused)


def test_three_modalities_are_dropped_independently(make_model, make_batch, make_method) -> None:
    names = ("audio", "visual", "depth")
    model, batch = make_model(*names), make_batch(*names)
    method = make_method("opm", model, **ALWAYS)
    method.loss(method.forward(model, batch.inputs), batch).backward()
    q = {m: v for m, _, v in method.end_epoch(model)}
    assert min(q.values()) == 0 and max(q.values()) >= 0.5
