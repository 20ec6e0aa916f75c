from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from curate.datasets import degrade
from curate.datasets.demo import AUDIO, COLUMNS, KEYS, ROWS, Demo
from curate.errors import CurateError


@pytest.fixture(scope="module")
def demo() -> Demo:
    return Demo(None, Demo.Options())


def by_split(data):
    return {split: [s for s in data.samples if s.split == split] for split in ("train", "val", "test")}


def test_splits_are_disjoint_complete_and_stratified(demo):
    splits = by_split(demo)
    scans = {split: {s.inputs["visual"] for s in samples} for split, samples in splits.items()}
    assert sum(map(len, scans.values())) == len(set().union(*scans.values())) == 1797
    assert {split: len(found) for split, found in splits.items()} == {"train": 1294, "val": 180, "test": 323}
    for samples in splits.values():
        counts = Counter(s.label for s in samples)
        assert set(counts) == set(demo.classes)
        assert max(counts.values()) - min(counts.values()) <= 0.1 * len(samples) / 10 + 2
    assert len({s.sample_id for s in demo.samples}) == 1797


def test_labels_are_the_digits_of_the_scans(demo):
    digits = degrade.digit_scans()[1]
    assert all(s.label == str(digits[int(s.inputs["visual"].split("/")[1])]) for s in demo.samples)


def test_the_asked_shares_are_planted_in_every_split(demo):
    for samples in by_split(demo).values():
        planted = [set(s.planted.split("+")) for s in samples]
        assert sum("visual" in p for p in planted) == round(0.2 * len(samples))
        assert sum("audio" in p for p in planted) == round(0.05 * len(samples))
        assert {s.planted for s in samples} <= {"", "audio", "visual", "audio+visual"}


def test_loading_is_a_pure_function_of_seed_and_sample(demo):
    again, other = Demo(None, Demo.Options()), Demo(None, Demo.Options(seed=1))
    assert again.samples == demo.samples and again.data_id() == demo.data_id() != other.data_id()
    assert other.samples != demo.samples
    sample = demo.samples[5]
    for modality, spec in demo.specs.items():
        values = demo.load(sample, modality)
        assert values.shape == spec.shape and values.dtype == spec.dtype
        again.load(again.samples[9], modality)
        assert (again.load(again.samples[5], modality) == values).all()
        assert (other.load(sample, modality) != values).any()


def key_heard(wave: np.ndarray) -> str:
    """The strongest row and column frequency, searched within the 1.5 % that dialling may be off pitch."""
    power = np.abs(np.fft.rfft(wave, 4 * len(wave))) ** 2
    at = np.fft.rfftfreq(4 * len(wave), 1 / AUDIO.rate)
    strength = [power[np.abs(at / f - 1) < 0.02].max() for f in (*ROWS, *COLUMNS)]
    return KEYS[int(np.argmax(strength[:4])) * 3 + int(np.argmax(strength[4:]))]


def test_healthy_tones_are_the_key_and_destroyed_ones_are_not(demo):
    healthy = [s for s in demo.samples if "audio" not in s.planted][:150]
    damaged = [s for s in demo.samples if "audio" in s.planted]
    right = {len(g): np.mean([key_heard(demo.load(s, "audio")) == s.label for s in g]) for g in (healthy, damaged)}
    assert right[len(healthy)] > 0.8
    assert right[len(damaged)] < 0.3


def test_damage_hides_the_scan(demo):
    scans, _ = degrade.digit_scans()

    def likeness(sample):
        clean = degrade.enlarge(scans[int(sample.inputs["visual"].split("/")[1])], 32)
        return np.corrcoef(clean.ravel(), demo.load(sample, "visual").ravel())[0, 1]

    damaged = [s for s in demo.samples if "visual" in s.planted]
    undamaged = [dataclasses.replace(s, planted="") for s in damaged]
    assert np.mean([likeness(s) for s in damaged]) < 0.5 * np.mean([likeness(s) for s in undamaged])


def test_a_share_outside_zero_and_one_is_refused():
    with pytest.raises(CurateError, match="visual"):
        Demo(None, Demo.Options(degraded_visual=1.5))


def test_noise_has_the_ratio_asked_for():
    rng = degrade.generator(0)
    wave = np.sin(np.arange(8000) / 5)
    for kind in degrade.AUDIO_NOISES:
        noise = degrade.coloured_noise(kind, 8000, rng, [rng.standard_normal(500), np.cos(np.arange(9000))])
        assert np.mean(noise**2) == pytest.approx(1)
        mixed = degrade.add_noise(wave, noise, snr=-6.0)
        gain = 0.9 / np.abs(wave + noise * np.sqrt(np.mean(wave**2) * 10**0.6)).max()
        rest = mixed / gain - wave
        assert 10 * np.log10(np.mean(wave**2) / np.mean(rest**2)) == pytest.approx(-6)
        assert np.abs(mixed).max() == pytest.approx(0.9)
    with pytest.raises(ValueError, match="brown"):
        degrade.coloured_noise("brown", 10, rng)


def test_pink_noise_falls_by_three_decibels_an_octave():
    noise = degrade.coloured_noise("pink", 2**16, degrade.generator(1))
    power = np.abs(np.fft.rfft(noise)) ** 2
    low, high = power[1000:2000].mean(), power[8000:16000].mean()
    assert 10 * np.log10(low / high) == pytest.approx(9, abs=1)  # three octaves


def test_pictures_are_enlarged_hidden_and_blurred_as_said():
    ramp = np.tile(np.arange(8) / 7, (8, 1))
    large = degrade.enlarge(ramp, 32)
    assert large.shape == (32, 32) and np.allclose(large[:, ::-1], 1 - large)
    assert np.allclose(degrade.enlarge(ramp, 8), ramp)
    hidden = degrade.occlude(large, 0.75, degrade.generator(2))
    assert np.sum(hidden == large) <= 32 * 32 - 24 * 24 + 24
    flat = np.full((32, 32), 0.3)
    assert np.allclose(degrade.blur(flat, 5), flat)
    chequered = degrade.enlarge(np.indices((8, 8)).sum(axis=0) % 2, 32)
    assert degrade.blur(chequered, 7)[8:24, 8:24].std() < 0.02 * chequered.std()
    assert degrade.to_uint8(np.array([[-1.0, 0.5], [1.0, 2.0]])).ravel().tolist() == [0, 128, 255, 255]


def test_plants_are_exact_and_independent_of_each_other():
    planted = degrade.plant(10000, {"audio": 0.12, "visual": 0.35}, 0)
    counts = Counter(planted)
    assert counts["audio"] + counts["audio+visual"] == 1200
    assert counts["visual"] + counts["audio+visual"] == 3500
    assert counts["audio+visual"] == pytest.approx(420, abs=60)
    assert set(degrade.plant(5, {}, 0)) == {""}
