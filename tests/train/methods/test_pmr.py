"""PMR: prototype probabilities and coefficients by hand, prototypes against a naive double."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from curate.train.methods.pmr import Pmr, class_means, coefficients, entropy, negative_distances
from curate.train.models.model import Outputs

FEATURES, PROTOTYPES = torch.zeros(1, 2), torch.tensor([[1.0, 0.0], [2.0, 0.0]])


def test_prototype_probabilities_by_hand() -> None:
    p = negative_distances(FEATURES, PROTOTYPES).softmax(dim=1)
    torch.testing.assert_close(p, torch.tensor([[0.7311, 0.2689]]), atol=5e-5, rtol=0)


def test_coefficients_by_hand() -> None:
    """rho = S_a / S_v = 2: only visual learns from prototypes, only audio's entropy counts."""
    slow, fast = coefficients(torch.tensor([2.0, 1.0]))
    assert slow.tolist() == pytest.approx([0.0, 1.0], abs=1e-6) and fast.tolist() == pytest.approx([1.0, 0.0], abs=1e-6)
    slow, fast = coefficients(torch.tensor([1.0, 1.25, 1.0]))
    assert slow.tolist() == pytest.approx([0.25, 0, 0.25]) and fast.tolist() == pytest.approx([0, 0.25, 0])
    slow, fast = coefficients(torch.tensor([3.0, 1.0]))
    assert slow.tolist() == [0, 1] and fast.tolist() == [1, 0], "at most 1"
    assert all(torch.isfinite(x).all() for x in coefficients(torch.zeros(2)))


def test_the_distance_has_a_finite_gradient_at_a_prototype() -> None:
    f = PROTOTYPES[:1].clone().requires_grad_()
    F.cross_entropy(negative_distances(f, PROTOTYPES), torch.tensor([0])).backward()
    assert torch.isfinite(f.grad).all()


def ready(make_model, epoch=0, **config) -> Pmr:
    """A method with prototypes of its own choosing, on two-dimensional features."""
    method = Pmr(Pmr.Config(**config))
    method.attach(make_model(classes=2), False)
    method.prototypes = {"audio": torch.tensor([[0.0, 0.0], [9.0, 0.0]]), "visual": PROTOTYPES}
    method.seen = torch.ones(2, dtype=torch.bool)
    method.active = True
    return method


def at_and_beside_a_prototype() -> dict[str, torch.Tensor]:
    """Features of one sample: audio sits on its prototype, visual does not."""
    places = {"audio": [[0.0, 0.0]], "visual": [[0.0, 1.0]]}
    return {m: torch.tensor(x, requires_grad=True) for m, x in places.items()}


@pytest.mark.parametrize("mode", ["clip", "switch"])
@pytest.mark.parametrize("early", [False, True])
def test_loss_equals_a_naive_double(mode, early, make_model, make_batch) -> None:
    method = ready(make_model, coefficient=mode, alpha=0.7, entropy=0.3)
    method.early = early
    g = torch.Generator().manual_seed(5)
    features = {m: torch.randn(6, 2, generator=g) for m in ("audio", "visual")}
    batch = make_batch(classes=2)
    fused = torch.randn(6, 2, generator=g)

    distances = {
        m: torch.tensor([[-math.dist(f.tolist(), c.tolist()) for c in method.prototypes[m]] for f in features[m]])
        for m in features
    }
    p = {m: d.softmax(1) for m, d in distances.items()}
    s = {m: sum(float(p[m][i, y]) for i, y in enumerate(batch.labels)) for m in p}
    rho = s["audio"] / s["visual"]
    beta, gamma = min(max(1 / rho - 1, 0), 1), min(max(rho - 1, 0), 1)
    slow = {"audio": beta, "visual": gamma}
    if mode == "switch":
        slow = {"audio": float(rho < 1), "visual": float(rho > 1)}
    expected = F.cross_entropy(fused, batch.labels)
    for m in p:
        expected = expected + 0.7 * slow[m] * F.cross_entropy(distances[m], batch.labels)
    if early:
        h = {m: -(p[m] * p[m].log()).sum(1).mean() for m in p}
        expected = expected - 0.3 * (gamma * h["audio"] + beta * h["visual"])
    torch.testing.assert_close(method.loss(Outputs(features, {}, fused), batch), expected, rtol=1e-5, atol=1e-6)


def test_only_the_slow_modalitys_features_get_a_prototype_gradient(make_model, make_batch) -> None:
    method = ready(make_model, entropy=0.0)
    batch = make_batch(size=1, classes=2)
    features = at_and_beside_a_prototype()
    fused = torch.zeros(1, 2, requires_grad=True)
    method.loss(Outputs(features, {}, fused), batch).backward()
    assert features["visual"].grad.abs().sum() > 0.1
    assert features["audio"].grad.abs().sum() == 0
    assert all(not p.requires_grad for p in method.prototypes.values())


def test_how_slow_a_modality_is_has_no_gradient(make_model, make_batch) -> None:
    """Of visual at sqrt(2) and sqrt(5) P(true) is 0.6946, of audio 0.9999, and 0.9999 / 0.6946 - 1 = 0.4394."""
    method = ready(make_model, alpha=1.0, coefficient="clip")
    features = at_and_beside_a_prototype()
    method.loss(Outputs(features, {}, torch.zeros(1, 2)), make_batch(size=1, classes=2)).backward()
    alone = at_and_beside_a_prototype()["visual"]
    F.cross_entropy(negative_distances(alone, PROTOTYPES), torch.tensor([0])).backward()
    torch.testing.assert_close(features["visual"].grad, 0.4394 * alone.grad, rtol=1e-3, atol=0)
    assert not features["audio"].grad.any()


def test_prototypes_are_class_means_in_eval_mode(make_model, make_batch) -> None:
    model, batches = make_model(), [make_batch(size=5, seed=1), make_batch(size=4, seed=2)]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    means, seen = class_means(model.train(), batches)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert seen.all()
    model.eval()
    with torch.no_grad():
        features = torch.cat([model.encode(b.inputs)["visual"] for b in batches])
    labels = torch.cat([b.labels for b in batches])
    for k in range(3):
        torch.testing.assert_close(means["visual"][k], features[labels == k].mean(0))


def test_refreshing_mixes_from_the_third_time_on_and_keeps_classes_not_seen(make_model) -> None:
    method = Pmr(Pmr.Config(momentum=0.5))
    method.attach(make_model(classes=2), False)
    method.prototypes = {m: torch.zeros(2, 1) for m in ("audio", "visual")}

    def refresh(value, seen=(True, True)):
        method._refresh({m: torch.full((2, 1), value) for m in ("audio", "visual")}, torch.tensor(seen))
        return method.prototypes["audio"][:, 0].tolist()

    assert refresh(8.0, (True, False)) == [8.0, 0.0]
    assert method.seen.tolist() == [True, False]
    assert refresh(4.0) == [4.0, 4.0]
    assert refresh(2.0) == [3.0, 3.0]
    assert refresh(100.0, (False, True)) == [3.0, 51.5]


def test_a_class_without_a_prototype_has_no_probability(make_model) -> None:
    method = ready(make_model)
    method.seen = torch.tensor([False, True])
    assert method._logits("visual", FEATURES).softmax(1).tolist() == [[0.0, 1.0]]


def test_windows(make_model, make_method, make_context) -> None:
    model = make_model()
    method = make_method("pmr", model, until=8, entropy_share=0.3)
    seen = []
    for epoch in range(10):
        method.begin_epoch(model, epoch, make_context(model, epochs=10))
        seen.append((method.active, method.early))
    assert seen == [(e < 8, e < 3) for e in range(10)]


def test_entropy_is_in_nats() -> None:
    assert float(entropy(torch.zeros(3, 4).log_softmax(1))) == pytest.approx(math.log(4))


def test_defaults_are_those_of_the_published_runs() -> None:
    """A constant 2 for the slow modality, no entropy term, prototypes made anew."""
    c = Pmr.Config()
    assert (c.alpha, c.coefficient, c.entropy, c.momentum) == (2.0, "switch", 0.0, 0.0)
