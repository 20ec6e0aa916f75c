"""One sample in the form that the network receives, written as files to look at and listen to."""

from __future__ import annotations

import re
import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import MediaError, unknown_name
from curate.media import FACTS
from curate.media.clips import spread
from curate.specs import AudioSpec, ClipSpec, FlowSpec, InputSpec, VisualSpec
from curate.types import Sample

from .base import Dataset

Row = tuple[str, str, Any, str]  # modality, fact, value, what it means
MOST_FRAMES = 8  # of a clip, side by side


def find_sample(dataset: Dataset, sample_id: str) -> Sample:
    """The sample of this id.

    Raises:
        CurateError: there is none; the hint gives the nearest id.
    """
    for sample in dataset.samples:
        if sample.sample_id == sample_id:
            return sample
    raise unknown_name("sample", sample_id, (s.sample_id for s in dataset.samples))


def write_sample(dataset: Dataset, sample: Sample, folder: Path) -> tuple[list[Row], list[Path]]:
    """Decode a sample, and write its pictures as PNG, frames side by side, and its sound as WAV.

    Returns:
        What was done to each medium, or why it cannot be used; and the files, `<id>-<modality>.png` or `.wav`.
    """
    rows: list[Row] = []
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w.-]+", "_", sample.sample_id)
    for modality, spec in dataset.specs.items():
        rows.append((modality, "source", sample.inputs.get(modality, ""), "as the data set names it"))
        try:
            values, facts = dataset.decode(sample, modality)
        except MediaError as error:
            rows.append((modality, error.status, error.reason, "why it cannot be used"))
            continue
        rows += [(modality, name, _shown(value), FACTS.get(name, "")) for name, value in facts.items()]
        rows.append((modality, "given", f"{spec.dtype} {'x'.join(map(str, spec.shape))}", "what the network gets"))
        path = folder / f"{stem}-{modality}"
        if isinstance(spec, AudioSpec):
            written.append(_write_wave(path.with_name(f"{path.name}.wav"), values, spec.rate))
        elif isinstance(spec, VisualSpec | ClipSpec):
            written.append(_write_picture(path.with_name(f"{path.name}.png"), values, spec))
    return rows, written


def _shown(value: Any) -> Any:
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value) if isinstance(value, list) else value


def _write_wave(path: Path, samples: NDArray[np.int16], rate: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.ascontiguousarray(samples, dtype="<i2").tobytes())
    return path


def _write_picture(path: Path, frames: NDArray[Any], spec: InputSpec) -> Path:
    """(F, H, W, C) frames side by side; optical flow is shown as the length of the motion, white at the limit."""
    from PIL import Image

    if isinstance(spec, ClipSpec):
        frames = frames[spread(len(frames), min(len(frames), MOST_FRAMES))]
    if isinstance(spec, FlowSpec):
        frames = np.minimum(2 * np.linalg.norm(frames.astype(np.float32), axis=-1, keepdims=True), 255)
    wide = np.concatenate(list(frames.astype(np.uint8)), axis=1)
    Image.fromarray(wide[..., 0] if wide.shape[-1] == 1 else wide).save(path, "PNG")
    return path
