"""Performance-dominant modality prioritisation: the modality that is best alone learns faster than the others."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer
from typing_extensions import override

from curate.errors import CurateError, unknown_name
from curate.train.models.model import FusionModel

from .alone import Result, results, train_alone
from .knobs import check_ranges
from .method import Context, Method
from .optim import OptimConfig
from .rates import check_no_others, optimizer_of_parts, scale_rates


class Pdmp(Method):
    """Joint training in which the encoder of the modality that performs best alone learns faster than the others.

    Before the first epoch a copy of each modality's encoder is trained alone, with a linear head and the same
    cross-entropy. The modality p with the best validation accuracy is the dominant one; of equal ones that with the
    smaller loss. Then w_p <- w_p - lr gamma_p dL/dw_p, and w_m <- w_m - lr gamma_r dL/dw_m for all others,
    gamma_p >= 1 >= gamma_r >= 0, L = CE(fused). Heads and fusion have the run's rate. It asks for the opposite of what
    OGM and its relatives do.

    Departures:
        sources: written from the paper's abstract and from what others report of its two coefficients and its ranking;
            its text and its code were not at hand.
        coefficients: the paper's values are not known here; 1.5 and 0.5 were set before anything was measured.
        where they act: there on gradients, here on the encoder's learning rate; with SGD it is the same step but for
            the weight decay, and Adam would undo a constant factor of gradients.
        training alone: at the rate at which the run begins, which no schedule changes.
    """

    name = "pdmp"
    tried = "gamma_r=0.2,1"
    paper = "Wei, Luo, Zhu, Luo, arXiv 2604.05773, 2026"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The two coefficients, and how the dominant modality is found.

        Attributes:
            gamma_p: factor of the learning rate of the dominant modality's encoder, at least 1.
            gamma_r: factor of all other encoders' learning rates, from 0 to 1.
            dominant: the dominant modality, if you know it; then none is trained alone.
            alone: epochs for which each modality is trained alone; 0 is as many as the run has.
        """

        gamma_p: float = 1.5
        gamma_r: float = 0.5
        dominant: str = ""
        alone: int = 0

        def __post_init__(self) -> None:
            check_ranges(
                self,
                {
                    "gamma_p >= 1": self.gamma_p >= 1,
                    "0 <= gamma_r <= 1": 0 <= self.gamma_r <= 1,
                    "alone >= 0": self.alone >= 0,
                },
            )

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        check_no_others(model, self.name)
        if not any(map(model.encoder_parameters, model.modalities)):
            raise CurateError(
                "pdmp sets the learning rates of encoders, and none of these is trained",
                "leave model.freeze out, or score again with --set model.encoder=mlp",
            )
        self.dominant: str = self.config.dominant
        if self.dominant and self.dominant not in model.modalities:
            raise unknown_name("modality", self.dominant, model.modalities)
        self.alone: dict[str, Result] = {}

    @override
    def optimizer(self, model: FusionModel, optim: OptimConfig) -> Optimizer:
        return optimizer_of_parts(optim, model, {m: model.encoder_parameters(m) for m in model.modalities})

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.alone = {}
        if not self.dominant:
            self.alone = {m: self._alone(model, m, context) for m in model.modalities}
            self.dominant = best(self.alone)
        if context.optimizer is not None:
            scale_rates(context.optimizer, self._factors(model))

    def _alone(self, model: FusionModel, modality: str, context: Context) -> Result:
        """A copy of one modality's encoder after training alone, on the validation split."""
        assert context.data is not None
        probe = copy.deepcopy(model)
        probe.add_own_heads(warm=True)  # with the weights that the fusion has for it
        train_alone(probe, modality, range(self.config.alone or max(1, context.epochs)), context)
        return results(probe, context.data, "val", (modality,))[modality]

    def _factors(self, model: FusionModel) -> dict[str, float]:
        return {m: self.config.gamma_p if m == self.dominant else self.config.gamma_r for m in model.modalities}

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        alone = [(m, "alone_accuracy", result.accuracy) for m, result in self.alone.items()]
        return [*alone, *((m, "rate_factor", factor) for m, factor in self._factors(model).items())]

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"dominant": self.dominant}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.dominant = state["dominant"]


def best(alone: Mapping[str, Result]) -> str:
    """The modality with the highest accuracy; of equal ones that with the smallest loss, then the first."""
    return max(alone, key=lambda m: (alone[m].accuracy, -alone[m].loss))
