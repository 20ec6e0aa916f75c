"""How a run optimises: one configuration, and the optimizers made from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, StepLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from curate.config import LARGEST, check_within

TINY = 1e-30
"""The smallest number that counts as above 0."""


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Settings of optimisation; the defaults are the papers'.

    Attributes:
        optimizer: `sgd`, `adam` or `adamw`.
        lr: learning rate.
        momentum: of SGD.
        weight_decay: L2 penalty; with `adamw` decoupled from the gradient, and not of biases, norms and other vectors.
        batch_size: samples per batch.
        accumulate: batches per step; the step takes the mean of their gradients. 1 steps after each batch.
        clip: largest norm of all gradients of a step together; longer ones are shortened to it. 0 clips nothing.
        schedule: `step` by `step_size` and `gamma`, or `cosine`, which falls to 0 at the end of the run.
        warmup: epochs, or a part of one, over which the learning rate rises linearly at the start.
        step_size: epochs after which the learning rate is multiplied by `gamma`; 0 keeps it constant.
        gamma: that factor.
        ema: decay per step of the moving average of the weights, such as 0.99; the average is then validated, chosen
            and tested in place of the weights. 0 does not average.
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = 2e-3
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch_size: int = 64
    accumulate: int = 1
    clip: float = 0.0
    schedule: Literal["step", "cosine"] = "step"
    warmup: float = 0.0
    step_size: int = 0
    gamma: float = 0.1
    ema: float = 0.0

    def __post_init__(self) -> None:
        below = 1 - 2**-53  # the largest number below one
        ranges = {"batch_size": (1, 1 << 20), "lr": (TINY, 1e6), "momentum": (0, below), "weight_decay": (0, 1e6)}
        ranges |= {"accumulate": (1, 1 << 20), "clip": (0, 1e30), "warmup": (0, 1e6)}
        check_within(self, "optim", {**ranges, "step_size": (0, LARGEST), "gamma": (TINY, 1e6), "ema": (0, below)})

    def make(self, model: nn.Module) -> Optimizer:
        """A fresh optimizer over every parameter of the model; a group for each encoder of `model.lr_scale`."""
        groups = getattr(model, "parameter_groups", None) if getattr(model, "factors", None) else None
        return self.over(groups(self.lr) if groups else model.parameters())

    def over(self, parameters: Iterable[Any]) -> Optimizer:
        """A fresh optimizer over some parameters, or parameter groups."""
        if self.optimizer == "adamw":
            return AdamW(_without_decay_of_vectors(parameters), self.lr, weight_decay=self.weight_decay)
        if self.optimizer == "adam":
            return Adam(parameters, self.lr, weight_decay=self.weight_decay)
        return SGD(parameters, self.lr, momentum=self.momentum, weight_decay=self.weight_decay)

    def scheduler(self, optimizer: Optimizer) -> LRScheduler:
        """The schedule `step`, stepped once an epoch; constant if the schedule is another."""
        return StepLR(optimizer, self.step_size if self.step_size and self.schedule == "step" else 10**9, self.gamma)

    @property
    def by_step(self) -> bool:
        """Whether the learning rate also changes within an epoch, by `factor`."""
        return self.schedule == "cosine" or self.warmup > 0

    def factor(self, done: float, total: float, step: float) -> float:
        """Factor of the learning rate in the step that begins after `done` of `total` epochs; in (0, 1].

        Linear warm-up times half a cosine: min(1, (done + step) / warmup) * (1 + cos(pi done / total)) / 2.

        Args:
            step: the part of an epoch that one step is.
        """
        rise = min(1.0, (done + step) / self.warmup) if self.warmup else 1.0
        return rise * (1 + math.cos(math.pi * done / total)) / 2 if self.schedule == "cosine" else rise

    def average(self, model: nn.Module) -> AveragedModel:
        """A new moving average of a model's weights and of its batch statistics.

        After each step w <- ema w + (1 - ema) theta, beginning at w = theta.
        """
        return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(self.ema), use_buffers=True)


def _without_decay_of_vectors(parameters: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Each parameter group as two: matrices and kernels, and what has fewer than two axes, without decay."""
    given = list(parameters)
    for group in given if given and isinstance(given[0], dict) else [{"params": given}]:
        members = list(group["params"])
        yield {**group, "params": [p for p in members if p.ndim > 1]}
        yield {**group, "params": [p for p in members if p.ndim < 2], "weight_decay": 0.0}
