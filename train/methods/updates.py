"""What happens between the gradients that a method made and a step of its optimizer."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer

from curate.train.models.precision import Precision

from .optim import OptimConfig


class Updates:
    """Collects the gradients of several batches, leaves overflowed ones out, and clips them, before an optimizer steps.

    It acts whenever the optimizer steps, so a method knows nothing of it: whatever it does to the gradients of a batch
    (modulation, projection, noise) is done for each batch, and the mean of the results is what is stepped with. A
    method that steps several times in a batch, as MLA does once a modality, has a mean for each of these steps.

    Args:
        optim: settings; `accumulate` and `clip` are read.
        optimizer: whose steps.
        precision: of the model; its scale is adapted.

    Attributes:
        skipped: steps that were left out since the start of the epoch, because a gradient overflowed.
    """

    def __init__(self, optim: OptimConfig, optimizer: Optimizer, precision: Precision) -> None:
        self.clip = optim.clip
        self.precision = precision
        self.skipped = 0
        self.begin_batch(1, True)
        self._sums: defaultdict[int, dict[nn.Parameter, Tensor]] = defaultdict(dict)
        optimizer.register_step_pre_hook(self._before_step)

    def begin_batch(self, together: int, last: bool) -> None:
        """Say what the next batch is.

        Args:
            together: batches whose gradients one step takes the mean of.
            last: whether it is the last of them; only then weights change.
        """
        self._together, self._last, self._calls = together, last, 0

    def _before_step(self, optimizer: Optimizer, *_: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if self._together > 1:
            self._collect(parameters)
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self._last and self.precision.scaled:
            overflow = not bool(torch.isfinite(get_total_norm(gradients)))
            self.precision.after_step(overflow)
            if overflow:
                self.skipped += 1
                _leave_out(parameters)
        if self._last and self.clip:
            clip_grad_norm_(parameters, self.clip)

    def _collect(self, parameters: list[nn.Parameter]) -> None:
        """Add the gradients to those of the batches before; an optimizer does not move what has no gradient."""
        sums = self._sums[self._calls]
        self._calls += 1
        for p in parameters:
            if p.grad is not None:
                share = p.grad / self._together
                sums[p] = sums[p] + share if p in sums else share
        _leave_out(parameters)
        if self._last:
            for p, total in sums.items():
                p.grad = total
            sums.clear()


def _leave_out(parameters: list[nn.Parameter]) -> None:
    for p in parameters:
        p.grad = None
