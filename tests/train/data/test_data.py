"""Batches, transforms and encoders."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curate.datasets.cache import prepare
from curate.specs import AudioSpec, VisualSpec
from curate.train.data.samples import BatchTransform, DataView, Frames, RunData, Samples, Spectrogram, mix_seed
from curate.train.models.encoders import ResNet18, SmallCNN, input_size, make_encoder, over_frames


@pytest.mark.parametrize(
    "spec",
    [
        AudioSpec(),
        AudioSpec(rate=16000, seconds=3.0, hop=159),
        AudioSpec(rate=8000, seconds=1.0, hop=256, n_mels=32),
    ],
)
def test_spectrogram_has_the_size_the_encoder_is_told(spec: AudioSpec) -> None:
    waves = torch.randint(-20000, 20000, (2, *spec.shape), dtype=torch.int16)
    assert Spectrogram(spec)(waves).shape == (2, *input_size(spec))


def test_the_default_spectrogram_is_the_literature_s() -> None:
    assert input_size(AudioSpec()) == (1, 257, 188)


def test_a_pure_tone_lights_its_frequency_bin() -> None:
    spec = AudioSpec(rate=8000, seconds=1.0, n_fft=512, hop=256, fill="pad")
    t = np.arange(8000) / 8000
    tone = torch.from_numpy((np.sin(2 * np.pi * 1000 * t) * 20000).astype(np.int16))[None]
    assert int(Spectrogram(spec)(tone)[0, 0].mean(dim=1).argmax()) == round(1000 / 8000 * 512)


def test_standardised_clips_forget_their_volume() -> None:
    spec = AudioSpec(rate=1000, seconds=0.512, n_fft=64, hop=32, standardize=True)
    wave = (torch.randn(1, 512) * 8000).to(torch.int16)
    loud, quiet = Spectrogram(spec)(wave), Spectrogram(spec)(wave // 4)
    torch.testing.assert_close(loud.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    assert (loud - quiet).abs().mean() < 0.02


def test_frames_are_augmented_in_training_only_and_each_clip_its_own_way() -> None:
    net = Frames(VisualSpec(frames=2, size=16, channels=3))
    clip = torch.randint(0, 255, (1, 2, 16, 16, 3), dtype=torch.uint8).expand(4, -1, -1, -1, -1)
    net.eval()
    plain = net(clip)
    assert torch.equal(plain, net(clip)) and plain.shape == (4, 2, 3, 16, 16)
    net.train()
    augmented = net(clip)
    assert augmented.shape == plain.shape
    assert not torch.equal(augmented[0], augmented[1])


def test_augmentation_depends_on_its_seed_and_leaves_the_global_generator_alone() -> None:
    specs = {"visual": VisualSpec(frames=1, size=16, channels=3)}
    transform = BatchTransform(specs).train()
    from curate.train.data.samples import Batch

    batch = Batch(
        np.array(["a", "b"]),
        {"visual": torch.randint(0, 255, (2, 1, 16, 16, 3), dtype=torch.uint8)},
        torch.tensor([0, 1]),
    )
    state = torch.get_rng_state()
    first, again, other = (transform(batch, seed).inputs["visual"] for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.fixture
def data(toy, tmp_path) -> RunData:
    dataset = toy(None, toy.Options())
    cache = prepare(dataset, tmp_path)
    ids = np.array(sorted(s.sample_id for s in dataset.samples if s.split == "train"))
    labels = np.array([int(i.split("-")[1]) % 3 for i in ids])
    samples = Samples(cache, ids, labels, np.linspace(0, 1, 50)[:, None])
    return RunData(samples, samples, dataset.specs, 16, 7, seed=3)


def test_an_epoch_has_every_sample_once_and_depends_on_seed_and_epoch(data: RunData) -> None:
    orders = [np.concatenate([b.sample_ids for b in data.training_batches(e)]) for e in (0, 0, 1)]
    assert sorted(orders[0]) == data.fit.sample_ids.tolist()
    assert (orders[0] == orders[1]).all() and not (orders[0] == orders[2]).all()
    sizes = [len(b.sample_ids) for b in data.training_batches(0)]
    assert sizes == [16, 16, 16, 2], "the last, partial batch is used"


def test_labels_and_posteriors_stay_with_their_sample(data: RunData) -> None:
    weight = dict(zip(data.fit.sample_ids, data.fit.p_balanced[:, 0], strict=True))
    for batch in data.training_batches(4):
        assert batch.labels.tolist() == [int(i.split("-")[1]) % 3 for i in batch.sample_ids]
        np.testing.assert_allclose(batch.p_balanced[:, 0], [weight[i] for i in batch.sample_ids], rtol=1e-6)
        rows = data.fit.cache.rows(batch.sample_ids)
        assert torch.equal(batch.inputs["visual"], torch.from_numpy(np.array(data.fit.cache.arrays["visual"][rows])))


def test_subset_keeps_order_and_weights(data: RunData) -> None:
    keep = np.arange(50) % 5 == 0
    part = data.fit.subset(keep)
    assert part.sample_ids.tolist() == data.fit.sample_ids[keep].tolist()
    assert (part.p_balanced == data.fit.p_balanced[keep]).all()


@pytest.mark.slow
def test_worker_processes_change_nothing(data: RunData) -> None:
    from dataclasses import replace

    here, there = (list(d.training_batches(0)) for d in (data, replace(data, workers=1)))
    for a, b in zip(here, there, strict=True):
        assert (a.sample_ids == b.sample_ids).all() and torch.equal(a.inputs["audio"], b.inputs["audio"])


def test_seeds_of_different_places_differ() -> None:
    seeds = {mix_seed(s, e, k) for s in range(5) for e in range(5) for k in range(5)}
    assert len(seeds) == 125 and all(0 <= s < 2**63 for s in seeds)


@pytest.mark.parametrize(
    ("spec", "kind", "shape"),
    [
        (AudioSpec(), ResNet18, (2, 1, 257, 188)),
        (VisualSpec(frames=2), ResNet18, (2, 2, 3, 224, 224)),
        (VisualSpec(frames=1, size=32, channels=1), SmallCNN, (2, 1, 1, 32, 32)),
    ],
)
def test_auto_encoder_fits_its_input(spec, kind, shape) -> None:
    encoder = make_encoder("auto", spec)
    assert isinstance(encoder, kind)
    with torch.no_grad():
        assert encoder.eval()(torch.randn(shape)).shape == (2, encoder.dim)


def test_frames_are_pooled_over_time_by_their_mean() -> None:
    encoder = SmallCNN(3).eval()
    clips = torch.randn(2, 3, 3, 16, 16)
    with torch.no_grad():
        each = torch.stack([encoder(clips[:, f]) for f in range(3)]).mean(0)
        torch.testing.assert_close(over_frames(encoder.net, clips), each, atol=1e-6, rtol=1e-5)


def test_a_view_shows_each_sample_once_and_draws_no_global_random_number(small_data) -> None:
    view = DataView(small_data, torch.device("cpu"))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    orders = [[i for b in view.shuffled(*key) for i in b.sample_ids] for key in ((0, 1), (0, 1), (0, 2))]
    ordered = {split: [i for b in view.ordered(split) for i in b.sample_ids] for split in ("fit", "val")}
    list(small_data.training_batches(0))
    assert torch.equal(torch.get_rng_state(), before)
    assert ordered == {"fit": small_data.fit.sample_ids.tolist(), "val": small_data.val.sample_ids.tolist()}
    assert orders[0] == orders[1] != orders[2]
    assert all(sorted(o) == ordered["fit"] for o in orders)
    assert view.steps == len(list(view.shuffled(0)))
