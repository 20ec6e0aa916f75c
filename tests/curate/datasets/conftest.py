"""Clips that data sets of few large files are compared with: the same media as single files, and their manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curate.datasets.cache import Cache

from ..conftest import tone, write_audio, write_picture

COUNT, CLASSES = 24, ("ant", "bee")
SPLITS = ("train", "train", "train", "val", "test", "test")
"""Of four clips each."""


def same(one: Cache, other: Cache) -> bool:
    """Whether two caches have the same arrays and statuses."""
    arrays = all(np.array_equal(one.arrays[m], other.arrays[m]) for m in one.arrays)
    return arrays and all(one.status[m].tolist() == other.status[m].tolist() for m in one.status)


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest, `c00` to `c23`, beside its sounds (one of them empty) and pictures."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "near"))
    folder = tmp_path / "media"
    folder.mkdir()
    lines = ["sample_id,label,split,audio,visual"]
    for i in range(COUNT):
        write_audio(folder / f"c{i:02}.wav", tone(200 + 20 * i, 0.5, 8000), 8000)
        write_picture(folder / f"c{i:02}.png", np.full((20, 20, 3), 10 * i, np.uint8))
        lines.append(f"c{i:02},{CLASSES[i % 2]},{SPLITS[i // 4]},c{i:02}.wav,c{i:02}.png")
    (folder / "c05.wav").write_bytes(b"")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return folder / "clips.csv"
