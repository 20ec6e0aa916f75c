"""What a training will take, measured before it begins: seconds an epoch and bytes of memory."""

from __future__ import annotations

import copy
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from curate.errors import CurateError, counted
from curate.files.machine import memory
from curate.render import duration
from curate.train.data.samples import RunData
from curate.train.models.model import FusionModel

from .engine import Trainer
from .memory import Kept, stored

FEW = 4
"""Samples of the trial step that measures memory."""
LONGEST_TRIAL = 3.0
"""Seconds that a trial may take; what a full batch takes is extrapolated from the largest that stays below it."""
COPIES = 4
"""Of the weights: themselves, gradients, the optimizer's state, and a copy on its way to a checkpoint."""
FORWARD = 1 / 3
"""Share of a step's time that a forward takes."""
CGROUP = Path("/sys/fs/cgroup/memory.max")
"""The limit of a container, where there is one."""


@dataclass(frozen=True)
class Estimate:
    """What a training will take, about.

    Attributes:
        step: seconds of one sample in a training step.
        memory: bytes, on the device.
    """

    step: float
    memory: int

    def seconds(self, trained: int, predicted: int) -> float:
        """Seconds for so many samples trained on, and so many predicted."""
        return self.step * (trained + FORWARD * predicted)

    def describe(self, trained: int, predicted: int, epochs: int) -> str:
        """A line on so many epochs, in each of which so many samples are trained on and so many predicted."""
        each = self.seconds(trained, predicted)
        memory = f"{self.memory / 1e9:.1f} GB" if self.memory >= 1e8 else f"{self.memory / 1e6:.0f} MB"
        total = duration(each * epochs)
        return (
            f"{counted(trained, 'sample')}, {counted(epochs, 'epoch')} "
            f"of about {each:.1f} s: about {total} and {memory} of memory"
        )


def estimate(trainer: Trainer, data: RunData) -> Estimate:
    """Try a plain step (cross-entropy of all logits) on a copy of the model; nothing of the training is changed.

    Memory is counted, not measured: weights `COPIES` times, and what a step keeps for its backward pass, which grows
    with the batch. Methods that go through a batch several times take longer.

    Raises:
        CurateError: it needs more memory than there is.
    """
    devices = [trainer.device] if trainer.device.type == "cuda" else []
    batch_size = min(data.batch_size, len(data.fit))
    with torch.random.fork_rng(devices=devices):
        model = copy.deepcopy(trainer.model).train()
        few = min(FEW, batch_size)
        seconds, saved = _step(trainer, model, data, few)
        weights = sum(p.numel() * p.element_size() for p in model.parameters())
        memory = COPIES * weights + saved * batch_size // few
        if memory > (there := available(trainer.device)):
            raise CurateError(
                f"a step of {counted(batch_size, 'sample')} "
                f"needs about {memory / 1e9:.1f} GB of memory, {there / 1e9:.1f} GB are "
                "there",
                "lower optim.batch_size, data.size or data.frames, or choose a smaller model.encoder",
            )
        seconds, count = _quicker(trainer, model, data, few), few  # the first one also loaded and planned
        while count < batch_size and 2 * seconds <= LONGEST_TRIAL:  # few samples cost more each than a full batch
            count = min(2 * count, batch_size)
            seconds = _quicker(trainer, model, data, count)
    return Estimate(seconds / count, memory)


def _quicker(trainer: Trainer, model: FusionModel, data: RunData, count: int) -> float:
    """Seconds of the quicker of two steps: another process can slow a short one down a hundredfold."""
    return min(_step(trainer, model, data, count)[0] for _ in range(2))


def _step(trainer: Trainer, model: FusionModel, data: RunData, count: int) -> tuple[float, int]:
    """Seconds of a step on the first samples, reading included, and bytes that it keeps for its backward pass."""
    started = time.perf_counter()
    raw = data.fit.__getitems__(range(count))
    trainer.transform.train()
    batch = trainer.transform(raw.to(trainer.device), 0)
    with Kept((*model.parameters(), *batch.inputs.values())) as kept:
        outputs = model(batch.inputs)
        logits = (outputs.fused, *outputs.logits.values())
        loss = torch.stack([F.cross_entropy(x, batch.labels) for x in logits]).sum()
    loss.backward()
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)
    model.zero_grad(set_to_none=True)
    return time.perf_counter() - started, kept.most + stored(batch.inputs.values())


def available(device: torch.device) -> int:
    """Bytes of memory that a training may take: what is free on a GPU, what the machine or its container has else."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    there = memory() or sys.maxsize
    limit = CGROUP.read_text(encoding="ascii").strip() if CGROUP.exists() else ""
    return min(there, int(limit)) if limit.isdigit() else there
