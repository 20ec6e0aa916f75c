"""Damaged files: bits that flipped and ends that are missing give a status or an array, soon, and never a crash.

With CURATE_LONG_TESTS set, many more of each.
"""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
from PIL import Image

from curate.datasets import decoding
from curate.datasets.cache import prepare
from curate.datasets.manifest import Manifest
from curate.errors import MediaError
from curate.media import decode_medium
from curate.specs import AudioSpec, VisualSpec

STATUSES = {
    "undecodable",
    "no_audio",
    "no_video",
    "silent",
    "too_short",
    "too_long",
    "too_large",
    "too_many_channels",
    "truncated",
    "out_of_range",
    "empty",
}
TRIES = 60 if os.environ.get("CURATE_LONG_TESTS") else 3
SLOW = 10.0  # s
SPECS = (AudioSpec(rate=8000, seconds=1.0), VisualSpec(frames=2, size=8))
NOISE = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
ENDINGS = [
    *("mp4", "mkv", "ts", "mpg", "flv", "avi", "webm", "mov", "wmv", "ogg", "wav", "flac", "mp3", "aac"),
    *("jpg", "png", "gif", "webp", "tiff", "bmp", "avif"),
]


def make(folder, ending, ffmpeg):
    path = folder / f"a.{ending}"
    if ending in ("jpg", "png", "gif", "webp", "tiff", "bmp", "avif"):
        more = [Image.fromarray(NOISE[::-1])] if ending in ("gif", "webp") else []
        Image.fromarray(NOISE).save(path, **({"save_all": True, "append_images": more} if more else {}))
        return path
    sound = "-f lavfi -i sine=500:d=1:r=44100"
    picture = "" if ending in ("wav", "flac", "mp3", "aac", "ogg") else "-f lavfi -i testsrc2=s=32x24:r=25:d=1"
    ffmpeg(f"{picture} {sound} {'-pix_fmt yuv420p' if picture else ''} {path.name}", folder)
    return path


def damaged(content: bytes, rng: np.random.Generator):
    for _ in range(TRIES):
        changed = np.frombuffer(content, np.uint8).copy()
        where = rng.integers(0, len(changed) if rng.random() < 0.5 else min(len(changed), 600), rng.integers(1, 30))
        changed[where] ^= (1 << rng.integers(0, 8, len(where))).astype(np.uint8)
        yield changed.tobytes()
    for share in rng.random(TRIES):
        yield content[: int(len(content) * share)]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_damaged_file_gives_a_status_or_an_array_and_soon(tmp_path, ffmpeg, ending):
    path = make(tmp_path, ending, ffmpeg)
    content = path.read_bytes()
    for changed in damaged(content, np.random.default_rng(len(content))):
        path.write_bytes(changed)
        for spec in SPECS:
            begin = time.monotonic()
            try:
                found = decode_medium(path, spec)
                assert found.values.shape == spec.shape and found.values.dtype == spec.dtype
            except MediaError as error:
                assert error.status in STATUSES and error.reason
            assert time.monotonic() - begin < SLOW


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tiff", "avif", "gif", "bmp"])
def test_a_picture_that_was_cut_is_refused_not_filled_up(tmp_path, ffmpeg, ending):
    path = make(tmp_path, ending, ffmpeg)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError) as caught:
        decode_medium(path, SPECS[1])
    assert caught.value.status == "undecodable"


class Deadly(Manifest):
    """A manifest whose decoder dies on one picture, and wants too much memory for one sound."""

    name = "deadly"

    def decode(self, sample, modality):
        if modality == "visual" and sample.sample_id == "s03":
            os.kill(os.getpid(), signal.SIGSEGV)
        if modality == "audio" and sample.sample_id == "s07":
            np.ones(int(40e9 / 8))  # more memory than a process may have
        return super().decode(sample, modality)


@pytest.mark.long
@pytest.mark.slow
def test_a_decoder_that_dies_costs_its_own_item_alone(tmp_path, media, write_manifest):
    rows = []
    for i in range(14):
        media.audio(tmp_path / f"{i}.wav", media.tone(200 + 50 * i, 0.3))
        media.picture(tmp_path / f"{i}.png", np.full((9, 9, 3), 10 * i, np.uint8))
        rows.append(f"s{i:02},{i % 2},{'train' if i < 10 else 'val'},{i}.wav,{i}.png")
    path = write_manifest("sample_id,label,split,audio,visual", rows)
    cache = prepare(Deadly(path, Deadly.Options()), tmp_path / "cache", workers=2)
    visual, audio = ({i: s for i, s in enumerate(cache.status[m]) if s != "ok"} for m in ("visual", "audio"))
    assert visual == {3: "decoder_crashed"} and audio == {7: "too_large"}
    assert "3.png" in cache.reason["visual"][3]
    plain = prepare(Manifest(path, Manifest.Options()), tmp_path / "plain")
    kept = [i for i in range(14) if i not in (3, 7)]
    assert all((cache.arrays[m][kept] == plain.arrays[m][kept]).all() for m in cache.arrays)
    assert not list(cache.folder.glob(f"{decoding.MARK}*"))


def test_rows_of_one_file_stay_together(tmp_path, media, write_manifest):
    media.audio(tmp_path / "long.wav", media.tone(300, 9.0))
    for i in range(40):
        media.picture(tmp_path / f"{i}.png", np.full((9, 9, 3), i, np.uint8))
    rows = [f'{i},{i % 2},"long.wav#t={i % 8},{i % 8 + 1}",{i}.png' for i in range(40)]
    data = Manifest(write_manifest("sample_id,label,audio,visual", rows), Manifest.Options())
    assert decoding.chunk_rows(data, range(40), 2) == [list(range(40))]
    alone = [f"{i},{i % 2},{i}.wav,{i}.png" for i in range(40)]
    apart = Manifest(write_manifest("sample_id,label,audio,visual", alone, "b.csv"), Manifest.Options())
    chunks = decoding.chunk_rows(apart, range(40), 2)
    assert [row for chunk in chunks for row in chunk] == list(range(40)) and max(map(len, chunks)) == 5
