"""Two processes with one thread each against one process with two threads, in training and in scoring.

Claim: at least 0.9 of the throughput. The workload is ResNet-18 on spectrograms and on one picture of 224x224, from
stored bytes on: transforms, augmentation, forward, backward, reduction of gradients, SGD step; in scoring transforms,
forward and softmax. Steps of the two are taken in turn, and their medians compared, so both see the same machine.
It also prints the bytes that a step moves between two processes, and how far the two sets of weights are apart; and,
from these bytes and the seconds of a step's parts, a projection to 64 processes over links of stated speed. A
projection is no measurement: it has one process's encoders P times as fast in P, and transfers that overlap with
nothing. The picture of docs/howto/processes.md is drawn from such a run.
With --sharded the encoders' weights are divided among the processes: no claim on the time; it prints the bytes of each.
Run: python benchmarks/processes.py [--batch 16] [--steps 6] [--processes 2] [--picture FILE.svg] [--sharded]
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

os.environ.pop("OMP_NUM_THREADS", None)

import numpy as np
import torch
from matplotlib.figure import Figure

from curate.specs import AudioSpec, InputSpec, VisualSpec
from curate.train.data.samples import Batch, BatchTransform
from curate.train.loop.divided import blocks, rows
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


LINKS = {"1 Gb/s": (0.125e9, 100e-6), "10 Gb/s": (1.25e9, 50e-6), "100 Gb/s": (12.5e9, 10e-6)}
"""{name: (bytes a second, seconds a message)}, of the connection of each process."""
COUNTS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Step:
    """The parts of a training step of one process.

    Attributes:
        encoders, rest: s; the rest, transforms and optimizer, stays in the first process.
        weights, inputs: bytes of the encoders' weights, and of a batch as they get it.
    """

    encoders: float
    rest: float
    weights: float
    inputs: float

    def projected(self, processes: int, speed: float, delay: float) -> float:
        """Seconds of the same step in several processes.

        Weights reach all of them, and gradients come back, in rings, which takes the time of one transfer; a slice of
        the batch goes to each.
        """
        if processes == 1:
            return self.encoders + self.rest
        moved = 2 * self.weights + self.inputs * (processes - 1) / processes
        return self.encoders / processes + self.rest + moved / speed + 3 * delay * (processes - 1)


def parts(runner: Runner, batch: Batch, whole: float, steps: int) -> Step:
    """The parts of a step that takes `whole` seconds."""
    torch.set_num_threads(runner.threads)
    seconds: dict[str, list[float]] = {"transform": [], "optimizer": []}
    for number in range(steps):
        started = time.perf_counter()
        given = runner.transform(batch, number)
        seconds["transform"].append(time.perf_counter() - started)
        started = time.perf_counter()
        runner.optimizer.step()
        seconds["optimizer"].append(time.perf_counter() - started)
    rest = sum(statistics.median(s) for s in seconds.values())
    weights = sum(p.numel() * p.element_size() for p in runner.model.encoders.parameters())
    inputs = sum(x.numel() * x.element_size() for x in given.inputs.values())
    return Step(whole - rest, rest, weights, inputs)


def print_parts(team: Team, model: FusionModel, weights: int) -> None:
    """Print how much of the weights each process has, and of which block all are together while it runs."""
    assert team.copy is not None
    part = sum(rows(p).numel() * p.element_size() for p in team.copy.model.encoders.parameters())
    sizes, seen = [], set[int]()
    for encoder in model.encoders.children():
        for block in (*blocks(encoder), encoder):
            own = [p for p in block.parameters() if id(p) not in seen]
            seen |= set(map(id, own))
            sizes.append(sum(p.numel() * p.element_size() for p in own))
    print(
        f"each process has {part / 1e6:.0f} of {weights / 1e6:.0f} MB of the encoders' weights, {part / weights:.2f}; "
        f"the largest block has {max(sizes) / 1e6:.0f} MB"
    )


def drawn(step: Step, batch: int, path: str) -> None:
    """The projection as a picture."""
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(COUNTS, COUNTS, color="#8a9199", linestyle=":", label="as many times as processes")
    for name, link in LINKS.items():
        axes.plot(COUNTS, [step.projected(1, *link) / step.projected(c, *link) for c in COUNTS], "o-", label=name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(COUNTS, [str(c) for c in COUNTS])
    axes.set_yticks(COUNTS, [str(c) for c in COUNTS])
    axes.set(
        xlabel="processes",
        ylabel="times as fast as one",
        title=f"Projection, not measured: {batch} samples a step,\n{step.encoders + step.rest:.1f} s in one process",
    )
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--picture", help="an SVG file for the projection")
    parser.add_argument("--sharded", action="store_true", help="divide the encoders' weights")
    options = parser.parse_args()
    torch.set_num_threads(options.processes)
    torch.manual_seed(0)
    model, batch = FusionModel(SPECS, CLASSES, ModelConfig(encoder="resnet18")), stored(options.batch)
    team = Team(options.processes, Launched(options.processes))
    one = Runner(copy.deepcopy(model), None, options.processes)
    model.config = replace(model.config, sharded=options.sharded)
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
    if not options.sharded:
        print(f"a training step moves {2 * weights / 1e6:.0f} MB between two processes: weights, and their gradients")
    pairs = zip(one.model.parameters(), model.parameters(), strict=True)
    apart = max(float((p - q).detach().abs().max()) for p, q in pairs)
    print(f"weights differ by at most {apart:.1e}")
    if options.sharded:
        print_parts(team, model, weights)
        return
    step = parts(one, batch, statistics.median(one.seconds["training"][1:]), options.steps)
    print(f"{step}\nprojection: times as fast as one process, by link\n{'processes':>9}  {'  '.join(LINKS)}")
    for count in COUNTS:
        gains = [step.projected(1, *link) / step.projected(count, *link) for link in LINKS.values()]
        print(f"{count:>9}  " + "  ".join(f"{g:>{len(n)}.1f}" for g, n in zip(gains, LINKS, strict=True)))
    if options.picture:
        drawn(step, options.batch, options.picture)


if __name__ == "__main__":
    main()
