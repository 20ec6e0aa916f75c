"""Media of a sample for the page: its files as they are, and pictures and sounds made from them or from the cache.

A file is served only where the table names it as a medium of a sample, and it lies in the data set's folder or is named
by the manifest of the run as well: a table from elsewhere cannot make the page show other files of this machine.
"""

from __future__ import annotations

import io
import os
import threading
import wave
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError, MediaError
from curate.files.remote import Remote, located
from curate.media.source import Segment
from curate.specs import AudioSpec, ClipSpec, FeatureSpec, TextSpec
from curate.store.snapshot import Snapshot

if TYPE_CHECKING:
    from curate.datasets.decoded import DecodedMedia

PLAYED = {
    ".wav": "audio/wav", ".mp3": "audio/mpeg", ".flac": "audio/flac", ".ogg": "audio/ogg", ".oga": "audio/ogg",
    ".opus": "audio/ogg", ".m4a": "audio/mp4", ".aac": "audio/aac", ".mp4": "video/mp4", ".m4v": "video/mp4",
    ".webm": "video/webm", ".mov": "video/mp4", ".ogv": "video/ogg",
}  # fmt: skip
"""Files that browsers play themselves, and what to call them; others are decoded here."""
RATE, SECONDS, SIDE, FRAMES = 16_000, 60.0, 320, 6
"""Of sounds that are decoded here, at most, Hz and s; of pictures, pixels; most frames of a video, side by side."""
MOST_NUMBERS = 256


class Media:
    """Where the media of one run's samples are.

    Args:
        snapshot: of the run.
        cache_folder: where decoded media are looked for; None = the default.
    """

    def __init__(self, snapshot: Snapshot, cache_folder: Path | None = None) -> None:
        self.snapshot, self.run, self.cache_folder = snapshot, snapshot.run, cache_folder
        self._lock = threading.Lock()

    @property
    def manifest(self) -> Path | None:
        """The file in which the user named media: of a data set `manifest`, or given with saved predictions."""
        return Path(self._place) if self._place and Path(self._place).is_file() else None

    @property
    def folder(self) -> Path | None:
        """The folder of the data set, in which its files lie."""
        named = self._place
        return None if not named else Path(named) if Path(named).is_dir() else Path(named).parent

    @property
    def _place(self) -> str | None:
        found: str | None = self.run.config.get("predictions", {}).get("media") or self.run.root
        return found

    def _sources(self, sample_id: str) -> dict[str, Mapping[str, Any]]:
        """The texts and files of a sample; without remote files, which are shown as the cache has them."""
        elsewhere = isinstance(located(self._place or ""), Remote)
        return {
            m: source
            for m, source in self.snapshot.sources(sample_id).items()
            if "file" not in source or not (elsewhere or isinstance(located(source["file"]), Remote))
        }

    @property
    def _heard(self) -> list[str]:
        """The modalities that are sound, though their file may have pictures too."""
        named = str(self.run.config.get("data", {}).get("audio", "audio"))
        return ["audio", *(name.strip() for name in named.split(","))]

    def modalities(self) -> dict[str, list[str]]:
        """Which modalities can be drawn at all, and which of them are sounds, by their first samples."""
        ids = self.snapshot.ask("SELECT sample_id FROM sources LIMIT 8") or self.snapshot.ask(
            "SELECT sample_id FROM samples WHERE status = 'ok' LIMIT 1"
        )
        kinds: dict[str, set[str]] = {}
        for (sample_id,) in ids:
            for one in self.describe(sample_id):
                kinds.setdefault(one["modality"], set()).add(one["kind"])
        drawn = {m for m, found in kinds.items() if found & {"audio", "picture", "video", "frames"}}
        return {"shown": sorted(drawn), "sounds": sorted(m for m in drawn if "audio" in kinds[m])}

    def describe(self, sample_id: str) -> list[dict[str, Any]]:
        """What the page can show of a sample, a dictionary a modality: `modality`, `kind`, and what goes with it.

        `kind` is text, audio, video, picture, frames, numbers, or none, with the reason in `text`.
        """
        sources = self._sources(sample_id)
        found = [self._of_source(sample_id, m, source) for m, source in sources.items()]
        missing = [m for m in self.run.modalities if m not in sources]
        if missing and not (sources and "predictions" in self.run.config):
            found += self._of_cache(sample_id, missing)
        order = {m: i for i, m in enumerate(self.run.modalities)}
        return sorted(found, key=lambda one: order.get(one["modality"], len(order)))

    def _of_source(self, sample_id: str, modality: str, source: Mapping[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {"modality": modality, "kind": "none"}
        if "text" in source:
            return out | {"kind": "text", "text": str(source["text"])}
        try:
            path, segment = self.file(sample_id, modality)
            kind = "audio" if modality in self._heard and path.is_file() else kind_of(path)
        except (CurateError, MediaError, OSError) as error:
            return out | {"text": str(error)}
        out |= {"kind": kind, "name": path.name, "cached": False}
        if segment is not None:
            out |= {"start": segment.start, "end": segment.end}
        return out | {"plays": path.suffix.lower() in PLAYED}

    def file(self, sample_id: str, modality: str) -> tuple[Path, Segment | None]:
        """The file of one modality of a sample, and the stretch of it.

        Raises:
            CurateError: the table names none, or one that is neither in the data set's folder nor in the manifest.
            MediaError: it does not exist, or is not a medium.
        """
        source = self._sources(sample_id).get(modality)
        if not source or "file" not in source or self.folder is None:
            raise CurateError(f"no file is known of {modality} of this sample", "its decoded form may be in the cache")
        path = Path(os.path.normpath(self.folder.absolute() / str(source["file"])))
        inside = path.is_relative_to(os.path.normpath(self.folder.absolute()))
        if not inside and self._named.get((sample_id, modality)) != str(path):
            raise CurateError(
                f"{path} lies outside {self.folder}, and no manifest of this run names it", "it is not shown"
            )
        if not path.exists():
            raise MediaError("missing", f"{path} does not exist any more")
        start, end = source.get("start"), source.get("end")
        return path, None if start is None or end is None else Segment(float(start), float(end))

    @cached_property
    def _named(self) -> dict[tuple[str, str], str]:
        """{(id, column): the whole path} of the run's manifest, read when a path outside is asked for; {} without."""
        from curate.media.source import split_source
        from curate.predictions.media import read_media_cells

        if self.manifest is None:
            return {}
        base = self.manifest.absolute().parent
        return {
            (sample_id, column): os.path.normpath(base / split_source(cell)[0])
            for sample_id, cells in read_media_cells(self.manifest).items()
            for column, cell in cells.items()
        }

    # What the cache of decoded media has.

    def _of_cache(self, sample_id: str, modalities: list[str]) -> list[dict[str, Any]]:
        try:
            (row,) = self.decoded.cache.rows([sample_id])
        except (CurateError, ValueError) as error:
            return [{"modality": m, "kind": "none", "text": str(error)} for m in modalities]
        return [self._of_array(m, int(row)) for m in modalities if m in self.decoded.cache.arrays]

    def _of_array(self, modality: str, row: int) -> dict[str, Any]:
        cache, spec = self.decoded.cache, self.decoded.specs[modality]
        out: dict[str, Any] = {"modality": modality, "kind": "none", "cached": True}
        if cache.status[modality][row] != "ok":
            return out | {"text": str(cache.reason[modality][row] or cache.status[modality][row])}
        if isinstance(spec, AudioSpec):
            return out | {"kind": "audio"}
        if isinstance(spec, FeatureSpec):
            values = np.asarray(self.decoded.array(modality, row), dtype=np.float64).ravel()
            return out | {"kind": "numbers", "numbers": values[:MOST_NUMBERS].tolist(), "length": len(values)}
        if isinstance(spec, TextSpec):
            return out | {"text": "its text is not kept"}  # that of a data set is among its sources
        many = isinstance(spec, ClipSpec) or len(cache.arrays[modality][row]) > 1
        return out | {"kind": "frames" if many else "picture"}

    @property
    def decoded(self) -> DecodedMedia:
        """What the cache has of the run's data set, opened once.

        Raises:
            CurateError: there is none, see `decoded_media`.
        """
        with self._lock:
            return self._decoded

    @cached_property
    def _decoded(self) -> DecodedMedia:
        from curate.datasets.decoded import decoded_media

        return decoded_media(self.run, self.cache_folder)

    def _row(self, sample_id: str) -> int:
        return int(self.decoded.cache.rows([sample_id])[0])

    # What is made for the page.

    def wave(self, sample_id: str, modality: str) -> tuple[NDArray[np.float32], int]:
        """(samples,) in [-1, 1] and the rate, Hz: of the file, at most `SECONDS` and `RATE`, or of the cache."""
        if modality in self._sources(sample_id):
            from curate.media import probe, read_audio

            path, segment = self.file(sample_id, modality)
            rate = min(RATE, probe(path).rate or RATE)
            return read_audio(path, rate, SECONDS, segment), rate
        values, spec = self.decoded.array(modality, self._row(sample_id)), self.decoded.specs[modality]
        if not isinstance(spec, AudioSpec):
            raise CurateError(f"{modality} is no sound", "ask for a picture of it")
        return (np.asarray(values) / 32768).astype(np.float32), spec.rate

    def frames(self, sample_id: str, modality: str, count: int) -> NDArray[np.uint8]:
        """(F, H, W, C): frames of a picture or video, at most `count`."""
        if modality in self._sources(sample_id):
            from curate.media import read_folder, read_frames

            path, segment = self.file(sample_id, modality)
            return read_folder(path, count, segment) if path.is_dir() else read_frames(path, count, segment)
        return self.decoded.frames(modality, self._row(sample_id), count)


def kind_of(path: Path) -> str:
    """`frames` of a folder, else picture, video or audio, detected by content.

    Raises:
        MediaError: it is no medium.
    """
    from curate.media import probe

    found = probe(path)
    if path.is_dir():
        return "frames"
    if found.frames and found.width:
        return "picture" if not found.rate and found.frames == 1 else "video"
    if found.rate:
        return "audio"
    raise MediaError("undecodable", f"{path} holds neither sound nor pictures")


def wav(samples: NDArray[np.float32], rate: int) -> bytes:
    """(samples,) in [-1, 1] as a WAV file of 16 bits."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return out.getvalue()


def picture(frames: NDArray[np.uint8]) -> bytes:
    """(F, H, W, C) frames side by side as a PNG, each at most `SIDE` pixels; small ones are kept, pixel by pixel."""
    from PIL import Image

    made = []
    for frame in frames:
        image = Image.fromarray(np.ascontiguousarray(frame[..., 0] if frame.shape[-1] == 1 else frame))
        image.thumbnail((SIDE, SIDE))
        made.append(image.convert("RGB"))
    wide = Image.new("RGB", (sum(i.width for i in made), max(i.height for i in made)))
    left = 0
    for image in made:
        wide.paste(image, (left, 0))
        left += image.width
    out = io.BytesIO()
    wide.save(out, "PNG")
    return out.getvalue()


def spectrogram(samples: NDArray[np.float32], rate: int) -> bytes:
    """The levels of a sound over time (left to right) and frequency (0 to rate / 2, upwards), 80 dB deep, as a PNG."""
    from matplotlib import colormaps
    from PIL import Image
    from scipy.signal import spectrogram as levels

    width = min(512, max(16, len(samples) // 8))
    _, _, power = levels(samples, rate, nperseg=width, noverlap=max(width - max(1, len(samples) // 600), width // 4))
    decibels = 10 * np.log10(np.maximum(power, 1e-12))
    shade = np.clip((decibels - decibels.max()) / 80 + 1, 0, 1)[::-1]
    image = Image.fromarray((colormaps["magma"](shade)[..., :3] * 255).astype(np.uint8)).resize((600, 160))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def waveform(samples: NDArray[np.float32], columns: int = 600) -> str:
    """The least and the largest amplitude of each of equal parts of a sound, as an SVG of 600 x 60."""
    parts = np.array_split(samples, min(columns, max(1, len(samples))))
    peak = max(float(np.abs(samples).max(initial=0)), 1e-6)
    ends = [(float(p.max()) / peak, float(p.min()) / peak) for p in parts]
    step = 600 / len(parts)
    top = [f"{i * step:.1f},{30 - 28 * high:.1f}" for i, (high, _) in enumerate(ends)]
    low = [f"{i * step:.1f},{30 - 28 * least + 0.5:.1f}" for i, (_, least) in reversed(list(enumerate(ends)))]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 60" preserveAspectRatio="none">'
        f'<polygon fill="#3d9fd6" points="{" ".join([*top, *low])}"/></svg>'
    )
