"""Modality-specific learning rates for late fusion, adapted by each modality's validation accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer
from typing_extensions import override

from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .method import Context, Method, per_modality
from .optim import OptimConfig
from .rates import check_no_others, optimizer_of_parts, scale_rates


class Mslr(Method):
    """One learning rate per modality: the run's, times c_m, times the modality's recent improvement.

    r_m = (validation accuracy after the last epoch) / (mean of the `window` epochs before it), 1 until there are that
    many, clipped to [0.1, 10]; encoder m and its head have the learning rate lr * c_m * r_m. The loss is the fused
    cross-entropy. The fusion is `sum`, so every modality has a head of its own; a shared head of another fusion keeps
    the run's rate. The paper's other two strategies are constants c_m with `dynamic=false`.

    Departures:
        rates: the known public implementation multiplies gradients (`scale=gradient`), which has nearly no effect under
            Adam; here real learning rates.
        accuracies: there of the test split, with both modalities' ratios equal by a slip; here of validation.
        constants: there 0.9 for audio and 1.1 for visual on CREMA-D; here 1 unless set (`factors`).
        window: there epochs 0 to 20; here it does not end (`until`).
    """

    name = "mslr"
    tried = "window=2,10"
    paper = "Yao, Mihalcea, Findings of ACL 2022"
    start = "scratch"
    fusion = "sum"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Strength and window.

        Attributes:
            factors: the constants c_m, e.g. `audio=0.9,visual=1.1`; 1 where not named.
            dynamic: adapt by validation accuracy; false uses only the constants.
            window: epochs whose mean the last one is compared with.
            until: epoch, counted from 0, from which on all rates are the run's again; 0 is never (public code: 20).
            scale: `rate` changes learning rates, `gradient` gradients.
        """

        factors: str = ""
        dynamic: bool = True
        window: int = 5
        until: int = 0
        scale: Literal["rate", "gradient"] = "rate"

        def __post_init__(self) -> None:
            check_ranges(self, {"window >= 1": self.window >= 1, "until >= 0": self.until >= 0})

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        check_no_others(model, self.name)
        self.constants = per_modality(self.config.factors, model.modalities, 1.0, "method.factors")
        self.accuracies: dict[str, list[float]] = {m: [] for m in model.modalities}
        self.factors = dict(self.constants)

    @override
    def optimizer(self, model: FusionModel, optim: OptimConfig) -> Optimizer:
        return optimizer_of_parts(optim, model, {m: model.modality_parameters(m) for m in model.modalities})

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        for m, values in self.accuracies.items():
            if context.metrics:
                values.append(context.metrics[m]["accuracy"])
                del values[: -self.config.window - 1]
            self.factors[m] = self._factor(m, epoch)
        if self.config.scale == "rate" and context.optimizer is not None:
            scale_rates(context.optimizer, self.factors)

    def _factor(self, modality: str, epoch: int) -> float:
        if self._over(epoch):
            return 1.0
        r = ratio(self.accuracies[modality], self.config.window) if self.config.dynamic else 1.0
        return self.constants[modality] * r

    def _over(self, epoch: int) -> bool:
        result: bool = 0 < self.config.until <= epoch
        return result

    @override
    def modulate(self, model: FusionModel, outputs: Outputs, batch: Batch) -> int | None:
        if self.config.scale == "rate":
            return None
        edited = 0
        for m, factor in self.factors.items():
            for p in model.modality_parameters(m):
                if p.grad is not None:
                    p.grad.mul_(factor)
                    edited += 1
        return edited

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return [(m, "rate_factor", f) for m, f in self.factors.items()]

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"accuracies": {m: list(v) for m, v in self.accuracies.items()}}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.accuracies = {m: list(v) for m, v in state["accuracies"].items()}


def ratio(accuracies: Sequence[float], window: int) -> float:
    """The last accuracy over the mean of the `window` before it, in [0.1, 10]; 1 if fewer are known or all are 0."""
    before = accuracies[-window - 1 : -1]
    if len(before) < window or sum(before) == 0:
        return 1.0
    return min(max(accuracies[-1] * window / sum(before), 0.1), 10.0)
