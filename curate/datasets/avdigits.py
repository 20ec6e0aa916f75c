"""`avdigits`: spoken digits (Free Spoken Digit Dataset) with handwritten ones, clean or with known damage."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError, MediaError
from curate.media import fit_waveform, read_audio, stamp
from curate.types import AudioSpec, Sample, VisualSpec

from .base import SPLITS, Dataset
from .degrade import (
    AUDIO_NOISES,
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

RECORDING = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<take>\d+)\.wav")
LAYOUT = "recordings/{digit}_{speaker}_{take}.wav of the Free Spoken Digit Dataset"

VAL_SHARE, TEST_SHARE = 0.1, 0.3  # of the scans
TEST_DRAWS = 3  # recordings paired with each test scan, to have less sampling noise in a test accuracy
BANK_SIZE = 24  # train recordings that babble is made of

# 1 s at 8 kHz: 1 + 8000 // 256 = 32 columns of a centred STFT
AUDIO = AudioSpec(rate=8000, seconds=1.0, n_fft=512, hop=256, n_mels=32, fill="pad", standardize=True)
VISUAL = VisualSpec(frames=1, size=32, channels=1, augment="none")

BASE_SNR = (3.0, 18.0)  # dB
DESTROYED_SNR = (-20.0, -8.0)  # dB
GRAIN = 0.35  # standard deviation, of the picture's range

ByClass = dict[str, list[Path]]


class AvDigits(Dataset):
    """Recordings of spoken digits paired by class with scikit-learn's handwritten digits.

    Recordings and scans are both disjoint between splits: takes 0-4 are test (the recordings' own convention), 5-9
    val, the others train; scans are split 60 / 10 / 30, stratified. Train and val hold each recording once, test each
    scan with 3 recordings; all 3000 recordings give 2400 / 300 / 1617 samples. A partial copy gives fewer.

    By that convention every speaker is in every split, so `Sample.group` stays None: this data set does not measure
    how well a model does on new speakers.

    With `degrade`, base noise is on everything (sound: white, pink or babble at 3 to 18 dB; scan: Gaussian, 0.35 of
    the range), and a known share is destroyed on purpose, independently, in every split: see `Sample.planted`.
    """

    name = "avdigits"
    summary = "spoken digits (FSDD) with handwritten ones, clean or with known damage"
    layout = LAYOUT
    independent = False  # its noise is made of other recordings
    defaults: ClassVar[Mapping[str, Any]] = {"score.epochs": 20, "train.epochs": 20}

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(Dataset.Options):
        """Settings of `avdigits`.

        Attributes:
            seed: redraws the split of scans, pairing, noise and damage.
            degrade: add base noise and destroy a share; False leaves recordings and scans as they are.
            degraded_audio: share of recordings destroyed when `degrade`, in [0, 1].
            degraded_visual: share of scans destroyed when `degrade`, in [0, 1].
        """

        seed: int = 0
        degrade: bool = False
        degraded_audio: float = 0.12
        degraded_visual: float = 0.35

    options: Options

    def __init__(self, root: Path | None, options: Options) -> None:
        super().__init__(root, options)
        assert root is not None  # the base class has refused it
        self.root: Path = root
        self.modalities = ("audio", "visual")
        self.classes = tuple("0123456789")
        self.specs = {"audio": AUDIO, "visual": VISUAL}
        recordings = find_recordings(root)
        scans = split_scans(VAL_SHARE, TEST_SHARE, options.seed)
        self.samples = tuple(s for split in SPLITS for s in self._split(split, recordings[split], scans[split]))
        self._bank = self._choose_bank(recordings["train"])

    def _split(self, split: str, recordings: ByClass, scans: NDArray[np.int64]) -> list[Sample]:
        """The samples of one split: pairs, and which of them are damaged."""
        pairs = list(self._pairs(split, recordings, scans))
        shares = {"audio": self.options.degraded_audio, "visual": self.options.degraded_visual}
        damage = plant(len(pairs), shares if self.options.degrade else {}, self.options.seed, split)
        samples = []
        for (label, path, scan), planted in zip(pairs, damage, strict=True):
            inputs = {"audio": path.relative_to(self.root).as_posix(), "visual": f"scan/{scan}"}
            sample_id = f"test-{scan:05d}-{path.stem}" if split == "test" else f"{split}-{path.stem}"
            samples.append(Sample(sample_id=sample_id, label=label, split=split, inputs=inputs, planted=planted))
        return samples

    def _pairs(self, split: str, recordings: ByClass, scans: NDArray[np.int64]) -> Iterator[tuple[str, Path, int]]:
        """(label, recording, scan) of one split, paired at random within each class."""
        digits = digit_scans()[1]
        for label in sorted(recordings):
            rng = generator(self.options.seed, "pairs", split, label)
            paths, own = recordings[label], rng.permutation(scans[digits[scans] == int(label)])
            if split == "test":
                draws = min(TEST_DRAWS, len(paths))
                yield from ((label, paths[i], scan) for scan in own for i in rng.permutation(len(paths))[:draws])
            else:
                # In turn, so that every scan is seen before one is seen twice.
                yield from ((label, path, own[i % len(own)]) for i, path in enumerate(paths))

    def _choose_bank(self, recordings: ByClass) -> tuple[Path, ...]:
        """The train recordings babble is made of, in every split."""
        paths = sorted(path for found in recordings.values() for path in found)
        chosen = generator(self.options.seed, "bank").permutation(len(paths))[:BANK_SIZE]
        return tuple(paths[i] for i in chosen)

    def content(self, sample: Sample) -> Any:
        """The sources, and size and time of the recording."""
        return [dict(sample.inputs), stamp(self.root / sample.inputs["audio"])]

    def load(self, sample: Sample, modality: str) -> np.ndarray:
        """One recording or scan, a pure function of the seed, the sample and the recordings."""
        rng = generator(self.options.seed, sample.sample_id, modality)
        damaged = modality in (sample.planted or "").split("+")
        if modality == "audio":
            return self._recording(self.root / sample.inputs["audio"], damaged, rng)
        scan = digit_scans()[0][int(sample.inputs["visual"].rpartition("/")[2])]
        if damaged:
            scan = destroy_picture(scan, rng)
        if self.options.degrade:
            # At the scan's own 8x8 resolution: noise of the 32x32 picture would average out in enlarging.
            scan = add_grain(scan, GRAIN, rng)
        return to_uint8(enlarge(scan, VISUAL.size))

    def _recording(self, path: Path, damaged: bool, rng: np.random.Generator) -> np.ndarray:
        """A recording, followed by zeros; noise covers the zeros too, or the length would tell it apart."""
        wave = read_audio(path, AUDIO.rate, AUDIO.seconds).astype(np.float64)
        if not self.options.degrade:
            return fit_waveform(wave, AUDIO)
        (length,) = AUDIO.shape
        others = [clip for name, clip in babble_bank(self._bank) if name != path]
        kinds = AUDIO_NOISES if others else AUDIO_NOISES[:2]
        noise = coloured_noise(kinds[int(rng.integers(len(kinds)))], length, rng, others)
        snr = rng.uniform(*(DESTROYED_SNR if damaged else BASE_SNR))
        padded = np.pad(wave, (0, length - len(wave)))
        return fit_waveform(add_noise(padded, noise, snr, power=float(np.mean(wave**2))), AUDIO)


def find_recordings(root: Path) -> dict[str, ByClass]:
    """{split: {digit: recordings, sorted}} under a folder or its `recordings` folder.

    Raises:
        CurateError: a split has no recording.
    """
    folder = root / "recordings" if (root / "recordings").is_dir() else root
    found: dict[str, ByClass] = {split: defaultdict(list) for split in SPLITS}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if match := RECORDING.fullmatch(path.name):
            take = int(match["take"])
            found["test" if take < 5 else "val" if take < 10 else "train"][match["digit"]].append(path)
    missing = [split for split in SPLITS if not found[split]]
    if missing:
        message = f"avdigits: {folder} has no recordings for {', '.join(missing)}"
        raise CurateError(message, f"expected {LAYOUT}; takes 0-4 are test, 5-9 val, 10 and more train")
    return found


@lru_cache(maxsize=1)
def babble_bank(paths: tuple[Path, ...]) -> tuple[tuple[Path, Floats], ...]:
    """(path, waveform) of the readable ones among some recordings; read once in a process."""
    bank = []
    for path in paths:
        try:
            bank.append((path, read_audio(path, AUDIO.rate, AUDIO.seconds).astype(np.float64)))
        except MediaError:
            continue  # it has its own row and status
    return tuple(bank)
