"""Reading batches for many epochs takes neither memory nor file handles with it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from curate.datasets.cache import Cache
from curate.specs import VisualSpec
from curate.train.data.samples import RunData, Samples

ROWS, SIDE = 600, 256
STATUS = Path("/proc/self/status")


@pytest.fixture
def large(tmp_path: Path) -> RunData:
    """600 pictures of 196 kB, 118 MB in all, far more than a batch."""
    shape = (ROWS, 1, SIDE, SIDE, 3)
    array = np.lib.format.open_memmap(tmp_path / "visual.npy", mode="w+", dtype=np.uint8, shape=shape)
    array[:, 0, 0, 0, 0] = np.arange(ROWS) % 251
    array.flush()
    ids = np.array([f"s{i:04d}" for i in range(ROWS)])
    fine = {"visual": np.full(ROWS, "ok")}
    rows = np.lib.format.open_memmap(tmp_path / "visual.npy", mode="r")
    cache = Cache(
        "large-0", tmp_path, ids, {"visual": rows}, fine, {"visual": np.full(ROWS, "")}, {"visual": [{}] * ROWS}
    )
    samples = Samples(cache, ids, np.arange(ROWS) % 3)
    return RunData(samples, samples, {"visual": VisualSpec(frames=1, size=SIDE)}, 8, 8, 0)


def anonymous_memory() -> int:
    """Bytes that are this process's own, not pages of a file."""
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not STATUS.exists() or "RssAnon" not in STATUS.read_text(), reason="needs Linux's RssAnon")
def test_memory_and_file_handles_stay_flat(large: RunData) -> None:
    def epoch(number: int) -> int:
        return sum(int(b.inputs["visual"][:, 0, 0, 0, 0].sum()) for b in large.training_batches(number))

    expected = int((np.arange(ROWS) % 251).sum())
    assert epoch(0) == expected
    memory, handles = anonymous_memory(), len(os.listdir("/proc/self/fd"))
    for number in range(1, 4):
        assert epoch(number) == expected
    assert anonymous_memory() - memory < 16e6  # the data are 118 MB
    assert len(os.listdir("/proc/self/fd")) == handles
