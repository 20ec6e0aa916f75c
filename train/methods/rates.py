"""Learning rates of parts of a model: a factor on the run's scheduled rate for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn
from torch.optim import Optimizer

from curate.errors import CurateError
from curate.train.models.model import FusionModel

from .optim import OptimConfig


def check_no_others(model: FusionModel, method: str) -> None:
    """Refuse rates of encoders that the user set, where a method sets them.

    Raises:
        CurateError: there are such.
    """
    if model.factors:
        raise CurateError(f"{method} sets the learning rates of encoders itself", "leave model.lr_scale out")


def optimizer_of_parts(optim: OptimConfig, model: nn.Module, parts: Mapping[str, Iterable[nn.Parameter]]) -> Optimizer:
    """A fresh optimizer with a parameter group for each part, by name, and one of all other parameters, the last."""
    own = {name: list(parameters) for name, parameters in parts.items()}
    taken = {id(p) for parameters in own.values() for p in parameters}
    rest = [p for p in model.parameters() if id(p) not in taken]
    return optim.over([*({"params": ps, "part": name} for name, ps in own.items()), {"params": rest, "part": None}])


def scale_rates(optimizer: Optimizer, factors: Mapping[str, float]) -> None:
    """Give each part the scheduled rate times its factor; call it once an epoch, so that factors do not pile up."""
    rate = optimizer.param_groups[-1]["lr"]  # the schedule's own: the last group belongs to no part
    for group in optimizer.param_groups:
        group["lr"] = rate * factors.get(group["part"], 1.0)
