"""What recording costs: of a training step, and of reading many recorded rows against DuckDB's own scan of the files.

    python benchmarks/recorder.py [--batch 64] [--rows 1000000] [--classes 10]

Prints the time of `Recorder.add` as a share of a ResNet-18 step on 224 x 224 pictures (bound: 2 %), the time to read a
recorded folder as predictions as a multiple of DuckDB's scan of the same Parquet files into arrays, and the time to
read, check and score it as a multiple of that scan and the fit to ready probabilities (aim: 1.5). Nothing is stored.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import torch
import torch.nn.functional as F
from torchvision.models import resnet18

from curate.predictions.align import align
from curate.predictions.recorded import read_recorded
from curate.predictions.score import fit_newest
from curate.scores.scoring import MixtureConfig, fit_round
from curate.torch import Recorder

MODALITIES = ("audio", "visual")
ROUNDS = 5


def recording(batch: int) -> float:
    """Seconds of recording a batch over seconds of a step, both the best of some."""
    classes = [f"class {k}" for k in range(10)]
    model, labels = resnet18(num_classes=10), torch.arange(batch) % 10
    optimizer, pictures = torch.optim.SGD(model.parameters(), 0.1), torch.randn(batch, 3, 224, 224)
    ids, trained, recorded = [f"sample {i}" for i in range(batch)], [], []
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(folder, classes)
        with recorder.epoch():
            for _ in range(3):
                begin = time.perf_counter()
                logits = model(pictures)
                optimizer.zero_grad()
                F.cross_entropy(logits, labels).backward()
                optimizer.step()
                between = time.perf_counter()
                recorder.add(ids, labels, dict.fromkeys(MODALITIES, logits))
                trained.append(between - begin)
                recorded.append(time.perf_counter() - between)
    return min(recorded) / min(trained)


def reading(rows: int, classes: int) -> tuple[float, float]:
    """Of a recorded epoch, each the best of some: reading over a scan, and scoring over the scan and the fit."""
    names, rng = [f"class {k}" for k in range(classes)], np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(folder, names)
        with recorder.epoch():
            for start in range(0, rows, 50_000):
                count = min(50_000, rows - start)
                logits = {m: rng.normal(size=(count, classes)) for m in MODALITIES}
                recorder.add([f"s{start + i:08}" for i in range(count)], np.arange(count) % classes, logits)
        (predictions,) = align([read_recorded(Path(folder))]).rounds
        taken: dict[str, list[float]] = {"scan": [], "read": [], "fit": [], "score": []}
        for _ in range(ROUNDS):
            taken["scan"].append(seconds(scan, folder))
            taken["read"].append(seconds(read_recorded, Path(folder)))
            taken["fit"].append(seconds(fit_round, predictions, MixtureConfig()))
            taken["score"].append(seconds(fit_newest, [folder], {}))
    best = {name: min(several) for name, several in taken.items()}
    return best["read"] / best["scan"], best["score"] / (best["scan"] + best["fit"])


def scan(folder: str) -> None:
    """DuckDB's own reading of all columns into arrays."""
    with duckdb.connect() as con:
        con.execute(f"SELECT * FROM read_parquet('{folder}/*.parquet')").fetchnumpy()


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - begin


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=10)
    options = parser.parse_args()
    print(f"recording a batch of {options.batch}: {recording(options.batch):.2%} of a ResNet-18 step (bound 2 %)")
    read, scored = reading(options.rows, options.classes)
    print(f"reading {options.rows} recorded rows: {read:.2f} of DuckDB's own scan")
    print(f"reading and scoring them: {scored:.2f} of the scan and the fit (aim 1.5)")


if __name__ == "__main__":
    main()
