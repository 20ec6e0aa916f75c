"""How each modality of a data set is stored: shape and type of one cached array, and how a network uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
GREY = ([0.5], [0.5])
"""Mean and deviation by which networks receive frames of three channels, and of one; of values in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class AudioSpec:
    """How a clip's waveform is stored, and which spectrogram the network receives.

    Attributes:
        rate: samples per second, Hz.
        seconds: length kept of every clip, s; a longer clip is cut at its end.
        n_fft: STFT window, samples.
        hop: STFT hop, samples.
        n_mels: mel bands, or None for the linear magnitude with `n_fft // 2 + 1` bins.
        fill: a shorter clip is repeated (`tile`, as the literature does) or followed by zeros (`pad`).
        standardize: z-score of each clip's log spectrogram; False leaves log(|x| + 1e-7) unchanged.
        features: `stft`, centred frames; `spectrogram`, frames entirely within the clip, detrended, tapered and scaled
            to a power density as `scipy.signal.spectrogram` does by default; or `fbank`, the Kaldi filter bank of
            `n_mels` bands, normalised by (x + 4.503877) / (2 * 5.141276). An encoder that reads sound itself is
            given `waveform`, in [-1, 1], from the same stored clip.
        columns: spectrogram columns, cut or filled up with zeros after normalisation; None keeps all there are.
    """

    kind: ClassVar[str] = "audio"
    rate: int = 22050
    seconds: float = 3.0
    n_fft: int = 512
    hop: int = 353
    n_mels: int | None = None
    fill: str = "tile"
    standardize: bool = False
    features: str = "stft"
    columns: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one cached clip: (samples,), int16."""
        return (round(self.rate * self.seconds),)

    @property
    def picture(self) -> tuple[int, int]:
        """(bins, columns) of the spectrogram that the network receives."""
        (length,) = self.shape
        columns = length // self.hop + 1 if self.features == "stft" else (length - self.n_fft) // self.hop + 1
        return self.n_mels or self.n_fft // 2 + 1, self.columns or columns

    @property
    def dtype(self) -> np.dtype:
        """Kind of one cached array."""
        return np.dtype(np.int16)


@dataclass(frozen=True, kw_only=True)
class VisualSpec:
    """How a clip's frames (or one picture) are stored.

    Attributes:
        frames: frames per clip, taken at the centres of as many equal segments.
        size: side of the square frame, pixels.
        channels: 1 (grey) or 3 (RGB).
        augment: `none`, or `crop_flip` = random resized crop and horizontal flip in training.
        depth_range: values of a single channel of more than 8 bits that become 0 and 255; None: the full range of its
            type.
    """

    kind: ClassVar[str] = "visual"
    frames: int = 3
    size: int = 224
    channels: int = 3
    augment: str = "crop_flip"
    depth_range: tuple[float, float] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one cached clip: (frames, size, size, channels), uint8."""
        return (self.frames, self.size, self.size, self.channels)

    @property
    def dtype(self) -> np.dtype:
        """Kind of one cached array."""
        return np.dtype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """A vector of features computed beforehand, stored unchanged.

    Attributes:
        dim: number of features D.
    """

    kind: ClassVar[str] = "features"
    dim: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one cached vector: (dim,), float32."""
        return (self.dim,)

    @property
    def dtype(self) -> np.dtype:
        """Kind of one cached array."""
        return np.dtype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """How the consecutive frames of a clip are stored, and which part of them the network receives at once.

    In training the part is drawn at random, in scoring it is the middle one. It is the same for all modalities of a
    sample, because their frames belong together.

    Attributes:
        frames: consecutive frames stored.
        size: side of the stored square frame, pixels.
        channels: 1 (grey, depth), 3 (RGB); 2 for `FlowSpec`.
        window: consecutive frames that the network receives.
        crop: side of the square that the network receives, pixels.
    """

    kind: ClassVar[str] = "clip"
    frames: int = 80
    size: int = 256
    channels: int = 3
    window: int = 64
    crop: int = 224

    def __post_init__(self) -> None:
        if not (1 <= self.window <= self.frames and 1 <= self.crop <= self.size):
            raise ValueError(f"window {self.window} of {self.frames} frames, crop {self.crop} of {self.size} pixels")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one cached clip: (frames, size, size, channels)."""
        return (self.frames, self.size, self.size, self.channels)

    @property
    def dtype(self) -> np.dtype:
        """Kind of one cached array."""
        return np.dtype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class FlowSpec(ClipSpec):
    """How the optical flow of a clip is stored: (right, down) motion to the next frame.

    Attributes:
        limit: motion is clipped to this many pixels of the stored frame in each direction; it is stored as int8 127.
    """

    kind: ClassVar[str] = "flow"
    channels: int = 2
    limit: float = 20.0

    @override
    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.int8)


UNKNOWN = 1
"""The id of a word that the vocabulary of the training texts does not have; 0 stands for no word."""


@dataclass(frozen=True, kw_only=True)
class TextSpec:
    """How a text is stored: the ids of its first tokens.

    Attributes:
        tokens: number of ids; a shorter text is followed by zeros.
        vocabulary: ids are below this; 0 is padding, and no token has it.
        tokenizer: the one that made the ids, by `curate.media.text.Tokenizer.name`.
    """

    kind: ClassVar[str] = "text"
    tokens: int = 128
    vocabulary: int
    tokenizer: str = "words"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one cached text: (tokens,), int32."""
        return (self.tokens,)

    @property
    def dtype(self) -> np.dtype:
        """Kind of one cached array."""
        return np.dtype(np.int32)


InputSpec = AudioSpec | VisualSpec | ClipSpec | TextSpec | FeatureSpec
