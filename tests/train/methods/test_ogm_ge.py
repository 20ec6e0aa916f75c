"""OGM-GE: the damping of OGM, and noise with the gradients' own spread."""

from __future__ import annotations

import pytest
import torch

from curate.torch.balance import damp_gradients, discrepancy


def step_gradients(make_model, make_batch, make_method, name: str, **config) -> tuple[dict[str, torch.Tensor], dict]:
    """Gradients after the edit by parameter name, and which modality is ahead."""
    model, batch = make_model(), make_batch()
    method = make_method(name, model, **config)
    outputs = method.forward(model, batch.inputs)
    method.loss(outputs, batch).backward()
    method.modulate(model, outputs, batch)
    gradients = {n: p.grad for n, p in model.named_parameters()}
    return gradients, {m: bool(r > 1) for m, r in discrepancy(outputs.logits, batch.labels).items()}


def weights(gradients: dict[str, torch.Tensor]) -> list[str]:
    return [n for n, g in gradients.items() if n.startswith("encoders.") and g.ndim >= 2]


@pytest.fixture
def gradients(make_model, make_batch, make_method):
    def get(name: str, **config):
        return step_gradients(make_model, make_batch, make_method, name, **config)

    return get


def test_without_noise_it_is_ogm(gradients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    (here, _), (there, _) = gradients("ogm_ge"), gradients("ogm")
    assert all(torch.equal(here[n], there[n]) for n in there)


def test_noise_has_mean_zero_and_the_spread_of_the_undamped_gradient(gradients) -> None:
    (noisy, _), (damped, _), (plain, _) = gradients("ogm_ge"), gradients("ogm"), gradients("joint")
    for n in weights(plain):
        noise, spread, count = noisy[n] - damped[n], plain[n].std(), plain[n].numel()
        assert abs(float(noise.mean())) < 5 * float(spread) / count**0.5, n
        assert float(noise.std() / spread) == pytest.approx(1, abs=5 / (2 * count) ** 0.5), n


def test_noise_goes_into_the_encoders_weights_alone(gradients) -> None:
    (noisy, _), (damped, _) = gradients("ogm_ge"), gradients("ogm")
    assert {n for n in noisy if not torch.equal(noisy[n], damped[n])} == set(weights(noisy))


def test_noise_of_the_damped_modality_only(gradients) -> None:
    (noisy, ahead), (damped, _) = gradients("ogm_ge", noise="damped"), gradients("ogm")
    assert sorted(ahead.values()) == [False, True]
    for n in weights(noisy):
        assert torch.equal(noisy[n], damped[n]) is not ahead[n.split(".")[1]], n


def test_the_published_code_edits_convolutions_alone(gradients, make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("ogm_ge", model, conv_only=True)
    outputs = method.forward(model, batch.inputs)
    method.loss(outputs, batch).backward()
    convolutions = sum(p.ndim == 4 for m in model.modalities for p in model.encoder_parameters(m))
    assert method.modulate(model, outputs, batch) == convolutions


def test_the_same_seed_gives_the_same_noise_and_outside_the_window_there_is_none(gradients) -> None:
    (a, _), (b, _) = gradients("ogm_ge"), gradients("ogm_ge")
    assert all(torch.equal(a[n], b[n]) for n in a)
    (outside, _), (joint, _) = gradients("ogm_ge", first_epoch=1), gradients("joint")
    assert all(torch.equal(outside[n], joint[n]) for n in joint)


def test_the_noise_has_the_corrected_deviation() -> None:
    """Of 1, 2, 3, 6 it is sqrt(14 / 3), as published, not sqrt(14 / 4); a single number has none."""
    gradient = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    p, single = torch.zeros(2, 2), torch.zeros(1, 1)
    p.grad, single.grad = gradient.clone(), torch.tensor([[5.0]])
    torch.manual_seed(0)
    assert damp_gradients({"audio": [p, single]}, {"audio": torch.tensor(1.0)}, noise="all") == 2
    torch.manual_seed(0)
    torch.testing.assert_close(p.grad, gradient + torch.randn(2, 2) * (14 / 3) ** 0.5)
    assert float(single.grad) == pytest.approx(5)
