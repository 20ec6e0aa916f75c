"""The cost of a training step of each method, relative to joint training, compared with its encoder passes.

Claim: no method costs more than its passes explain, within 5 %. A method's passes are counted by hooks on the encoders,
in shares of joint training's: one forward through every encoder is 1, one backward is 1. The explained cost is that of
the same passes in joint training, timed here: forward share x forward time + backward share x backward time + the rest
of a joint step. Work outside a method's steps (G-Blend's probes, passes over the data between epochs) is not counted.
Joint training runs twice, the second time as `noise`, to show how much two runs of the same thing differ here. A method
whose steps differ by epoch is timed in each kind of its epochs. The process keeps its memory between steps (`KEEP`):
releasing and allocating it again costs more, and varies more, than what is measured.
Run: python benchmarks/step_overhead.py [--device cuda:0] [--encoder resnet18] [--batch 8] [--steps 12] [--only NAME]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from curate.specs import AudioSpec, InputSpec, VisualSpec
from curate.train.data.samples import Batch
from curate.train.loop.engine import Runtime
from curate.train.methods import catalog
from curate.train.methods.method import Context, Method
from curate.train.methods.optim import OptimConfig
from curate.train.models.encoders import input_size
from curate.train.models.model import FusionModel, ModelConfig
from curate.types import MixtureFit

SPECS: Mapping[str, Mapping[str, InputSpec]] = {
    "resnet18": {"audio": AudioSpec(), "visual": VisualSpec(frames=1)},
    "small_cnn": {
        "audio": AudioSpec(rate=8000, seconds=1.0, n_fft=256, hop=256, n_mels=32, fill="pad", standardize=True),
        "visual": VisualSpec(frames=1, size=32, channels=1, augment="none"),
    },
}
CLASSES = [f"class {k}" for k in range(6)]
EPOCHS: Mapping[str, Mapping[str, int]] = {"reconboost": {"alone": 0, "all": 4}}
"""Epochs to time for methods whose steps differ by epoch; for all others it is the first."""
NOISE = "noise"
KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(10**11)}
"""Environment variables of glibc, read when a process starts."""


@dataclass
class Contestant:
    """One method with a model and an optimizer of its own.

    Attributes:
        seconds: of every step.
        passes: encoder forwards and backwards of the counted step, in shares of a step of joint training.
    """

    name: str
    method: Method
    model: FusionModel
    optimizer: torch.optim.Optimizer
    seconds: list[float] = field(default_factory=list)
    passes: tuple[float, float] = (0.0, 0.0)


class Fixed:
    """A method's view of the data that has only one batch."""

    steps = 1

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def ordered(self, split: str = "fit") -> Iterator[Batch]:
        return iter([self.batch])

    def shuffled(self, *key: int) -> Iterator[Batch]:
        return iter([self.batch])


def contestant(label: str, name: str, epoch: int, encoder: str, batch: Batch) -> Contestant:
    """A method ready to step in an epoch of a run of 40."""
    torch.manual_seed(0)
    kind = catalog.find(name)
    fusion = kind.fusion or "concat"
    model = FusionModel(SPECS[encoder], CLASSES, ModelConfig(encoder=encoder, fusion=fusion))
    method = kind(kind.Config())
    method.attach(model, warm=False)
    model.to(batch.labels.device)
    optimizer = method.optimizer(model, OptimConfig())
    fitted = MixtureFit(
        "gaussian",
        np.array([0.8, 0.2]),
        np.array([0.0, 0.6]),
        np.array([0.1, 0.2]),
        np.array([np.inf, np.inf]),
        0,
        "second_moment",
    )
    context = Context((fitted,), epochs=40, data=Fixed(batch), optimizer=optimizer)
    method.begin_epoch(model, epoch, context)
    model.train()
    return Contestant(label, method, model, optimizer)


def step(c: Contestant, batch: Batch, device: torch.device) -> float:
    """Seconds of one step."""
    synchronize(device)
    started = time.perf_counter()
    c.method.step(c.model, c.optimizer, batch)
    synchronize(device)
    seconds = time.perf_counter() - started
    c.optimizer.zero_grad(set_to_none=True)  # outside the time; gradients of all methods at once fill the memory
    return seconds


def counted(c: Contestant, batch: Batch) -> tuple[float, float]:
    """Forward and backward passes of one step, the mean over encoders.

    A hook on an output is called when its gradient is complete, once per backward through that forward, just before the
    backward pass enters the encoder. Staged encoders are counted at their last stage.
    """
    forwards = backwards = 0

    def passed(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal forwards
        forwards += 1
        if output.requires_grad:
            output.register_hook(returned)

    def returned(gradient: torch.Tensor) -> None:
        nonlocal backwards
        backwards += 1

    hooks = [last_module(e).register_forward_hook(passed) for e in c.model.encoders.values()]
    c.method.step(c.model, c.optimizer, batch)
    for hook in hooks:
        hook.remove()
    return forwards / len(hooks), backwards / len(hooks)


def last_module(encoder: torch.nn.Module) -> torch.nn.Module:
    """The pooling at an encoder's end, which every pass uses, whether it is run whole or in stages."""
    return [m for m in encoder.modules() if isinstance(m, torch.nn.AdaptiveAvgPool2d)][-1]


def joint_parts(c: Contestant, batch: Batch, device: torch.device, steps: int) -> tuple[float, float, float]:
    """Median seconds of joint training's forward through the encoders, its backward, and the rest of its step."""
    forward, backward, whole = [], [], []
    for _ in range(steps):
        begun = [clock(device)]
        features = c.model.encode(batch.inputs)
        begun.append(clock(device))
        leaves = [f.detach() for f in features.values()]
        torch.autograd.backward(list(features.values()), [torch.ones_like(f) for f in leaves])
        begun.append(clock(device))
        forward.append(begun[1] - begun[0])
        backward.append(begun[2] - begun[1])
        whole.append(step(c, batch, device))
    parts = statistics.median(forward), statistics.median(backward)
    return *parts, max(statistics.median(whole) - sum(parts), 0.0)


def clock(device: torch.device) -> float:
    """The time now, after the device has finished."""
    synchronize(device)
    return time.perf_counter()


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleaved(contestants: list[Contestant], steps: int, take: Callable[[Contestant], float]) -> None:
    """Time steps of all in turn; the order rotates, so that no method always follows the same other one."""
    for number in range(steps + 2):  # two to warm up
        turn = number % len(contestants)
        for c in contestants[turn:] + contestants[:turn]:
            c.seconds.append(take(c))
    for c in contestants:
        del c.seconds[:2]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="auto")
    parser.add_argument("--encoder", choices=sorted(SPECS), default="resnet18")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these methods, beside joint")
    options = parser.parse_args()
    if not os.environ.keys() >= KEEP.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEEP})
    device = Runtime(device=options.device).torch_device()
    n = options.batch
    batch = Batch(
        np.array([str(i) for i in range(n)]),
        {m: torch.randn(n, *input_size(s), device=device) for m, s in SPECS[options.encoder].items()},
        torch.arange(n, device=device) % len(CLASSES),
        torch.rand(n, 1, device=device),
        torch.rand(n, len(SPECS[options.encoder]), device=device),
    )
    names = [n for n in catalog.names() if not options.only or n in (*options.only, "joint")]
    entries = [
        (" ".join(filter(None, (name, kind))), name, epoch)
        for name in names
        for kind, epoch in EPOCHS.get(name, {"": 0}).items()
    ]
    contestants = [contestant(*entry, options.encoder, batch) for entry in [*entries, (NOISE, "joint", 0)]]
    for c in contestants:
        c.passes = counted(c, batch)
    interleaved(contestants, options.steps, lambda c: step(c, batch, device))
    joint = next(c for c in contestants if c.name == "joint")
    forward, backward, rest = joint_parts(joint, batch, device, options.steps)
    print(
        f"{options.encoder}, batch {n}, {device}, {options.steps} interleaved steps; joint "
        f"{1000 * statistics.median(joint.seconds):.1f} ms = forward {1000 * forward:.1f} + backward "
        f"{1000 * backward:.1f} + rest {1000 * rest:.1f}"
    )
    print(f"{'method':<18} {'forward':>8} {'backward':>9} {'time':>7} {'explained':>10} {'beyond':>8}")
    for c in contestants:
        ratio = statistics.median(a / b for a, b in zip(c.seconds, joint.seconds, strict=True))
        there, back = c.passes
        explained = (there * forward + back * backward + rest) / (forward + backward + rest)
        print(
            f"{c.name:<18} {there:>8.2f} {back:>9.2f} {ratio:>7.3f} {explained:>10.3f} {ratio / explained - 1:>+8.1%}"
        )
    print("time and explained: a step over joint's, medians of paired ratios; the claim is beyond <= +5 %")


if __name__ == "__main__":
    main()
