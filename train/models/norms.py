"""Batch norm over a batch whose samples are spread over several processes: statistics are those of the whole batch.

Letters: B samples of this process, C channels, P processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from typing_extensions import override

Gather = Callable[[Tensor], Tensor]
"""From the same number of values in each process, (L,), to all of them in every process, (P, L), by process."""


class WholeBatchNorm(TorchFunctionMode):
    """Inside this context, `F.batch_norm` in training mode normalises by the statistics of all processes' samples.

    It acts on the function, not on modules: those of other libraries that call it are covered, and modules, weights
    and checkpoints stay what they are. Running statistics become those of one process with the whole batch: the
    variance is unbiased by the number of values in all processes. Every process must run the same layers in the same
    order, with at least one sample.

    Args:
        gather: exchanges values between the processes.
    """

    def __init__(self, gather: Gather) -> None:
        super().__init__()
        self.gather = gather

    @override
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        run = self._batch_norm if func is F.batch_norm else func
        return run(*args, **(kwargs or {}))

    def _batch_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """What `F.batch_norm` computes, of x (B, C, ...)."""
        if not training:
            return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
        found = _Normalised.apply(x, weight, bias, eps, self.gather)  # type: ignore[no-untyped-call]
        result, mean, var, count = found
        with torch.no_grad():
            if running_mean is not None and running_var is not None:
                unbiased = var * (count / (count - 1))
                running_mean.mul_(1 - momentum).add_(momentum * mean.to(running_mean.dtype))
                running_var.mul_(1 - momentum).add_(momentum * unbiased.to(running_var.dtype))
        normalised: Tensor = result
        return normalised


class _Normalised(torch.autograd.Function):
    """x (B, C, ...) to the same, normalised, with mean and biased variance (C,) of all processes and their count.

    With y = w x^ + b, x^ = (x - mean) / s, n values a channel and sums over all processes, the gradient is
    dx = w / s (dy - sum dy / n - x^ sum(dy x^) / n). Those of w and b are this process's part.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, gather: Gather
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        channels, kind = x.shape[1], torch.promote_types(x.dtype, torch.float32)
        ours = x.new_zeros(2, channels, dtype=kind)
        mean, var = torch.batch_norm_update_stats(x, ours[0], ours[1], 0.0)
        count = mean.new_full((1,), x.numel() // channels, dtype=torch.float64)
        every = gather(torch.cat([mean.double(), var.double(), count]))
        means, variances, counts = every[:, :channels], every[:, channels:-1], every[:, -1:]
        total = counts.sum()
        mean = (counts * means).sum(dim=0) / total
        # The variance of all is that within the processes plus that between them: no difference of large squares.
        var = (counts * (variances + (means - mean).square())).sum(dim=0) / total
        mean, var = mean.to(kind), var.to(kind)
        y = torch.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)[0]
        ctx.save_for_backward(x, weight, mean, var, total)
        ctx.eps, ctx.gather = eps, gather
        ctx.mark_non_differentiable(mean, var, total)
        return y, mean, var, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var, total = ctx.saved_tensors
        # As if the statistics were constants: dy w / s, and this process's sums of dy x^ and of dy.
        dx, scaled, plain = torch.ops.aten.native_batch_norm_backward(
            gradients[0].contiguous(), x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        sums = ctx.gather(torch.cat([scaled, plain]).double()).sum(dim=0).to(mean.dtype).view(2, -1)
        factor = (1.0 if weight is None else weight) / (var + ctx.eps).sqrt() / -total.to(mean.dtype)
        # factor (x^ sum(dy x^) + sum dy), by the kernel that normalises.
        dx += torch.native_batch_norm(x, factor * sums[0], factor * sums[1], mean, var, False, 0.0, ctx.eps)[0]
        return dx, None if weight is None else scaled, None if weight is None else plain, None, None
