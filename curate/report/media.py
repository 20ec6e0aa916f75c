"""Pictures and sounds of samples as data URIs, from an existing cache: a report never decodes media."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate import datasets
from curate.datasets.cache import Cache, default_folder, open_cache
from curate.errors import CurateError
from curate.specs import AudioSpec, ClipSpec, FeatureSpec, FlowSpec, InputSpec, TextSpec
from curate.types import Run


@dataclass(frozen=True)
class Medium:
    """One modality of a sample as shown on the page: `kind` is `audio`, `visual` or `text`, `uri` is self-contained.

    For a text, `uri` is the text itself.
    """

    modality: str
    kind: str
    uri: str
    crisp: bool = False


def load(run: Run, sample_ids: Sequence[str], folder: Path | None) -> tuple[dict[str, list[Medium]], str]:
    """Media of some samples, {sample_id: one per usable modality}, and '' or the reason why there are none.

    Args:
        run: the scored run; its data set is made from its configuration to know rates and kinds.
        sample_ids: the samples whose media are loaded.
        folder: folder of all caches; None = the default.
    """
    if "predictions" in run.config:
        return {}, "only predictions of these samples are known"
    if run.dataset == "features":
        return {}, "only features of these samples are known"
    place = (folder or default_folder()) / run.data_id
    if not place.exists():
        return {}, "their decoded media are not on this machine"
    try:
        cache, dataset = open_cache(place), _reopen(run)
        rows = cache.rows(sample_ids)
    except (CurateError, TypeError, ValueError) as error:
        return {}, f"their media could not be opened ({error})"
    sources = {s.sample_id: s.inputs for s in dataset.samples}
    found = zip(sample_ids, rows, strict=True)
    return {i: _media(cache, dataset.specs, sources.get(i, {}), int(row)) for i, row in found}, ""


def _reopen(run: Run) -> datasets.Dataset:
    cls = datasets.find(run.dataset)
    return cls(Path(run.root) if run.root else None, cls.Options(**run.config.get("data", {})))


def _media(cache: Cache, specs: Mapping[str, InputSpec], sources: Mapping[str, str], row: int) -> list[Medium]:
    found = []
    for modality, array in cache.arrays.items():
        spec = specs[modality]
        if cache.status[modality][row] != "ok":
            continue
        if isinstance(spec, FeatureSpec):
            continue
        if isinstance(spec, AudioSpec):
            found.append(Medium(modality, "audio", wav_uri(array[row], spec.rate)))
        elif isinstance(spec, TextSpec):
            found.append(Medium(modality, "text", sources.get(modality, "")))
        elif isinstance(spec, ClipSpec):
            found.append(Medium(modality, "visual", png_uri(_still(array[row], spec)), crisp=spec.size < 96))
        else:
            found.append(Medium(modality, "visual", png_uri(array[row][0]), crisp=spec.size < 96))
    return found


def _still(clip: NDArray[np.integer], spec: ClipSpec) -> NDArray[np.uint8]:
    """The middle frame of a clip; optical flow is shown as the length of the motion, white at the limit or more."""
    middle = clip[len(clip) // 2]
    result: NDArray[np.uint8]
    if not isinstance(spec, FlowSpec):
        result = middle.astype(np.uint8)
        return result
    result = np.minimum(2 * np.linalg.norm(middle.astype(np.float32), axis=-1), 255).astype(np.uint8)[..., None]
    return result


def wav_uri(samples: NDArray[np.int16], rate: int) -> str:
    """(n,) mono 16-bit samples at `rate` Hz as a WAV data URI."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.ascontiguousarray(samples, dtype="<i2").tobytes())
    return _data_uri("audio/wav", out.getvalue())


def png_uri(frame: NDArray[np.uint8]) -> str:
    """One (H, W, 1) or (H, W, 3) frame as a PNG data URI, pixel by pixel."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame[..., 0] if frame.shape[-1] == 1 else frame)).save(out, "PNG")
    return _data_uri("image/png", out.getvalue())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
