"""`demo`: handwritten digits and the telephone tone of the same key; nothing to download."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from curate.media import fit_waveform
from curate.specs import AudioSpec, VisualSpec
from curate.types import Sample

from .base import Dataset
from .degrade import (
    Floats,
    add_grain,
    add_noise,
    coloured_noise,
    destroy_picture,
    digit_scans,
    enlarge,
    generator,
    plant,
    split_scans,
    to_uint8,
)

ROWS = (697, 770, 852, 941)  # Hz, the DTMF frequencies of ITU-T Q.23
COLUMNS = (1209, 1336, 1477)  # Hz
KEYS = "123456789*0#"  # row by row

VAL_SHARE, TEST_SHARE = 0.1, 0.18
# 1 + 6000 // 192 = 32 columns of a centred STFT
AUDIO = AudioSpec(rate=8000, seconds=0.75, n_fft=512, hop=192, n_mels=32, fill="pad", standardize=True)
VISUAL = VisualSpec(frames=1, size=32, channels=1, augment="none")

# Base noise, tuned for a small network to be good but not perfect after a few epochs, better on tones than on scans.
TONE_SNR = (-16.0, -1.0)  # dB
GRAIN = 0.75  # standard deviation, of the picture's range
DESTROYED_SNR = (-50.0, -40.0)  # dB; a pure tone is audible far below its noise


class Demo(Dataset):
    """A scan of scikit-learn's digits (real) paired with the two-tone signal of its telephone key (synthetic).

    Each scan is one sample, so no scan is in two splits. Base noise is added to everything; in addition a known share
    of tones and scans is destroyed, independently, in every split: `Sample.planted`.
    """

    name = "demo"
    summary = "handwritten digits with telephone tones, some of them damaged on purpose; built in"
    defaults: ClassVar[Mapping[str, Any]] = {
        "optim.lr": 0.01,
        "score.epochs": 12,
        "score.folds": 0,  # a demo is short
        "train.epochs": 8,
    }

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(Dataset.Options):
        """Settings of `demo`.

        Attributes:
            seed: redraws splits, noise and damage.
            degraded_visual: share of scans destroyed, in [0, 1].
            degraded_audio: share of tones destroyed, in [0, 1].
        """

        seed: int = 0
        degraded_visual: float = 0.2
        degraded_audio: float = 0.05

    options: Options

    def __init__(self, root: Path | None, options: Options) -> None:
        super().__init__(root, options)
        self.modalities = ("audio", "visual")
        self.classes = tuple("0123456789")
        self.specs = {"audio": AUDIO, "visual": VISUAL}
        self.samples = tuple(self._samples())

    def _samples(self) -> list[Sample]:
        digits = digit_scans()[1]
        shares = {"audio": self.options.degraded_audio, "visual": self.options.degraded_visual}
        samples = []
        for split, scans in split_scans(VAL_SHARE, TEST_SHARE, self.options.seed).items():
            damage = plant(len(scans), shares, self.options.seed, split)
            for scan, planted in zip(scans, damage, strict=True):
                label = str(digits[scan])
                inputs = {"audio": f"key/{label}", "visual": f"scan/{scan}"}
                sample_id = f"{split}-{scan:04d}"
                samples.append(Sample(sample_id=sample_id, label=label, split=split, inputs=inputs, planted=planted))
        return samples

    def load(self, sample: Sample, modality: str) -> np.ndarray:
        """One tone or scan, a pure function of the seed and the sample."""
        rng = generator(self.options.seed, sample.sample_id, modality)
        damaged = modality in (sample.planted or "").split("+")
        source = sample.inputs[modality].rpartition("/")[2]
        return _tone(source, damaged, rng) if modality == "audio" else _scan(int(source), damaged, rng)


def _tone(key: str, damaged: bool, rng: np.random.Generator) -> np.ndarray:
    """The two tones of a key for 0.15 to 0.5 s, at a random time in the clip, with white or pink noise."""
    (length,) = AUDIO.shape
    row, column = divmod(KEYS.index(key), len(COLUMNS))
    duration = round(AUDIO.rate * rng.uniform(0.15, 0.5))
    onset = int(rng.integers(length - duration + 1))
    wave = np.zeros(length)
    for frequency in (ROWS[row], COLUMNS[column]):
        wave[onset : onset + duration] += rng.uniform(0.3, 1) * _sine(frequency, duration, rng)
    sounding = float(np.mean(wave[onset : onset + duration] ** 2))
    noise = coloured_noise(str(rng.choice(["white", "pink"])), length, rng)
    return fit_waveform(add_noise(wave, noise, rng.uniform(*(DESTROYED_SNR if damaged else TONE_SNR)), sounding), AUDIO)


def _sine(frequency: float, samples: int, rng: np.random.Generator) -> Floats:
    """A sine of random phase, at most 1.5 % off pitch, the tolerance of real dialling."""
    pitch = frequency * rng.uniform(0.985, 1.015)
    return np.sin(2 * np.pi * (pitch * np.arange(samples) / AUDIO.rate + rng.uniform()))


def _scan(index: int, damaged: bool, rng: np.random.Generator) -> np.ndarray:
    """A scan, enlarged, with Gaussian noise."""
    picture = enlarge(digit_scans()[0][index], VISUAL.size)
    if damaged:
        picture = destroy_picture(picture, rng)
    return to_uint8(add_grain(picture, GRAIN, rng))
