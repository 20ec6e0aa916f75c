"""How much the cache gains: samples per second from files to network inputs, in one run and one process.

Claims: batches from the cache, transforms included, come at least 10 times as fast as decoding each clip's MP4 and its
sound track on the fly (a), and at least 3 times as fast as the method of public loaders, WAV to STFT in NumPy and
extracted JPEG to crop in Pillow, one sample at a time (b); an epoch of two ResNet-18 waits for data less than 5 % of
its time (c). All use the same clips and the same transforms: 3 s of sound at 22.05 kHz to a log STFT of 257x188, three
frames cropped and flipped at random to 224x224, normalised. Decoding a stretch of a long recording costs as much as its
length, wherever it begins, and a thousand stretches cost no more than decoding the recording once plus their own
lengths (d).
Run: python benchmarks/input.py [--clips 48] [--repeat 3] [--minutes 20] [--device cuda:0] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import wave
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

from curate.datasets.cache import prepare
from curate.datasets.manifest import Manifest
from curate.media import decode_media, load_medium, read_audio, read_frames
from curate.media.source import Segment
from curate.specs import AudioSpec, VisualSpec
from curate.train.data.samples import IMAGENET, Batch, BatchTransform, RunData, Samples, mix_seed
from curate.train.loop.engine import OptimConfig
from curate.train.methods import catalog
from curate.train.models.model import FusionModel, ModelConfig

AUDIO, VISUAL = AudioSpec(), VisualSpec()
SPECS = {"audio": AUDIO, "visual": VISUAL}
SECONDS, FPS, HEIGHT, WIDTH = 3, 25, 240, 320
BATCH = 16
MOST_STEPS = 6  # of the epoch in (c)


def write_clip(path: Path, rng: np.random.Generator) -> None:
    """3 s of moving noise, H.264 and AAC in an MP4."""
    ground = np.kron(rng.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("libx264", rate=FPS), container.add_stream("aac", rate=AUDIO.rate)
        video.height, video.width, video.pix_fmt, audio.layout = HEIGHT, WIDTH, "yuv420p", "mono"
        for i in range(SECONDS * FPS):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(ground, 3 * i, axis=1)), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        sound = (0.2 * rng.standard_normal((1, SECONDS * AUDIO.rate))).astype(np.float32)
        piece = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
        piece.sample_rate, piece.pts = AUDIO.rate, 0
        container.mux(audio.encode(piece))
        container.mux(audio.encode())


def extract(path: Path) -> None:
    """The WAV and the three JPEGs that public loaders read, beside the clip."""
    samples = (np.clip(read_audio(path, AUDIO.rate, SECONDS), -1, 1) * 32767).astype("<i2")
    with wave.open(str(path.with_suffix(".wav")), "wb") as file:
        file.setparams((1, 2, AUDIO.rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    for k, frame in enumerate(read_frames(path, VISUAL.frames)):
        Image.fromarray(frame).save(path.with_name(f"{path.stem}_{k}.jpg"), quality=90)


def write_data(folder: Path, clips: int) -> Manifest:
    """A manifest of `clips` videos, two thirds of them to train on."""
    rng, rows = np.random.default_rng(0), ["sample_id,label,split,audio,visual"]
    for i in range(clips):
        write_clip(folder / f"{i}.mp4", rng)
        extract(folder / f"{i}.mp4")
        rows.append(f"s{i:04},c{i % 2},{'val' if i % 3 == 2 else 'train'},{i}.mp4,{i}.mp4")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    fixed = {"rate": AUDIO.rate, "seconds": AUDIO.seconds, "n_fft": AUDIO.n_fft, "hop": AUDIO.hop}
    return Manifest(folder / "clips.csv", Manifest.Options(**fixed, size=VISUAL.size, frames=VISUAL.frames))


def from_cache(samples: Samples, transform: BatchTransform, device: torch.device) -> None:
    """Batches as in training: memory map, device, transforms."""
    for first in range(0, len(samples), BATCH):
        raw = samples.__getitems__(list(range(first, min(first + BATCH, len(samples)))))
        transform(raw.to(device), seed=first)


def on_the_fly(paths: list[Path], transform: BatchTransform, device: torch.device) -> None:
    """(a) the same batches and transforms, each clip decoded from its MP4."""
    for first in range(0, len(paths), BATCH):
        part = paths[first : first + BATCH]
        inputs = {m: torch.from_numpy(np.stack([load_medium(p, s) for p in part])) for m, s in SPECS.items()}
        batch = Batch(np.array([p.stem for p in part]), inputs, torch.zeros(len(part), dtype=torch.long))
        transform(batch.to(device), seed=first)


def one_by_one(paths: list[Path], device: torch.device) -> None:
    """(b) WAV to STFT in NumPy, JPEG to random crop in Pillow, normalised; one sample at a time, stacked to batches."""
    rng = np.random.default_rng(0)
    mean, deviation = (np.array(x, dtype=np.float32)[:, None, None] for x in IMAGENET)
    window = np.hanning(AUDIO.n_fft + 1)[:-1].astype(np.float32)
    for first in range(0, len(paths), BATCH):
        sounds, pictures = [], []
        for path in paths[first : first + BATCH]:
            sounds.append(_stft(path.with_suffix(".wav"), window))
            box, mirror = _box(rng), rng.random() < 0.5
            frames = [_crop(path.with_name(f"{path.stem}_{k}.jpg"), box, mirror) for k in range(VISUAL.frames)]
            pictures.append((np.stack(frames) - mean) / deviation)
        torch.from_numpy(np.stack(sounds)).to(device)
        torch.from_numpy(np.stack(pictures)).to(device)


def _stft(path: Path, window: np.ndarray) -> np.ndarray:
    """(1, 257, 188) log magnitudes of centred frames."""
    with wave.open(str(path), "rb") as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32) / 32767
    padded = np.pad(np.resize(sound, AUDIO.shape), AUDIO.n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, AUDIO.n_fft)[:: AUDIO.hop]
    return np.log(np.abs(np.fft.rfft(frames * window, axis=1)).T + 1e-7).astype(np.float32)[None]


def _box(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a random part, as shares of the picture."""
    area, ratio = rng.uniform(0.08, 1), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    wide, high = min(np.sqrt(area * ratio), 1), min(np.sqrt(area / ratio), 1)
    left, top = rng.uniform(0, 1 - wide), rng.uniform(0, 1 - high)
    return left, top, left + wide, top + high


def _crop(path: Path, box: tuple[float, float, float, float], mirror: bool) -> np.ndarray:
    """(3, 224, 224) float32 in [0, 1]."""
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
        part = tuple(share * side for share, side in zip(box, picture.size * 2, strict=True))
        cut = picture.resize((VISUAL.size, VISUAL.size), Image.Resampling.BILINEAR, box=part)
    if mirror:
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(cut, dtype=np.float32).transpose(2, 0, 1) / 255


def waiting_share(samples: Samples, device: torch.device) -> float:
    """(c) share of a joint training epoch with two ResNet-18 that is spent on getting and transforming batches."""
    torch.manual_seed(0)
    model = FusionModel(SPECS, ["c0", "c1"], ModelConfig(encoder="resnet18")).to(device).train()
    method = catalog.find("joint")(None)
    method.attach(model, warm=False)
    optimizer, transform = OptimConfig().make(model), BatchTransform(SPECS).to(device).train()
    data = RunData(samples, samples, SPECS, BATCH, BATCH, seed=0)
    waited = worked = 0.0
    batches = iter(data.training_batches(0))
    for step in range(min(MOST_STEPS, -(-len(samples) // BATCH))):
        _wait(device)
        begun = time.perf_counter()
        batch = transform(next(batches).to(device), mix_seed(0, step))
        _wait(device)
        ready = time.perf_counter()
        method.step(model, optimizer, batch)
        _wait(device)
        if step:  # the first step warms up
            waited, worked = waited + ready - begun, worked + time.perf_counter() - ready
    return waited / (waited + worked)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def write_recording(path: Path, minutes: int) -> None:
    """Moving noise and a rising tone, with a picture track in MP4."""
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        tracks = {"video": container.add_stream("libx264", rate=5)} if path.suffix == ".mp4" else {}
        codec = {".mp4": "aac", ".mp3": "libmp3lame", ".wav": "pcm_s16le", ".flac": "flac"}[path.suffix]
        tracks["audio"] = container.add_stream(codec, rate=22050)
        tracks["audio"].layout = "mono"
        if "video" in tracks:
            tracks["video"].height, tracks["video"].width, tracks["video"].pix_fmt = 120, 160, "yuv420p"
        ground = rng.integers(0, 255, (120, 160, 3)).astype(np.uint8)
        for second in range(60 * minutes):
            for k in range(5 if "video" in tracks else 0):
                frame = av.VideoFrame.from_ndarray(np.roll(ground, 5 * second + k, axis=1), format="rgb24")
                frame.pts, frame.time_base = 5 * second + k, Fraction(1, 5)
                container.mux(tracks["video"].encode(frame))
            time_axis = np.arange(22050) / 22050
            sound = (8000 * np.sin(2 * np.pi * (200 + second % 700) * time_axis)).astype(np.int16)[None]
            piece = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
            piece.sample_rate, piece.pts = 22050, 22050 * second
            container.mux(tracks["audio"].encode(piece))
        for track in tracks.values():
            container.mux(track.encode())


def stretches(folder: Path, minutes: int) -> dict[str, dict[str, float]]:
    """(d) seconds to decode stretches of 3 s of one recording: one at several offsets, a thousand, and all of it."""
    found: dict[str, dict[str, float]] = {}
    for ending in ("wav", "flac", "mp3", "mp4"):
        path = folder / f"long.{ending}"
        write_recording(path, minutes)
        for spec in (AUDIO, VISUAL) if ending == "mp4" else (AUDIO,):
            own = found.setdefault(f"{ending} {spec.kind}", {})
            for offset in (10, 30 * minutes, 60 * minutes - 10):
                cost = [_seconds(load_medium, path, spec, Segment(offset, offset + 3)) for _ in range(5)]
                own[f"at {offset} s"] = round(statistics.median(cost), 4)
            step = (60 * minutes - 4) / 1000
            many = [Segment(k * step, k * step + 3) for k in range(1000)]
            own["a thousand"] = round(_seconds(lambda *given: list(decode_media(*given)), path, spec, many), 2)
            if spec is AUDIO:
                own["all once"] = round(_seconds(read_audio, path, AUDIO.rate), 2)
    return found


def _seconds(work: Callable[..., object], *given: object) -> float:
    begun = time.perf_counter()
    work(*given)
    return time.perf_counter() - begun


def rate(work: Callable[[], None], count: int, device: torch.device) -> float:
    """Samples per second of one call."""
    begun = time.perf_counter()
    work()
    _wait(device)
    return count / (time.perf_counter() - begun)


def main() -> None:
    """Measure the three ways in turn, several times, and print medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--minutes", type=int, default=20, help="of the long recordings")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    device = torch.device(chosen.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_data(folder, chosen.clips)
        assert {m: asdict(s) for m, s in data.specs.items()} == {m: asdict(s) for m, s in SPECS.items()}
        cache = prepare(data, folder / "cache")
        assert cache.usable.all(), cache.summary()
        samples = Samples(cache, cache.sample_ids, np.zeros(chosen.clips, dtype=np.int64))
        transform = BatchTransform(SPECS).to(device).train()
        paths = [folder / f"{i}.mp4" for i in range(chosen.clips)]
        ways: dict[str, Callable[[], None]] = {
            "cache": lambda: from_cache(samples, transform, device),
            "decode": lambda: on_the_fly(paths, transform, device),
            "files": lambda: one_by_one(paths, device),
        }
        ways["cache"]()  # the first batch sets up tables and buffers
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(chosen.repeat):  # in turn, so that a busy machine slows all of them
            for way, work in ways.items():
                rates[way].append(rate(work, chosen.clips, device))
        share = waiting_share(samples, device)
        long = stretches(folder, chosen.minutes)
    medians = {way: statistics.median(found) for way, found in rates.items()}
    print(
        json.dumps(
            {
                "samples_per_second": {way: round(value, 1) for way, value in medians.items()},
                "cache_over_decode": round(medians["cache"] / medians["decode"], 1),
                "cache_over_files": round(medians["cache"] / medians["files"], 1),
                "waiting_share_of_an_epoch": round(share, 4),
                "seconds_a_stretch": long,
                "device": str(device),
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
