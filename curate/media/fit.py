"""Convert the content of a file to the length, size and type that a network receives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curate.errors import MediaError, counted
from curate.specs import AudioSpec, VisualSpec

if TYPE_CHECKING:
    from PIL.Image import Image


def fit_waveform(wave: NDArray[np.floating], spec: AudioSpec) -> NDArray[np.int16]:
    """Cut a waveform at its end, or fill it up by repetition (`tile`) or zeros (`pad`), and clip it to [-1, 1].

    Args:
        wave: (samples,) at `spec.rate`.

    Returns:
        `spec.shape` int16, full scale 32767.

    Raises:
        MediaError: `too_short`, fewer samples than one STFT window: no column of its spectrogram would be valid.
    """
    (length,) = spec.shape
    if len(wave) < min(spec.n_fft, length):
        raise MediaError(
            "too_short", f"{counted(len(wave), 'sample is', 'samples are')} less than one STFT window of {spec.n_fft}"
        )
    if len(wave) >= length:
        fitted = wave[:length]
    elif spec.fill == "tile":
        fitted = np.resize(wave, length)  # repeats from the beginning
    else:
        fitted = np.pad(wave, (0, length - len(wave)))
    result: NDArray[np.int16] = np.round(np.clip(fitted, -1, 1) * 32767).astype(np.int16)
    return result


def fit_frames(frames: NDArray[np.uint8], spec: VisualSpec) -> NDArray[np.uint8]:
    """Resize frames to a square, aspect ratio not kept (as in the literature), and make them grey if `spec` has 1
    channel.

    Args:
        frames: (F, H, W, 3) RGB.

    Returns:
        `spec.shape` uint8.
    """
    return resize(frames, spec.size, spec.channels).reshape(spec.shape)


def resize(frames: NDArray[np.uint8], side: int, channels: int) -> NDArray[np.uint8]:
    """(F, H, W, 3) RGB frames to (F, side, side, channels), 1 channel being grey; Pillow's bilinear filter."""
    from PIL import Image

    small = [np.asarray(shrink(Image.fromarray(frame), side, channels)) for frame in frames]
    return np.stack(small).reshape(len(frames), side, side, channels)


def shrink(picture: Image, side: int, channels: int) -> Image:
    """One RGB picture to a square, as in `resize`."""
    from PIL.Image import Resampling

    return (picture.convert("L") if channels == 1 else picture).resize((side, side), Resampling.BILINEAR)


def same_size(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """(F, H, W, 3) of pictures, each resized to the size of the first."""
    from PIL import Image

    height, width = pictures[0].shape[:2]
    fitted = [
        p if p.shape[:2] == (height, width) else np.asarray(Image.fromarray(p).resize((width, height)))
        for p in pictures
    ]
    return np.stack(fitted)
