"""`avdigits`: spoken digits (Free Spoken Digit Dataset) with handwritten ones, clean or with known damage."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError, MediaError
from curate.media import fit_waveform, read_audio, stamp
from curate.specs import AudioSpec, VisualSpec
from curate.types import Sample

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
    high_pass,
    plant,
    relight,
    split_scans,
    to_uint8,
)

RECORDING = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<take>\d+)\.wav")
LAYOUT = "recordings/{digit}_{speaker}_{take}.wav of the Free Spoken Digit Dataset"

VAL_SHARE, TEST_SHARE = 0.1, 0.3  # of the scans
TEST_DRAWS = 3  # recordings paired with each test scan: less sampling noise in a test accuracy
BANK_SIZE = 24  # train recordings that babble is made of

# 1 s at 8 kHz: 1 + 8000 // 256 = 32 columns of a centred STFT
AUDIO = AudioSpec(rate=8000, seconds=1.0, n_fft=512, hop=256, n_mels=32, fill="pad", standardize=True)
VISUAL = VisualSpec(frames=1, size=32, channels=1, augment="none")

BASE_SNR = {"hard": (3.0, 18.0), "clean": (12.0, 25.0)}  # dB
DESTROYED_SNR = (-20.0, -8.0)  # dB
GRAIN = {"hard": 0.35, "clean": 0.1}  # standard deviation, of the picture's range

ByClass = dict[str, list[Path]]
Pair = tuple[str, Path, int]  # label, recording, scan
T = TypeVar("T")


class AvDigits(Dataset):
    """Recordings of spoken digits paired by class with scikit-learn's handwritten digits.

    Recordings and scans are both disjoint between splits: takes 0-4 are test (the recordings' own convention), 5-9
    val, the others train; scans are split 60 / 10 / 30, stratified. In train and val each recording occurs once; in
    test each scan is paired with 3 recordings. All 3000 recordings give 2400 / 300 / 1617 samples. A partial copy gives
    fewer.

    By that convention every speaker is in every split, so `Sample.group` stays None: this data set does not measure
    how well a model does on new speakers.

    With `degrade`, base noise is added to everything (sound: white, pink or babble at 3 to 18 dB; scan: Gaussian, 0.35
    of the range), and a known share is destroyed on purpose, independently, in every split: see `Sample.planted`. A
    share can also be changed without harm (`harmless` in `Sample.extra`): a detector of damage should not report it. Or
    a share is replaced by the recording or scan of another class (`swapped` there), which such a detector may miss.
    With `second_voice` every pair is a triple.
    """

    name = "avdigits"
    summary = "spoken digits (FSDD) with handwritten ones, clean or with known damage"
    layout = LAYOUT
    defaults: ClassVar[Mapping[str, Any]] = {"score.epochs": 20, "train.epochs": 20}

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(Dataset.Options):
        """Settings of `avdigits`.

        Attributes:
            seed: redraws the split of scans, pairing, noise and damage.
            degrade: add base noise and destroy a share; False leaves recordings and scans unchanged.
            degraded_audio: share of recordings destroyed when `degrade`, in [0, 1].
            degraded_visual: share of scans destroyed when `degrade`, in [0, 1].
            degraded_class: destroy these shares of this class alone; '' is all classes.
            noise: the base noise when `degrade`; `clean` is weaker (12 to 25 dB; 0.1 of the range).
            harmless_audio: share of recordings coloured by a gentle high-pass, in [0, 1].
            harmless_visual: share of scans changed in contrast and brightness, in [0, 1].
            swapped_audio: share of recordings replaced by one of another class, in [0, 1].
            swapped_visual: share of scans replaced by one of another class, in [0, 1].
            second_voice: add a third modality, `voice`: another recording of the same digit.
            degraded_voice: share of the second recordings destroyed when `degrade`, in [0, 1].
            train_samples: keep so many training samples, drawn at random; 0 keeps all.
        """

        seed: int = 0
        degrade: bool = False
        degraded_audio: float = 0.12
        degraded_visual: float = 0.35
        degraded_class: str = ""
        noise: Literal["hard", "clean"] = "hard"
        harmless_audio: float = 0.0
        harmless_visual: float = 0.0
        swapped_audio: float = 0.0
        swapped_visual: float = 0.0
        second_voice: bool = False
        degraded_voice: float = 0.2
        train_samples: int = 0

    options: Options

    def __init__(self, root: Path | None, options: Options) -> None:
        super().__init__(root, options)
        assert root is not None  # the base class raises an error for None
        self.root: Path = root
        self.specs = {"audio": AUDIO, "visual": VISUAL, **({"voice": AUDIO} if options.second_voice else {})}
        self.modalities = tuple(self.specs)
        self.classes = tuple("0123456789")
        if options.degraded_class not in ("", *self.classes):
            raise CurateError(
                f"data.degraded_class is {options.degraded_class!r}",
                f"one of {', '.join(self.classes)}, or leave it out",
            )
        if options.train_samples < 0:
            raise CurateError(f"data.train_samples is {options.train_samples}", "how many to keep, or 0 for all")
        recordings = find_recordings(root)
        scans = split_scans(VAL_SHARE, TEST_SHARE, options.seed)
        self.samples = tuple(s for split in SPLITS for s in self._split(split, recordings[split], scans[split]))
        self._bank = self._choose_bank(recordings["train"])

    def _split(self, split: str, recordings: ByClass, scans: NDArray[np.int64]) -> list[Sample]:
        """The samples of one split: pairs, and which of them are damaged."""
        o, pairs = self.options, list(self._pairs(split, recordings, scans))
        if split == "train" and o.train_samples:
            kept = generator(o.seed, "train_samples").permutation(len(pairs))[: o.train_samples]
            pairs = [pairs[i] for i in sorted(kept)]
        shares = {"audio": o.degraded_audio, "visual": o.degraded_visual, "voice": o.degraded_voice}
        damage = self._draw(split, pairs, {m: shares[m] for m in self.modalities} if o.degrade else {})
        harmless = self._draw(split, pairs, {"audio": o.harmless_audio, "visual": o.harmless_visual}, "harmless")
        swapped = self._draw(split, pairs, {"audio": o.swapped_audio, "visual": o.swapped_visual}, "swapped")
        samples = []
        for i, (label, path, scan) in enumerate(pairs):
            sample_id = f"test-{scan:05d}-{path.stem}" if split == "test" else f"{split}-{path.stem}"
            others = [pair for pair in pairs if pair[0] != label] if swapped[i] else []
            _, other_path, other_scan = _one_of(others, self.options.seed, "other", sample_id) if others else pairs[i]
            inputs = {
                "audio": (other_path if "audio" in swapped[i] else path).relative_to(self.root).as_posix(),
                "visual": f"scan/{other_scan if 'visual' in swapped[i] else scan}",
            }
            if o.second_voice:
                rest = [r for r in recordings[label] if r != path] or recordings[label]
                second = _one_of(rest, o.seed, "second voice", sample_id)
                inputs["voice"] = second.relative_to(self.root).as_posix()
            extra = {k: v for k, v in (("harmless", harmless[i]), ("swapped", swapped[i])) if v}
            samples.append(
                Sample(sample_id=sample_id, label=label, split=split, inputs=inputs, planted=damage[i], extra=extra)
            )
        return samples

    def _draw(self, split: str, pairs: list[Pair], shares: Mapping[str, float], *kind: str) -> list[str]:
        """For each pair the modalities that are changed, see `plant`; damage may be limited to one class."""
        tied = self.options.degraded_class if not kind else ""
        among = [i for i, (label, _, _) in enumerate(pairs) if tied in ("", label)]
        drawn = dict(zip(among, plant(len(among), shares, self.options.seed, split, *kind), strict=True))
        return [drawn.get(i, "") for i in range(len(pairs))]

    def _pairs(self, split: str, recordings: ByClass, scans: NDArray[np.int64]) -> Iterator[Pair]:
        """(label, recording, scan) of one split, paired at random within each class."""
        digits = digit_scans()[1]
        for label in sorted(recordings):
            rng = generator(self.options.seed, "pairs", split, label)
            paths, own = recordings[label], rng.permutation(scans[digits[scans] == int(label)])
            if split == "test":
                draws = min(TEST_DRAWS, len(paths))
                yield from ((label, paths[i], scan) for scan in own for i in rng.permutation(len(paths))[:draws])
            else:
                # In turn: every scan is used once before any is used twice.
                yield from ((label, path, own[i % len(own)]) for i, path in enumerate(paths))

    def _choose_bank(self, recordings: ByClass) -> tuple[Path, ...]:
        """The train recordings that babble is made of, in every split."""
        paths = sorted(path for found in recordings.values() for path in found)
        chosen = generator(self.options.seed, "bank").permutation(len(paths))[:BANK_SIZE]
        return tuple(paths[i] for i in chosen)

    def content(self, sample: Sample) -> Any:
        """The sources, and size and time of the recordings."""
        return [dict(sample.inputs), *(stamp(self.root / sample.inputs[m]) for m in self.modalities if m != "visual")]

    def load(self, sample: Sample, modality: str) -> np.ndarray:
        """One recording or scan, a pure function of the seed, the sample and the recordings."""
        rng = generator(self.options.seed, sample.sample_id, modality)
        damaged = modality in (sample.planted or "").split("+")
        changed = modality in str(sample.extra.get("harmless", "")).split("+")
        if modality != "visual":
            return self._recording(self.root / sample.inputs[modality], damaged, changed, rng)
        scan = digit_scans()[0][int(sample.inputs["visual"].rpartition("/")[2])]
        if damaged:
            scan = destroy_picture(scan, rng)
        if self.options.degrade:
            # Added at the scan's own 8x8 resolution: noise added to the enlarged 32x32 picture would average out.
            scan = add_grain(scan, GRAIN[self.options.noise], rng)
        if changed:
            scan = relight(scan, rng)
        return to_uint8(enlarge(scan, VISUAL.size))

    def _recording(self, path: Path, damaged: bool, changed: bool, rng: np.random.Generator) -> np.ndarray:
        """A recording padded with zeros; noise covers the zeros too, else the length would identify the recording."""
        wave = read_audio(path, AUDIO.rate, AUDIO.seconds).astype(np.float64)
        if changed:
            wave = high_pass(wave)
        if not self.options.degrade:
            return fit_waveform(wave, AUDIO)
        (length,) = AUDIO.shape
        others = [clip for name, clip in babble_bank(self._bank) if name != path]
        kinds = AUDIO_NOISES if others else AUDIO_NOISES[:2]
        noise = coloured_noise(kinds[int(rng.integers(len(kinds)))], length, rng, others)
        snr = rng.uniform(*(DESTROYED_SNR if damaged else BASE_SNR[self.options.noise]))
        padded = np.pad(wave, (0, length - len(wave)))
        return fit_waveform(add_noise(padded, noise, snr, power=float(np.mean(wave**2))), AUDIO)


def _one_of(things: Sequence[T], *names: object) -> T:
    return things[int(generator(*names).integers(len(things)))]


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
    """(path, waveform) of those recordings that can be read; read once per process."""
    bank = []
    for path in paths:
        try:
            bank.append((path, read_audio(path, AUDIO.rate, AUDIO.seconds).astype(np.float64)))
        except MediaError:
            continue  # reported in its own row, with its status
    return tuple(bank)
