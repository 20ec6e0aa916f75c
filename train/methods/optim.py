"""How a run optimises: one configuration, and the optimizers made from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, StepLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from curate.config import LARGEST, check_within

TINY = 1e-30
"""The smallest number that counts as above 0."""


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Settings of optimisation; the defaults are the papers'.

    Attributes:
        optimizer: `sgd` or `adam`.
        lr: learning rate.
        momentum: of SGD.
        weight_decay: L2 penalty.
        batch_size: samples per step.
        step_size: epochs after which the learning rate is multiplied by `gamma`; 0 keeps it constant.
        gamma: that factor.
        ema: decay per step of the moving average of the weights, such as 0.99; the average is then validated, chosen
            and tested in place of the weights. 0 does not average.
    """

    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 2e-3
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch_size: int = 64
    step_size: int = 0
    gamma: float = 0.1
    ema: float = 0.0

    def __post_init__(self) -> None:
        below = 1 - 2**-53  # the largest number below one
        ranges = {"batch_size": (1, 1 << 20), "lr": (TINY, 1e6), "momentum": (0, below), "weight_decay": (0, 1e6)}
        check_within(self, "optim", {**ranges, "step_size": (0, LARGEST), "gamma": (TINY, 1e6), "ema": (0, below)})

    def make(self, model: nn.Module) -> Optimizer:
        """A fresh optimizer over every parameter of the model; a group for each encoder of `model.lr_scale`."""
        groups = getattr(model, "parameter_groups", None) if getattr(model, "factors", None) else None
        return self.over(groups(self.lr) if groups else model.parameters())

    def over(self, parameters: Iterable[Any]) -> Optimizer:
        """A fresh optimizer over some parameters, or parameter groups."""
        if self.optimizer == "adam":
            return Adam(parameters, self.lr, weight_decay=self.weight_decay)
        return SGD(parameters, self.lr, momentum=self.momentum, weight_decay=self.weight_decay)

    def schedule(self, optimizer: Optimizer) -> LRScheduler:
        """The run's schedule, stepped once an epoch."""
        return StepLR(optimizer, self.step_size or 10**9, self.gamma)

    def average(self, model: nn.Module) -> AveragedModel:
        """A new moving average of a model's weights and of its batch statistics.

        After each step w <- ema w + (1 - ema) theta, beginning at w = theta.
        """
        return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(self.ema), use_buffers=True)
