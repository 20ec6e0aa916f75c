"""Plain augmentation: rolls and masks sample by sample, only where asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.specs import AudioSpec, FeatureSpec, FlowSpec, TextSpec, VisualSpec
from curate.train.data import augment
from curate.train.data.augment import draw_bands, draw_rolls, masked, rolled, shifted, widest
from curate.train.data.samples import Batch, BatchTransform, DataView

AUDIO = AudioSpec(rate=1000, seconds=0.512, n_fft=64, hop=32, n_mels=16, fill="pad", standardize=True)
PICTURE = VisualSpec(frames=2, size=16, channels=3, augment="crop_flip")


@given(st.integers(0, 2**20), st.sampled_from([(1, 5, 7), (3, 4, 6), (2, 3, 4, 5)]))
def test_rolling_a_batch_is_rolling_each_sample(seed, shape) -> None:
    g = torch.Generator().manual_seed(seed)
    x, by = torch.randn(4, *shape, generator=g), torch.randint(-9, 9, (4, 2), generator=g)
    expected = [torch.roll(one, tuple(steps), (-2, -1)) for one, steps in zip(x, by.tolist(), strict=True)]
    assert torch.equal(rolled(x, by), torch.stack(expected))


def test_masked_places_take_the_mean_of_their_sample_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]], [[[0.0, 0.0], [0.0, 4.0]]]])
    bins, columns = torch.tensor([[True, False], [False, False]]), torch.tensor([[False, False], [True, False]])
    expected = torch.tensor([[[[3.0, 3.0], [3.0, 6.0]]], [[[1.0, 0.0], [1.0, 4.0]]]])
    assert torch.equal(masked(x, bins, columns), expected)


@pytest.mark.parametrize(("extent", "share", "most"), [(32, augment.BINS, 5), (64, augment.COLUMNS, 12), (3, 0.1, 1)])
def test_a_band_is_whole_fits_and_has_every_width_and_place(extent, share, most) -> None:
    torch.manual_seed(0)
    bands = draw_bands(3000, extent, share)
    widths = bands.sum(dim=1)
    assert set(widths.tolist()) == set(range(1, most + 1)) and widest(extent, share) == most
    edges = bands.int().diff(dim=1, prepend=torch.zeros(3000, 1, dtype=torch.int)).eq(1).sum(dim=1)
    assert (edges == 1).all()
    assert bands.any(dim=0).all()


def test_rolls_go_as_far_either_way_as_the_extent_says() -> None:
    torch.manual_seed(0)
    assert set(draw_rolls(500, 32).tolist()) == set(range(-3, 4))
    assert set(draw_rolls(500, 4).tolist()) == {-1, 0, 1}


def test_frames_of_a_sample_move_together_and_samples_apart() -> None:
    torch.manual_seed(0)
    picture = torch.randn(1, 1, 3, 16, 16).expand(8, 4, -1, -1, -1)
    moved = shifted(picture, PICTURE)
    assert all(torch.equal(moved[:, 0], moved[:, f]) for f in range(4))
    assert any(not torch.equal(moved[0], moved[i]) for i in range(1, 8))
    for one in moved:  # nothing is lost
        assert torch.equal(one.flatten().sort().values, picture[0].flatten().sort().values)


def test_spectrograms_are_rolled_in_time_only() -> None:
    """A picture that is constant in time and masked nowhere stays as it is."""
    torch.manual_seed(0)
    levels = torch.arange(16.0)[:, None].expand(4, 1, 16, 17)
    moved = shifted(levels, AUDIO)
    kept = moved == levels
    assert kept.any(dim=(1, 2, 3)).all() and not kept.all()
    assert torch.equal(moved[~kept], torch.full_like(moved[~kept], 7.5))


@pytest.mark.parametrize("spec", [TextSpec(vocabulary=9), FeatureSpec(dim=5)])
def test_texts_and_features_are_left_alone(spec) -> None:
    x = torch.randn(4, 5)
    assert shifted(x, spec) is x


def test_optical_flow_is_rolled_and_keeps_its_values() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 5, 2, 16, 16)
    moved = shifted(x, FlowSpec())
    assert not torch.equal(moved, x)
    assert torch.equal(moved.flatten(1).sort().values, x.flatten(1).sort().values)


@pytest.fixture
def batch() -> Batch:
    rng = np.random.default_rng(0)
    inputs = {
        "audio": torch.from_numpy(rng.integers(-20000, 20000, (6, *AUDIO.shape)).astype(np.int16)),
        "visual": torch.from_numpy(rng.integers(0, 255, (6, *PICTURE.shape)).astype(np.uint8)),
    }
    return Batch(np.array([f"s{i}" for i in range(6)]), inputs, torch.zeros(6, dtype=torch.long))


SPECS = {"audio": AUDIO, "visual": PICTURE}


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(a.inputs[m], b.inputs[m]) for m in a.inputs)


def test_it_is_off_by_default_and_in_evaluation_and_on_top_of_the_data_set_s_own(batch, monkeypatch) -> None:
    plain, shift = BatchTransform(SPECS), BatchTransform(SPECS, "shift")
    assert same(plain.eval()(batch), shift.eval()(batch))
    own, both = plain.train()(batch, 3), shift.train()(batch, 3)
    assert not any(torch.equal(own.inputs[m], both.inputs[m]) for m in SPECS)
    monkeypatch.setattr("curate.train.data.samples.shifted", lambda x, spec: x)
    assert same(shift(batch, 3), own)


def test_the_seed_alone_decides(batch) -> None:
    net = BatchTransform(SPECS, "shift").train()
    torch.manual_seed(1)
    first, drawn = net(batch, 3), torch.rand(2)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(2), drawn)
    assert same(net(batch, 3), first) and not same(net(batch, 4), first)


def test_copies_that_a_method_trains_see_it_too(small_data) -> None:
    looks = [DataView(replace(small_data, augment=a), torch.device("cpu")) for a in ("dataset", "shift")]
    one, other = ([b.inputs["visual"] for b in look.shuffled(0)] for look in looks)
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    one, other = ([b.inputs["visual"] for b in look.ordered()] for look in looks)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
