"""The presets of the literature against the libraries that the literature used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal
from torchaudio.compliance import kaldi

from curate.datasets.presets import AUDIO
from curate.specs import AudioSpec
from curate.train.data.samples import BatchTransform, FilterBank, Spectrogram, trailing_zeros_from


def noise(seed: int, length: int, peak: float = 0.3) -> torch.Tensor:
    """(1, length) int16."""
    values = np.random.default_rng(seed).standard_normal(length) * peak / 4
    return torch.from_numpy(np.round(np.clip(values, -1, 1) * 32767).astype(np.int16))[None]


@pytest.mark.parametrize("name", sorted(AUDIO))
def test_a_preset_has_the_shape_in_its_name(name):
    spec = AUDIO[name]
    expected = {int(n) for n in name.lstrip("abcdefghijklmnopqrstuvwxyz").split("x")}
    assert set(spec.picture) == expected
    net = BatchTransform({"audio": spec}).nets["audio"]
    assert net(noise(0, *spec.shape)).shape == (1, 1, *spec.picture)


@pytest.mark.parametrize("name", ["spec257x299", "spec257x1004"])
def test_spectrogram_is_that_of_scipy_and_its_z_score(name):
    spec = AUDIO[name]
    wave = noise(1, *spec.shape)
    _, _, density = signal.spectrogram(wave[0].numpy() / 32767, spec.rate, nperseg=512, noverlap=353)
    log = np.log(density + 1e-7)
    expected = (log - log.mean()) / (log.std() + 1e-9)
    assert Spectrogram(spec)(wave)[0, 0].numpy() == pytest.approx(expected, abs=2e-3)


def kaldi_fbank(wave: torch.Tensor, spec: AudioSpec) -> torch.Tensor:
    """(bands, frames) of one waveform by torchaudio, normalised as public loaders do."""
    x = wave.float() / 32767
    energies = kaldi.fbank(
        x - x.mean(),
        htk_compat=True,
        sample_frequency=spec.rate,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=128,
        dither=0.0,
        frame_shift=10,
    )
    return ((energies + 4.503877) / (2 * 5.141276)).T


def test_the_filter_bank_of_a_batch_is_that_of_kaldi_one_by_one():
    spec = AUDIO["fbank1024x128"]
    waves = torch.cat([noise(seed, 160000, peak) for seed, peak in ((2, 0.3), (3, 0.001))])
    padded = torch.nn.functional.pad(waves, (0, spec.shape[0] - 160000))
    found = FilterBank(spec)(padded)
    for wave, own in zip(waves, found[:, 0], strict=True):
        assert own[:, :998].numpy() == pytest.approx(kaldi_fbank(wave[None], spec).numpy(), abs=2e-3)


def test_what_a_clip_does_not_hold_is_zero_after_normalisation():
    spec = AUDIO["fbank1024x128"]
    short = torch.nn.functional.pad(noise(4, 16000), (0, spec.shape[0] - 16000))
    found = FilterBank(spec)(short)[0, 0]
    assert (found[:, 100:] == 0).all() and (found[:, :98] != 0).any(0).all()
    tail = FilterBank(spec)(noise(5, spec.shape[0]))[0, 0]
    assert (tail[:, 1022:] == 0).all() and (tail[:, 1021] != 0).any()  # 1 + (163840 - 400) // 160 columns


def test_silence_at_the_end_is_where_it_begins():
    rows = torch.tensor([[1, 0, 2, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 3]], dtype=torch.int16)
    assert trailing_zeros_from(rows).tolist() == [3, 0, 5]


def test_a_filter_bank_without_bands_is_a_mistake():
    with pytest.raises(ValueError, match="n_mels"):
        FilterBank(AudioSpec(features="fbank"))


def test_a_column_of_the_spectrogram_is_of_the_second_it_stands_for():
    spec = AudioSpec(rate=8000, seconds=6.0, n_fft=512, hop=125)
    second = np.arange(8000 * 6) // 8000
    wave = 16000 * np.sin(2 * np.pi * (400 + 100 * second) * np.arange(8000 * 6) / 8000)
    net = BatchTransform({"audio": spec}).nets["audio"]
    picture = net(torch.from_numpy(wave.astype(np.int16))[None])[0, 0]
    assert picture.shape == spec.picture
    for moment in (0.5, 2.2, 3.75, 5.5):
        column = picture[:, round(moment * spec.rate / spec.hop)]
        assert float(column.argmax()) * spec.rate / spec.n_fft == pytest.approx(400 + 100 * int(moment), abs=16)
