"""Damage to one decoded array, and changes that are none. Pure; every random number comes from the given generator.

Arrays are floats in the units of the stored ones: sound (n,), pictures (F, S, S, C), vectors (D,). Texts are the ids of
their tokens (T,), whole numbers below the size of the vocabulary, followed by zeros. `strength` is continuous: 0
changes nothing and 1 leaves hardly anything of the content, where a damage has degrees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

Medium = Literal["sound", "pictures", "vector", "text"]
Damage = Callable[..., Floats]
"""From an array, a generator and a strength; of a text also from the size of the vocabulary."""

PIECES = 24
"""Pieces into which a sound is cut to be shuffled."""
GRID = 4
"""Patches along each side of a picture, to be shuffled."""
FIRST = 2
"""The first id of a word; 0 is padding, 1 what the vocabulary does not have."""
NOISE = 6.0
"""Standard deviation of noise of strength 1, in standard deviations of the array."""


def medium(array: NDArray[np.generic]) -> Medium | None:
    """What an array of a sample holds, by its shape and type; None = something that no damage here applies to."""
    if array.ndim == 4:
        return "pictures"
    if array.ndim != 1:
        return None
    named: dict[str, Medium] = {"f": "vector", "i2": "sound", "i4": "text"}
    return named.get("f" if array.dtype.kind == "f" else array.dtype.str[1:])


def shuffle_pieces(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """A sound cut into pieces, a share `strength` of which change places: the spectrum stays, the order is lost."""
    pieces = np.array_split(x, min(PIECES, len(x)))
    return np.concatenate([pieces[i] for i in _moved(len(pieces), rng, strength)])


def shuffle_patches(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """Pictures cut into square patches, a share `strength` of which change places, the same in every frame."""
    side = max(1, x.shape[1] // GRID)
    rows, columns = x.shape[1] // side, x.shape[2] // side
    out = x.copy()
    for there, here in enumerate(_moved(rows * columns, rng, strength)):
        (a, b), (c, d) = divmod(there, columns), divmod(int(here), columns)
        part = x[:, c * side : (c + 1) * side, d * side : (d + 1) * side]
        out[:, a * side : (a + 1) * side, b * side : (b + 1) * side] = part
    return out


def shuffle_entries(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """A vector, a share `strength` of whose entries change places."""
    return x[_moved(len(x), rng, strength)]


def _moved(count: int, rng: np.random.Generator, strength: float) -> NDArray[np.int64]:
    """(count,) a permutation in which round(strength * count) places are exchanged at random."""
    chosen = rng.permutation(count)[: round(strength * count)]
    order = np.arange(count)
    order[chosen] = rng.permutation(chosen)
    return order


def noise(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """White noise added, `NOISE` times `strength` standard deviations of the array; sound keeps its peak."""
    mixed = x + rng.normal(0, NOISE * strength * max(float(x.std()), 1e-12), x.shape)
    if x.ndim > 1:
        return mixed
    result: Floats = mixed * min(1.0, float(np.abs(x).max()) / max(float(np.abs(mixed).max()), 1e-12))
    return result


def static(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """White noise in place of a sound, from its first to its last value that is not zero, as loud as it was.

    A share 1 - `strength` of the power is the sound's own.
    """
    (sounding,), out = np.nonzero(x), x.copy()
    if not len(sounding):
        return out
    part = slice(int(sounding[0]), int(sounding[-1]) + 1)
    drawn = rng.normal(0, float(np.sqrt(np.mean(x[part] ** 2))), part.stop - part.start)
    out[part] = np.sqrt(1 - strength) * x[part] + np.sqrt(strength) * drawn
    return out


def mute(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """A stretch of `strength` of the array at a random place is zero."""
    length = round(strength * len(x))
    start, out = int(rng.integers(len(x) - length + 1)), x.copy()
    out[start : start + length] = 0
    return out


def cover(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """A flat square of `strength` of the side, at a random place, of a random brightness between the extremes."""
    side = round(strength * x.shape[1])
    (top, left), out = rng.integers(x.shape[1] - side + 1, size=2), x.copy()
    out[:, top : top + side, left : left + side] = rng.uniform(x.min(), x.max())
    return out


def blur(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """Pictures blurred by a Gaussian of `strength` / 2 of their side; the border is repeated."""
    from scipy.ndimage import gaussian_filter

    sd = strength * x.shape[1] / 2
    result: Floats = gaussian_filter(x, (0, sd, sd, 0), mode="nearest")
    return result


def low_pass(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """A sound whose spectrum above (1 - strength)^3 of the band is gone."""
    return _band(x, 0.0, max((1 - strength) ** 3, 0.01))


def band_pass(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """A sound of which a band around a quarter of the spectrum is left, the narrower the stronger."""
    half = max(0.25 * (1 - strength), 0.01)
    return _band(x, 0.25 - half, 0.25 + half)


def _band(x: Floats, low: float, high: float) -> Floats:
    spectrum = np.fft.rfft(x)
    at = np.linspace(0, 1, len(spectrum))
    spectrum[(at < low) | (at > high)] = 0
    result: Floats = np.fft.irfft(spectrum, len(x))
    return result


def clip(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """Deviations from the mean beyond (1 - strength) of the largest are cut, and what is left is as large as before."""
    centre = float(x.mean())
    peak = float(np.abs(x - centre).max())
    bound = max((1 - strength) * peak, 1e-3 * peak)
    result: Floats = centre + np.clip(x - centre, -bound, bound) * (peak / max(bound, 1e-12))
    return result


def silence(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """All zeros."""
    return np.zeros_like(x)


def freeze(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """Every frame is the same flat picture, of the mean brightness."""
    return np.full_like(x, float(x.mean()))


def shift(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """A sound moved in time by up to `strength` of half its length, in either direction, around its end."""
    return np.roll(x, round(strength * float(rng.uniform(-0.5, 0.5)) * len(x)))


def other_camera(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """Inverted and turned by a quarter: it looks different and holds the same information. No damage."""
    turned: Floats = np.rot90(x.max(initial=0) + x.min(initial=255) - x, axes=(1, 2)).copy()
    return turned


def other_microphone(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """x[t] - 0.9 x[t - 1] at the same peak: it sounds thin and holds the same information. No damage."""
    thin = x - 0.9 * np.concatenate([x[:1], x[:-1]])
    result: Floats = thin * (np.abs(x).max() / max(float(np.abs(thin).max()), 1e-12))
    return result


def other_encoder(x: Floats, rng: np.random.Generator, strength: float) -> Floats:
    """The vector negated and reversed: elsewhere in the space, with the same information. No damage."""
    return -x[::-1]


def other_words(x: Floats, rng: np.random.Generator, strength: float, vocabulary: int) -> Floats:
    """A share `strength` of a text's words are others, drawn evenly from the vocabulary."""
    words, out = np.flatnonzero(x), x.copy()
    chosen = rng.permutation(words)[: round(strength * len(words))]
    out[chosen] = rng.integers(min(FIRST, vocabulary - 1), vocabulary, len(chosen))
    return out


def missing_words(x: Floats, rng: np.random.Generator, strength: float, vocabulary: int) -> Floats:
    """A run of `strength` of a text's words, at a random place, is missing; one word is left."""
    words, out = x[x > 0], np.zeros_like(x)
    length = min(round(strength * len(words)), max(len(words) - 1, 0))
    start = int(rng.integers(len(words) - length + 1))
    left = np.concatenate([words[:start], words[start + length :]])
    out[: len(left)] = left
    return out


def other_language(x: Floats, rng: np.random.Generator, strength: float, vocabulary: int) -> Floats:
    """Every word is another one, the same everywhere, as in a foreign language. No damage."""
    result: Floats = np.where(x >= FIRST, vocabulary - 1 + FIRST - x, x)
    return result


DAMAGES: Mapping[str, Mapping[Medium, Damage]] = {
    "shuffle": {"sound": shuffle_pieces, "pictures": shuffle_patches, "vector": shuffle_entries},
    "noise": {"sound": noise, "pictures": noise, "vector": noise, "text": other_words},
    "static": {"sound": static},
    "occlusion": {"sound": mute, "pictures": cover, "vector": mute, "text": missing_words},
    "blur": {"sound": low_pass, "pictures": blur},
    "clipping": {"sound": clip, "pictures": clip},
    "band_pass": {"sound": band_pass},
    "silence": {"sound": silence, "vector": silence},
    "frozen": {"pictures": freeze},
}
"""{kind: {medium: the function}} of what takes information away."""
HARMLESS: Mapping[str, Mapping[Medium, Damage]] = {
    "shift": {"sound": shift},
    "minority": {
        "sound": other_microphone,
        "pictures": other_camera,
        "vector": other_encoder,
        "text": other_language,
    },
}
"""The same of what does not, or not from one modality alone."""


def applicable(own: Medium | None) -> tuple[str, ...]:
    """The kinds that apply to a medium."""
    return tuple(kind for kind, known in {**DAMAGES, **HARMLESS}.items() if own in known)


def apply(
    kind: str, array: NDArray[np.generic], rng: np.random.Generator, strength: float, **of_text: int
) -> NDArray[np.generic]:
    """A stored array with a damage of a kind, of the same shape and type.

    Args:
        kind: of `DAMAGES` or `HARMLESS`.
        strength: in [0, 1].
        of_text: `vocabulary`, which the ids of a text are below; nothing of other media.

    Raises:
        ValueError: the kind does not apply to what the array holds.
    """
    known, own = {**DAMAGES, **HARMLESS}[kind], medium(array)
    if own is None or own not in known:
        raise ValueError(f"{kind} does not apply to {array.dtype} {array.shape}")
    return stored(known[own](array.astype(np.float64), rng, strength, **of_text), array.dtype)


def stored(x: Floats, dtype: np.dtype[Any]) -> NDArray[np.generic]:
    """Floats as a stored type; of integers, rounded and cut to its range."""
    if dtype.kind == "f":
        return x.astype(dtype)
    bounds = np.iinfo(dtype)
    return np.clip(np.round(x), bounds.min, bounds.max).astype(dtype)
