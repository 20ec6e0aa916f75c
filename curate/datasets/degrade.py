"""Seeded damage to waveforms and pictures, for data sets whose bad samples are known.

`demo` and `avdigits` use it: to test a tool that looks for samples carried by one modality, the truth must be known.
Pure functions; every random number comes from the generator they are given. Pictures are (S, S) floats in [0, 1].
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError

Floats = NDArray[np.float64]

AUDIO_NOISES = ("white", "pink", "babble")
PICTURE_DAMAGES = ("noise", "occlusion", "blur")
VOICES = 4  # clips summed to babble


def generator(*names: object) -> np.random.Generator:
    """A generator that depends on `names` alone; neither order nor number of processes changes a draw."""
    digest = hashlib.sha256("\0".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def plant(count: int, shares: Mapping[str, float], *names: object) -> list[str]:
    """Which modalities of `count` samples are to be damaged, drawn independently for each modality.

    Args:
        count: number of samples.
        shares: {modality: share of samples in [0, 1]}; exactly `round(share * count)` samples are drawn.
        names: what the draw depends on.

    Returns:
        For each sample the damaged modalities joined by '+', '' for none: `Sample.planted`.

    Raises:
        CurateError: a share is not in [0, 1].
    """
    for modality, share in shares.items():
        if not 0 <= share <= 1:
            raise CurateError(f"the damaged share of {modality} is {share}", "give a share between 0 and 1")
    hit = {m: set(generator(*names, m).permutation(count)[: round(share * count)]) for m, share in shares.items()}
    return ["+".join(m for m in shares if i in hit[m]) for i in range(count)]


@lru_cache(maxsize=1)
def digit_scans() -> tuple[Floats, NDArray[np.int64]]:
    """The 1797 handwritten digits of scikit-learn: (1797, 8, 8) in [0, 1], and their (1797,) digits."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images / 16, digits.target.astype(np.int64)


def split_scans(val: float, test: float, seed: int) -> dict[str, NDArray[np.int64]]:
    """{split: indices of scans}, disjoint and stratified; `val` and `test` are shares of all scans."""
    from sklearn.model_selection import train_test_split

    digits = digit_scans()[1]
    left, parts = np.arange(len(digits)), {}
    for split, share in (("test", test), ("val", val)):
        count = round(share * len(digits))
        left, parts[split] = train_test_split(left, test_size=count, stratify=digits[left], random_state=seed)
    return {"train": np.sort(left), "val": np.sort(parts["val"]), "test": np.sort(parts["test"])}


def enlarge(picture: Floats, size: int) -> Floats:
    """Bilinear enlargement of a square picture to (size, size)."""
    at = np.clip((np.arange(size) + 0.5) * len(picture) / size - 0.5, 0, len(picture) - 1)
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(len(picture))))
    result: Floats = weights @ picture @ weights.T
    return result


def to_uint8(picture: Floats) -> NDArray[np.uint8]:
    """(S, S) in [0, 1] to the (1, S, S, 1) uint8 of one grey frame; values outside are clipped."""
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)[None, :, :, None]


def coloured_noise(kind: str, length: int, rng: np.random.Generator, bank: Sequence[Floats] = ()) -> Floats:
    """(length,) noise of root mean square 1: `white`, `pink` (power as 1/f) or `babble` (a sum of clips of `bank`)."""
    if kind == "white":
        noise = rng.standard_normal(length)
    elif kind == "pink":
        spectrum = np.fft.rfft(rng.standard_normal(length))
        noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), length)
    elif kind == "babble":
        voices = [_voice(bank[int(rng.integers(len(bank)))], length, rng) for _ in range(VOICES)]
        noise = np.sum(voices, axis=0)
    else:
        raise ValueError(f"unknown noise {kind!r}, expected one of {AUDIO_NOISES}")
    return noise / max(float(np.sqrt(np.mean(noise**2))), 1e-12)


def _voice(clip: Floats, length: int, rng: np.random.Generator) -> Floats:
    """A clip repeated to `length` from a random place in it, at root mean square 1."""
    voice = np.roll(np.resize(clip, length), int(rng.integers(length)))
    return voice / max(float(np.sqrt(np.mean(voice**2))), 1e-12)


def add_noise(wave: Floats, noise: Floats, snr: float, power: float | None = None) -> Floats:
    """Mix noise of root mean square 1 into a waveform and bring the peak to 0.9.

    Args:
        wave: (n,) clean signal.
        noise: (n,) from `coloured_noise`.
        snr: signal to noise ratio, dB; lower = worse.
        power: mean square of the signal without its silent part; None uses all of `wave`.
    """
    power = float(np.mean(wave**2)) if power is None else power
    mixed = wave + noise * np.sqrt(power / 10 ** (snr / 10))
    result: Floats = 0.9 * mixed / max(float(np.abs(mixed).max()), 1e-12)
    return result


def add_grain(picture: Floats, sd: float, rng: np.random.Generator) -> Floats:
    """Gaussian noise of standard deviation `sd` on every pixel, clipped to [0, 1]."""
    return np.clip(picture + rng.normal(0, sd, picture.shape), 0, 1)


def destroy_picture(picture: Floats, rng: np.random.Generator) -> Floats:
    """The picture with one of `PICTURE_DAMAGES`, each so strong that hardly anything of the digit is left."""
    kind = PICTURE_DAMAGES[int(rng.integers(len(PICTURE_DAMAGES)))]
    if kind == "noise":
        return add_grain(picture, rng.uniform(4, 8), rng)
    if kind == "occlusion":
        return occlude(picture, rng.uniform(0.8, 0.95), rng)
    return blur(picture, len(picture) * rng.uniform(0.5, 0.8))


def occlude(picture: Floats, side: float, rng: np.random.Generator) -> Floats:
    """The picture with a flat grey square of `side` (share of the picture's side) at a random place over it."""
    cover = round(side * len(picture))
    top, left = rng.integers(len(picture) - cover + 1, size=2)
    hidden = picture.copy()
    hidden[top : top + cover, left : left + cover] = rng.uniform(0, 1)
    return hidden


def blur(picture: Floats, sd: float) -> Floats:
    """Gaussian blur, `sd` in pixels; weights are renormalised at the border."""
    at = np.arange(len(picture))
    weights = np.exp(-0.5 * ((at[:, None] - at) / sd) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights @ picture @ weights.T


def relight(picture: Floats, rng: np.random.Generator) -> Floats:
    """Another contrast (0.5 to 0.8 of it) and brightness: it looks different and holds the same information."""
    contrast = rng.uniform(0.5, 0.8)
    return picture * contrast + rng.uniform(0, 1 - contrast)


def high_pass(wave: Floats) -> Floats:
    """A gentle high-pass, x[t] - 0.6 x[t - 1], at the same loudness: it sounds thinner, with the same information."""
    thin = wave - 0.6 * np.concatenate([[0.0], wave[:-1]])
    result: Floats = thin * np.sqrt(np.mean(wave**2) / max(float(np.mean(thin**2)), 1e-12))
    return result
