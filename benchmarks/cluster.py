"""Clips decoded a second by a Ray cluster on this machine against plain processes: `python benchmarks/cluster.py`.

Both get the same number of cores. An engine is measured from its first results to its last, because starting takes
seconds that do not grow with the data; the whole time, start included, stands beside it. The arrays are compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import wave
from pathlib import Path

import numpy as np
from PIL import Image

from curate.datasets.cache import prepare
from curate.datasets.cluster import ENGINES
from curate.datasets.manifest import Manifest


def write_clips(folder: Path, count: int, rate: int = 16_000, seconds: float = 1.0, side: int = 64) -> Path:
    """A manifest of tones and pictures of noise."""
    rng, lines = np.random.default_rng(0), ["sample_id,label,audio,visual"]
    time_axis = np.arange(round(rate * seconds)) / rate
    for i in range(count):
        with wave.open(str(folder / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes((9000 * np.sin(2 * np.pi * (200 + i) * time_axis)).astype("<i2").tobytes())
        Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(folder / f"{i}.jpg")
        lines.append(f"s{i:05},{'ab'[i % 2]},{i}.wav,{i}.jpg")
    path = folder / "clips.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = Manifest(write_clips(folder, given.clips), Manifest.Options())
        rates: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        arrays = {}
        for repeat in range(given.repeats):
            for engine, decode in ENGINES.items():
                seen: list[tuple[float, int]] = []
                begin = time.perf_counter()
                made = prepare(
                    data,
                    folder / f"{engine}-{repeat}",
                    given.workers,
                    lambda done, total, seen=seen: seen.append((time.perf_counter(), done)),
                    engine=decode,
                )
                whole = time.perf_counter() - begin
                (first, had), (last, all_of_them) = seen[1], seen[-1]
                rates[engine].append((all_of_them - had) / (last - first))
                arrays[engine] = made.arrays
                rate = f"{rates[engine][-1]:7.0f} clips/s after the first"
                print(f"{engine:10} {rate}; {whole:6.1f} s in all", flush=True)
        equal = all(np.array_equal(arrays["ray"][m], arrays["processes"][m]) for m in arrays["ray"])
        ratio = float(np.median(rates["ray"]) / np.median(rates["processes"]))
        print(f"ray / processes: {ratio:.2f} of the rate (medians of {given.repeats}); arrays equal: {equal}")


if __name__ == "__main__":
    main()
