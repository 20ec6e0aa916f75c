"""A shuffled epoch of decoded media: from the cache's memory maps, and from files that other tools read as well.

Claim: none is as fast as the memory map, which training therefore reads; the fastest of them has at least 0.6 of its
rate, where 0.8 is wanted. Tried are tar files in their order, as `export --to webdataset` writes them; Parquet, whose
row groups are read in random order through a buffer; and Lance, whose rows are read at random. What is not installed is
left out. The files are read from disk: the operating system is asked to forget them before each epoch. Every epoch
gives batches of stacked arrays, each sample once. Each is run three times, in turn, and the median counts.
Run: python benchmarks/shards.py [--samples 1000] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from curate.specs import AudioSpec, InputSpec, VisualSpec

SPECS: Mapping[str, InputSpec] = {"audio": AudioSpec(), "visual": VisualSpec(frames=3)}
BATCH, SHARD, GROUP, BUFFER, TURNS = 32, 128, 32, 256, 3
"""Samples of a batch, of a tar file, of a row group, of the buffer from which they are drawn; epochs."""

Batches = Iterator[dict[str, np.ndarray]]


def array(modality: str, sample: int) -> np.ndarray:
    """What the cache would hold of a sample: noise, which nothing compresses."""
    spec = SPECS[modality]
    size = int(np.prod(spec.shape)) * spec.dtype.itemsize
    return _array(modality, np.random.default_rng([sample, *modality.encode()]).bytes(size))


def drawn(samples: Iterator[dict[str, np.ndarray]], rng: np.random.Generator) -> Batches:
    """Batches of samples that come in some order, drawn at random from a buffer of `BUFFER`."""
    buffer: list[dict[str, np.ndarray]] = []

    def batch(of: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {m: np.stack([s[m] for s in of]) for m in SPECS}

    for sample in samples:
        buffer.append(sample)
        if len(buffer) >= BUFFER + BATCH:
            buffer = [buffer[i] for i in rng.permutation(len(buffer))]
            yield batch(buffer[:BATCH])
            del buffer[:BATCH]
    buffer = [buffer[i] for i in rng.permutation(len(buffer))]
    for start in range(0, len(buffer), BATCH):
        yield batch(buffer[start : start + BATCH])


class MemoryMaps:
    """As the cache: an array a modality, its rows read at random."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        for m, spec in SPECS.items():
            out = np.lib.format.open_memmap(folder / f"{m}.npy", "w+", spec.dtype, (count, *spec.shape))
            for i in range(count):
                out[i] = array(m, i)
            out.flush()

    def epoch(self, rng: np.random.Generator) -> Batches:
        arrays = {m: np.load(self.folder / f"{m}.npy", mmap_mode="r") for m in SPECS}
        order = rng.permutation(self.count)
        for start in range(0, self.count, BATCH):
            rows = np.sort(order[start : start + BATCH])
            yield {m: a[rows] for m, a in arrays.items()}


class Tars:
    """Tar files, each read from its beginning to its end, in a random order of files."""

    def __init__(self, folder: Path, count: int) -> None:
        for start in range(0, count, SHARD):
            with tarfile.open(folder / f"{start:06d}.tar", "w") as archive:
                for i in range(start, min(start + SHARD, count)):
                    for m in SPECS:
                        content = io.BytesIO()
                        np.save(content, array(m, i), allow_pickle=False)
                        entry = tarfile.TarInfo(f"{i:09d}.{m}.npy")
                        entry.size = content.tell()
                        content.seek(0)
                        archive.addfile(entry, content)
        self.paths = sorted(str(p) for p in folder.glob("*.tar"))

    def epoch(self, rng: np.random.Generator) -> Batches:
        import webdataset

        found = webdataset.WebDataset(list(rng.permutation(self.paths)), shardshuffle=False).decode()
        yield from drawn(({m: s[f"{m}.npy"] for m in SPECS} for s in found), rng)


class Parquet:
    """One Parquet file of small row groups, read in random order."""

    def __init__(self, folder: Path, count: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([(m, pa.binary()) for m in SPECS])
        self.path = folder / "media.parquet"
        with pq.ParquetWriter(self.path, schema, compression="none", use_dictionary=False) as writer:
            for start in range(0, count, GROUP):
                rows = range(start, min(start + GROUP, count))
                writer.write_table(pa.table({m: [array(m, i).tobytes() for i in rows] for m in SPECS}, schema))

    def epoch(self, rng: np.random.Generator) -> Batches:
        import pyarrow.parquet as pq

        file = pq.ParquetFile(self.path)

        def samples() -> Iterator[dict[str, np.ndarray]]:
            for group in rng.permutation(file.num_row_groups):
                table = file.read_row_group(int(group))
                for i in range(len(table)):
                    yield {m: _array(m, memoryview(table[m][i].as_buffer())) for m in SPECS}

        yield from drawn(samples(), rng)


class Lance:
    """A Lance data set, its rows read at random."""

    def __init__(self, folder: Path, count: int) -> None:
        import lance
        import pyarrow as pa

        schema = pa.schema([(m, pa.large_binary()) for m in SPECS])

        def tables() -> Iterator[pa.RecordBatch]:
            for start in range(0, count, GROUP):
                rows = range(start, min(start + GROUP, count))
                columns = [pa.array([array(m, i).tobytes() for i in rows], pa.large_binary()) for m in SPECS]
                yield pa.record_batch(columns, schema=schema)

        self.count, self.path = count, str(folder / "media.lance")
        lance.write_dataset(pa.RecordBatchReader.from_batches(schema, tables()), self.path)

    def epoch(self, rng: np.random.Generator) -> Batches:
        import lance

        found, order = lance.dataset(self.path), rng.permutation(self.count)
        for start in range(0, self.count, BATCH):
            table = found.take(order[start : start + BATCH].tolist())
            yield {m: np.stack([_array(m, memoryview(x.as_buffer())) for x in table[m]]) for m in SPECS}


def _array(modality: str, content: bytes | memoryview) -> np.ndarray:
    spec = SPECS[modality]
    return np.frombuffer(content, spec.dtype).reshape(spec.shape)


FORMS: Mapping[str, tuple[Callable[[Path, int], MemoryMaps | Tars | Parquet | Lance], str]] = {
    "memory map": (MemoryMaps, "numpy"),
    "tar, WebDataset": (Tars, "webdataset"),
    "Parquet": (Parquet, "pyarrow"),
    "Lance": (Lance, "lance"),
}
"""{name: (its class, the module that it needs)}."""


def forget(folder: Path) -> None:
    """Ask the operating system to keep none of these files in memory."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where the files are made and removed")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as place:
        made: dict[str, tuple[Path, MemoryMaps | Tars | Parquet | Lance]] = {}
        for number, (name, (form, module)) in enumerate(FORMS.items()):
            if find_spec(module) is None:
                print(f"{name}: {module} is not installed")
                continue
            folder = Path(place) / str(number)
            folder.mkdir()
            made[name] = folder, form(folder, chosen.samples)
        seconds: dict[str, list[float]] = {name: [] for name in made}
        expected = sum(int(array("audio", i)[0]) for i in range(chosen.samples))
        for turn in range(TURNS):
            for name, (folder, form) in made.items():
                forget(folder)
                began, seen = time.perf_counter(), 0
                for batch in form.epoch(np.random.default_rng(turn)):
                    seen += int(batch["audio"][:, 0].astype(np.int64).sum())
                seconds[name].append(time.perf_counter() - began)
                assert seen == expected, f"{name} did not read each sample once"
        size = sum(s.dtype.itemsize * int(np.prod(s.shape)) for s in SPECS.values())
        print(f"{chosen.samples} samples of {size / 1e6:.2f} MB; 1-minute load {os.getloadavg()[0]:.1f}")
        first = statistics.median(seconds["memory map"])
        for name, own in seconds.items():
            took = statistics.median(own)
            print(f"{name:<16} {chosen.samples / took:>8.0f} samples/s  {first / took:.2f} of the memory map")


if __name__ == "__main__":
    main()
