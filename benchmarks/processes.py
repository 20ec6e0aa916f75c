"""Two processes with one thread each against one process with two threads, in training and in scoring.

Claim: at least 0.9 of the throughput. The workload is ResNet-18 on spectrograms and on one picture of 224x224, from
stored bytes on: transforms, augmentation, forward, backward, reduction of gradients, SGD step; in scoring transforms,
forward and softmax. Steps of the two are taken in turn, and their medians compared, so both see the same machine.
It also prints the bytes that a step moves between two processes, and how far the two sets of weights are apart.
Run: python benchmarks/processes.py [--batch 16] [--steps 6] [--processes 2]
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import time
from collections.abc import Callable

os.environ.pop("OMP_NUM_THREADS", None)

import numpy as np
import torch

from curate.specs import AudioSpec, InputSpec, VisualSpec
from curate.train.data.samples import Batch, BatchTransform
from curate.train.loop.launch import Launched
from curate.train.loop.processes import Team
from curate.train.methods import catalog
from curate.train.methods.optim import OptimConfig
from curate.train.models.model import FusionModel, ModelConfig

SPECS: dict[str, InputSpec] = {"audio": AudioSpec(), "visual": VisualSpec(frames=1)}
CLASSES = [f"class {k}" for k in range(6)]


def stored(size: int) -> Batch:
    """Samples as the cache has them."""
    rng = np.random.default_rng(0)
    sound = rng.integers(-8000, 8000, (size, *SPECS["audio"].shape), dtype=np.int16)
    pictures = rng.integers(0, 255, (size, *SPECS["visual"].shape), dtype=np.uint8)
    inputs = {"audio": torch.from_numpy(sound), "visual": torch.from_numpy(pictures)}
    return Batch(np.array([f"s{i}" for i in range(size)]), inputs, torch.arange(size) % len(CLASSES))


class Runner:
    """A model with its optimizer, in some processes of some threads each."""

    def __init__(self, model: FusionModel, team: Team | None, threads: int) -> None:
        self.model, self.threads, self.seconds = model, threads, {"training": [], "scoring": []}
        model.spread = team
        self.method = catalog.find("joint")()
        self.optimizer = self.method.optimizer(model, OptimConfig(lr=1e-3))
        self.transform = BatchTransform(SPECS, "none")

    def timed(self, what: str, batch: Batch, number: int) -> None:
        """Take a step, and keep its seconds."""
        torch.set_num_threads(self.threads)
        run: Callable[[Batch, int], None] = getattr(self, what)
        started = time.perf_counter()
        run(batch, number)
        self.seconds[what].append(time.perf_counter() - started)

    def training(self, batch: Batch, number: int) -> None:
        self.model.train()
        self.transform.train()
        self.method.step(self.model, self.optimizer, self.transform(batch, number))

    @torch.no_grad()
    def scoring(self, batch: Batch, number: int) -> None:
        self.model.eval()
        self.transform.eval()
        self.method.forward(self.model, self.transform(batch).inputs).fused.double().softmax(dim=1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.processes)
    torch.manual_seed(0)
    model, batch = FusionModel(SPECS, CLASSES, ModelConfig(encoder="resnet18")), stored(options.batch)
    team = Team(options.processes, Launched(options.processes))
    one = Runner(copy.deepcopy(model), None, options.processes)
    several = Runner(model, team, 1)
    try:
        for what in ("training", "scoring"):
            for number in range(options.steps + 1):  # the first to warm up
                for runner in (one, several) if number % 2 else (several, one):
                    runner.timed(what, batch, number)
    finally:
        team.close()
    print(f"{options.batch} samples a step, {options.steps} steps; 1-minute load {os.getloadavg()[0]:.1f}")
    print(f"{'':<9} {'one process':>12} {f'{options.processes} processes':>12}  throughput")
    for what in ("training", "scoring"):
        a, b = (statistics.median(r.seconds[what][1:]) for r in (one, several))
        print(f"{what:<9} {a:>10.2f} s {b:>10.2f} s  {a / b:.2f} of one process")
    weights = sum(p.numel() * p.element_size() for p in model.encoders.parameters())
    print(f"a training step moves {2 * weights / 1e6:.0f} MB between two processes: weights, and their gradients")
    pairs = zip(one.model.parameters(), model.parameters(), strict=True)
    apart = max(float((p - q).detach().abs().max()) for p, q in pairs)
    print(f"weights differ by at most {apart:.1e}")


if __name__ == "__main__":
    main()
