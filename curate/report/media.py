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

from curate.datasets.decoded import DecodedMedia, decoded_media
from curate.errors import CurateError
from curate.specs import AudioSpec, FeatureSpec, TextSpec
from curate.types import Run, data_kind


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
    if data_kind(run.dataset) == "features":
        return {}, "only features of these samples are known"
    try:
        decoded = decoded_media(run, folder)
        rows = decoded.cache.rows(sample_ids)
    except CurateError as error:
        return {}, error.message
    except ValueError as error:
        return {}, str(error)
    found = zip(sample_ids, rows, strict=True)
    return {i: _media(decoded, decoded.texts.get(i, {}), int(row)) for i, row in found}, ""


def _media(decoded: DecodedMedia, texts: Mapping[str, str], row: int) -> list[Medium]:
    found = []
    for modality, array in decoded.cache.arrays.items():
        spec = decoded.specs[modality]
        if decoded.cache.status[modality][row] != "ok" or isinstance(spec, FeatureSpec):
            continue
        if isinstance(spec, AudioSpec):
            found.append(Medium(modality, "audio", wav_uri(array[row], spec.rate)))
        elif isinstance(spec, TextSpec):
            found.append(Medium(modality, "text", texts.get(modality, "")))
        else:
            frame = decoded.frames(modality, row, 1)[0]
            found.append(Medium(modality, "visual", png_uri(frame), crisp=frame.shape[0] < 96))
    return found


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
