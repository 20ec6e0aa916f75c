"""Appearance: which layers are read, of whom, and that reading changes nothing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from curate.scores import wordings
from curate.scores.guard import DEEP
from curate.scores.vectors import FEW
from curate.specs import ClipSpec, FeatureSpec, TextSpec, VisualSpec
from curate.train.loop.engine import make_trainer
from curate.train.methods.method import Method
from curate.train.methods.optim import OptimConfig
from curate.train.models.encoders import Projected, make_encoder
from curate.train.models.model import ModelConfig
from curate.train.models.texts import TextTransformer
from curate.train.stages.appearance import appearance, early_layers, is_deep, looks, patterns

PICTURE = VisualSpec(size=32, channels=1, frames=1)


@pytest.mark.parametrize(
    ("kind", "spec", "width"),
    [
        ("small_cnn", PICTURE, 8 + 16),
        ("resnet18", PICTURE, 64 + 128),
        ("small_3d", ClipSpec(frames=4, window=4, size=32, crop=32), 8 + 16),
        ("r3d_18", ClipSpec(frames=4, window=4, size=32, crop=32), 64 + 128),
    ],
)
def test_early_layers_end_the_first_two_stages(kind, spec, width) -> None:
    encoder = make_encoder(kind, spec)
    seen: list[torch.Tensor] = []
    for layer in early_layers(encoder):
        layer.register_forward_hook(lambda _, __, output: seen.append(output))
    shape = (2, 4, spec.channels, 32, 32) if isinstance(spec, ClipSpec) else (2, 1, spec.channels, 32, 32)
    encoder(torch.randn(shape))
    assert len(seen) == 2 and sum(x.shape[1] for x in seen) == width
    assert all((x >= 0).all() for x in seen)  # after the rectifier
    assert early_layers(Projected(encoder, 64, 32)) == early_layers(encoder)


def test_texts_and_features_are_deep() -> None:
    assert is_deep(make_encoder("linear", FeatureSpec(dim=4)))
    assert is_deep(TextTransformer(TextSpec(tokens=4, vocabulary=9), 8, 8, 1, 4))
    assert not is_deep(make_encoder("small_cnn", PICTURE))


@pytest.fixture
def trainer(small_data, make_model):
    from curate.train.models.model import FusionModel

    torch.manual_seed(0)
    model = FusionModel(small_data.specs, ("low", "middle", "high"), ModelConfig())
    return make_trainer(model, Method(), OptimConfig(), small_data, torch.device("cpu"))


def test_statistics_are_means_and_deviations_of_channels(trainer, small_data) -> None:
    found = appearance(trainer, small_data, small_data.val)
    raw = next(small_data.ordered_batches(small_data.val))
    trainer.transform.eval()
    inputs = trainer.transform(raw).inputs["visual"]
    maps = trainer.model.encoders["visual"].net[:3](inputs[:, 0])
    mean, deviation = maps.mean((2, 3)), maps.std((2, 3), correction=0)
    np.testing.assert_allclose(found["visual"][: len(inputs), :8], mean.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(found["visual"][: len(inputs), 8:16], deviation.detach().numpy(), atol=1e-6)
    assert found["visual"].shape == (len(small_data.val), 48) and found["audio"].dtype == np.float64


def test_looking_changes_nothing(trainer, small_data) -> None:
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    state = torch.get_rng_state()
    first, again = (appearance(trainer, small_data, small_data.fit) for _ in range(2))
    assert all(np.array_equal(first[m], again[m]) for m in first)
    assert all(torch.equal(v, before[k]) for k, v in trainer.model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert not any(m._forward_hooks for m in trainer.model.modules())


def test_coarse_content_of_decoded_samples_by_hand(small_data) -> None:
    samples = small_data.fit
    pictures = np.asarray(samples.cache.arrays["visual"][samples.rows], dtype=np.float64)  # 16 x 16, one frame, grey
    found = patterns(samples, "visual")
    assert found.shape == (len(samples), 64)
    assert found[3].reshape(8, 8)[2, 5] == pytest.approx(pictures[3, 0, 4:6, 10:12, 0].mean())
    sounds = patterns(samples, "audio")
    assert sounds.shape == (len(samples), 56) and np.isfinite(sounds).all()  # short pieces have fewer bands than 8


def test_coarse_content_of_features_is_their_places_on_the_main_axes() -> None:
    """Two features that say the same, and two that are constant or noise: the first axis is the shared one."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal(300)
    values = np.stack([shared, 10 * shared, np.full(300, 3.0), rng.standard_normal(300)], 1).astype(np.float32)
    samples = SimpleNamespace(cache=SimpleNamespace(arrays={"audio": values}), rows=np.arange(1, 300))
    found = patterns(samples, "audio")
    assert found.shape == (299, 4)
    standard = (shared[1:] - shared[1:].mean()) / shared[1:].std()
    # On the axis (1, 1) / sqrt 2 of two equal standardised features.
    assert abs(np.corrcoef(found[:, 0], standard)[0, 1]) == pytest.approx(1, abs=0.01)
    assert found[:, 0].std() == pytest.approx(np.sqrt(2), abs=0.01)
    assert np.array_equal(found, patterns(samples, "audio"))


def test_the_look_of_vectors_is_of_features_alone() -> None:
    """One blank vector among others has nothing but zeros; a sample in the bank is not its own neighbour."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 20)).astype(np.float32)
    values[7] = 0
    cache = SimpleNamespace(arrays={"audio": values, "few": values[:, :9], "visual": np.zeros((60, 1, 8, 8, 3), "u1")})
    seen, unseen = (SimpleNamespace(cache=cache, rows=rows) for rows in (np.arange(5, 45), np.arange(45, 60)))
    found, held = looks(seen, unseen, "audio")
    assert found.shape == (40, 8) and held.shape == (15, 8)
    assert found[:, 3].tolist() == [0.0, 0.0, 1.0] + [0.0] * 37 and not held[:, 3].any(), "the share of zeros"
    _, as_new = looks(seen, seen, "audio")
    assert (as_new[:, 6] <= found[:, 6]).all() and not np.array_equal(found, as_new), "new ones find themselves"
    assert looks(seen, unseen, "few") == FEW and looks(seen, unseen, "visual") == DEEP


def texts(count: int = 40) -> np.ndarray:
    """Ids of texts of two topics in turn, eight words each; the fourth is cut to two."""
    rng = np.random.default_rng(0)
    own = 2 + 10 * (np.arange(count)[:, None] % 2) + rng.integers(0, 10, (count, 8))
    own[3, 2:] = 0
    return np.pad(own, ((0, 0), (0, 2))).astype(np.int32)


def test_coarse_content_of_texts_is_their_words() -> None:
    """The first axes tell two topics that share no word; what no known word is in is at their origin."""
    ids = np.concatenate([texts(), np.ones((1, 10), dtype=np.int32)])
    samples = SimpleNamespace(cache=SimpleNamespace(arrays={"text": ids}), rows=np.arange(41))
    found = patterns(samples, "text")
    assert found.shape == (41, 20) and not found[40].any(), "no more axes than words"
    likeness = found[:40] @ found[:40].T
    same = np.equal.outer(np.arange(40) % 2, np.arange(40) % 2)
    assert np.abs(likeness[~same]).max() < 1e-9 < likeness[same].mean()
    assert np.array_equal(found, patterns(samples, "text"))
    nothing = SimpleNamespace(cache=SimpleNamespace(arrays={"text": np.minimum(ids, 1)}), rows=np.arange(41))
    assert patterns(nothing, "text") is None, "no known word"


def test_the_look_of_texts_is_not_what_they_say() -> None:
    cache = SimpleNamespace(arrays={"text": texts(), "names": texts()[:, 2:3]})
    seen, unseen = (SimpleNamespace(cache=cache, rows=rows) for rows in (np.arange(30), np.arange(30, 40)))
    found, held = looks(seen, unseen, "text")
    assert found.shape == (30, 7) and held.shape == (10, 7)
    assert np.exp(found[:, 0]) == pytest.approx([8, 8, 8, 2] + [8] * 26), "the number of words"
    _, as_new = looks(seen, seen, "text")
    assert (as_new[:, 3] > found[:, 3]).all(), "new ones are not left out of what they are compared with"
    assert looks(seen, unseen, "names") == wordings.FEW
