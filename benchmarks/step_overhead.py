"""What a training step of each method costs, relative to joint training, with ResNet-18 encoders.

Claim: no method costs more than its passes explain; every method here runs each encoder once forward and once
backward, so the ratio should be near 1. The IPRM poster reports 57.0 / 55.1 = 1.035 seconds an epoch.
Run: python benchmarks/step_overhead.py [--device cuda:0] [--batch 8] [--steps 12]
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch

from curate.types import AudioSpec, MixtureFit, VisualSpec
from train import catalog
from train.data import Batch
from train.encoders import input_size
from train.engine import OptimConfig, Runtime
from train.method import Context, Method
from train.model import FusionModel, ModelConfig

SPECS = {"audio": AudioSpec(), "visual": VisualSpec(frames=1)}
CLASSES = [f"class {k}" for k in range(6)]


@dataclass
class Contestant:
    """One method with a model and an optimizer of its own."""

    name: str
    method: Method
    model: FusionModel
    optimizer: torch.optim.Optimizer
    seconds: list[float]


def contestant(name: str, device: torch.device) -> Contestant:
    """A method ready to step."""
    torch.manual_seed(0)
    model = FusionModel(SPECS, CLASSES, ModelConfig(encoder="resnet18"))
    kind = catalog.find(name)
    method = kind(kind.Config())
    method.attach(model, warm=False)
    fitted = MixtureFit(
        "gaussian",
        np.array([0.8, 0.2]),
        np.array([0.0, 0.6]),
        np.array([0.1, 0.2]),
        np.array([np.inf, np.inf]),
        0,
        "second_moment",
    )
    method.begin_epoch(model, 0, Context((fitted,)))
    model.to(device).train()
    return Contestant(name, method, model, OptimConfig().make(model), [])


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    device = Runtime(device=options.device).torch_device()
    n = options.batch
    batch = Batch(
        np.array([str(i) for i in range(n)]),
        {m: torch.randn(n, *input_size(s), device=device) for m, s in SPECS.items()},
        torch.arange(n, device=device) % len(CLASSES),
        torch.rand(n, 1, device=device),
    )
    contestants = [contestant(name, device) for name in catalog.names()]
    for step in range(options.steps + 2):  # two to warm up; the order turns, so that no method always follows another
        turn = step % len(contestants)
        for c in contestants[turn:] + contestants[:turn]:
            synchronize(device)
            started = time.perf_counter()
            c.method.step(c.model, c.optimizer, batch)
            synchronize(device)
            c.seconds.append(time.perf_counter() - started)
    joint = next(c for c in contestants if c.name == "joint").seconds[2:]
    print(
        f"ResNet-18 encoders, batch {n}, {device}, {options.steps} interleaved steps; "
        f"joint {statistics.median(joint):.3f} s"
    )
    for c in contestants:
        ratios = [a / b for a, b in zip(c.seconds[2:], joint, strict=True)]
        print(f"{c.name:<9} / joint = {statistics.median(ratios):.3f}   (median of paired ratios)")


if __name__ == "__main__":
    main()
