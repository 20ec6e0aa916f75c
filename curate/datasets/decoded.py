"""The decoded media of a scored run, from an existing cache: nothing is decoded here.

Letters: n samples, F frames, T points of a sound, C channels.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.config import build
from curate.errors import CurateError
from curate.files.remote import Remote, located
from curate.specs import FlowSpec, InputSpec, TextSpec
from curate.types import Floats, Run

from . import find
from .base import Dataset
from .cache import Cache, default_folder, open_cache
from .shared import here

SIDE = 8
"""Side of the grid of coarse content."""


@dataclass(frozen=True, eq=False)
class DecodedMedia:
    """The cache of a run's data set, and how each modality is kept there.

    Attributes:
        cache: the arrays.
        specs: {modality: how its arrays are stored}.
        texts: {sample id: {modality: text}}, of modalities that are texts; {} where there are none.
    """

    cache: Cache
    specs: Mapping[str, InputSpec]
    texts: Mapping[str, Mapping[str, str]]

    def array(self, modality: str, row: int) -> NDArray[Any]:
        """What is stored of one sample.

        Raises:
            CurateError: the modality is not there, or this medium could not be decoded.
        """
        if modality not in self.cache.arrays or self.cache.status[modality][row] != "ok":
            raise CurateError(f"{modality} of this sample was not decoded", "see its reason")
        found: NDArray[Any] = self.cache.arrays[modality][row]
        return found

    def frames(self, modality: str, row: int, count: int) -> NDArray[np.uint8]:
        """(F, H, W, C) frames, at most `count`, evenly spread, a single one from the middle; C is 1 or 3.

        Of optical flow the length of the motion is shown, white at its limit.

        Raises:
            CurateError: it has no frames, or could not be decoded.
        """
        frames = self.array(modality, row)
        if frames.ndim != 4:
            raise CurateError(f"{modality} is no picture", "ask for its sound or numbers")
        count = min(count, len(frames))
        places = [len(frames) // 2] if count == 1 else np.linspace(0, len(frames) - 1, count).round().astype(int)
        chosen = np.asarray(frames[places])
        if isinstance(self.specs[modality], FlowSpec):
            chosen = np.minimum(2 * np.linalg.norm(chosen.astype(np.float32), axis=-1, keepdims=True), 255)
        shown: NDArray[np.uint8] = chosen.astype(np.uint8)
        return shown


def reopened(run: Run) -> Dataset:
    """The data set of a run, made from its settings; annotation files are read.

    Raises:
        CurateError: its place is empty, or it has other settings now.
    """
    kind, root = find(run.dataset), located(run.root) if run.root else None
    if root is not None and not isinstance(root, Remote) and not root.exists():
        gone = root if root.parent.exists() else root.parent
        raise CurateError(
            f"the data of {run.run_id} lay at {root}, and nothing is there now",
            f"put them back, or a link to where they are: `ln -s PLACE {shlex.quote(str(gone))}`",
        )
    return kind(root, build(kind.Options, run.config.get("data", {}), "data"))


def decoded_media(run: Run, folder: Path | None = None) -> DecodedMedia:
    """The decoded media of a scored run.

    Args:
        folder: folder of all caches; None = the default.

    Raises:
        CurateError: the run is of saved predictions, there is no cache on this machine, or it cannot be opened.
    """
    if "predictions" in run.config:
        raise CurateError(
            "only predictions of these samples are known", "`curate score --predictions FILE --media manifest.csv`"
        )
    place = here(folder or default_folder(), run.data_id)
    if not place.exists():
        raise CurateError(f"their decoded media are not in {place.parent}", "see `curate prepare`")
    try:
        cache, dataset = open_cache(place), reopened(run)
        kept = any(isinstance(spec, TextSpec) for spec in dataset.specs.values())
        texts = {s.sample_id: dataset.texts(s) for s in dataset.samples} if kept else {}
        return DecodedMedia(cache, dataset.specs, texts)
    except (OSError, ValueError) as error:
        raise CurateError(f"their decoded media could not be opened ({error})", "see `curate prepare`") from None


def coarse(array: NDArray[Any]) -> Floats | None:
    """(n, 64) coarse content of cached pictures (8 x 8 pixels) or sounds (log power, 8 bands by 8 times); None of
    others. Pictures are averaged over frames and colours.

    Args:
        array: (n, F, H, W, C) pictures, or (n, T) sounds in 16 bits.
    """
    if array.ndim == 5:
        return _coarse_pictures(np.asarray(array, dtype=np.float64))
    if array.ndim == 2 and array.dtype == np.int16:
        return _coarse_sounds(np.asarray(array, dtype=np.float64))
    return None


def _coarse_pictures(x: Floats) -> Floats:
    """(n, F, S, S, C) to (n, 64); smaller pictures are kept as they are."""
    x = x.mean(axis=(1, 4))
    side = min(SIDE, x.shape[1])
    parts = [np.stack([c.mean(axis=(1, 2)) for c in np.array_split(r, side, axis=2)], 1)
             for r in np.array_split(x, side, axis=1)]  # fmt: skip
    return np.concatenate(parts, axis=1)


def _coarse_sounds(x: Floats) -> Floats:
    """(n, T) to (n, 64): eight stretches, of each the log power in eight bands that widen upwards."""
    pieces = x[:, : x.shape[1] // SIDE * SIDE].reshape(len(x), SIDE, -1)
    power = np.abs(np.fft.rfft(pieces * np.hanning(pieces.shape[2]))) ** 2
    edges = np.unique(np.geomspace(1, power.shape[2], SIDE + 1).astype(int))
    bands = [power[..., a:b].mean(axis=2) for a, b in itertools.pairwise(edges)]
    return np.log(np.stack(bands, axis=2) + 1.0).reshape(len(x), -1)
