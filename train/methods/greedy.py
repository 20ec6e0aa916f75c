"""Balanced learning by conditional learning speed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from curate.errors import CurateError
from curate.torch.losses import unimodal_cross_entropy
from curate.train.data.samples import Batch
from curate.train.models.encoders import StagedEncoder
from curate.train.models.mmtm import MMTM
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .method import Context, Method
from .windows import NEVER

TINY = 1e-30


class Greedy(Method):
    """Two encoders joined by MMTM gates; that of the modality that relies on the other is frozen for some steps.

    MMTM layers follow the second, third and fourth stage of the encoders. Each modality has a head of its own; the
    loss is the sum of their cross-entropies, the fused logits are their mean. After the backward pass of a step with no
    gate frozen, the effective updates ||gradient||^2 / ||weights||^2 are added up for two sets of parameters per
    modality: main, its encoder and head; bypass, its gates and the shared squeezes. The conditional learning speed is
    s_m = log10(bypass_m / main_m), and d = s_first - s_second. Once |d| > epsilon, the gate of the first modality
    (d > 0) or the second (d < 0) is replaced by its running mean for the next `window` steps. It then has no gradient,
    and nothing is added up. The running means are kept in checkpoints. Two modalities only.

    Departures:
        running means: one for each gate here; in the published code the second modality's is the first's.
        evaluation: never freezes a gate and updates no mean here; there it runs in the state that training left.
        first epoch: freezing may begin with the second epoch, and does not scale with the run; speeds are added up from
            the first step on, there from the second epoch on.
    """

    name = "greedy"
    tried = "epsilon=0.001,0.1"
    paper = "Wu, Jastrzebski, Cho, Geras, ICML 2022"
    start = "scratch"
    uses_encode = False

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """When gates are frozen.

        Attributes:
            epsilon: difference of the two speeds, a power of ten, above which a gate is frozen; at least 0.
            window: for how many steps a gate is frozen.
            first_epoch: the first epoch in which a gate may be frozen, counted from 0; speeds are added up before it.
            guide: `speed` as above, or `random`: each step freezes none, the first or the second, equally often.
            ratio: an MMTM's shared squeeze has 2 sum(channels) / ratio features.
        """

        epsilon: float = 0.01
        window: int = 5
        first_epoch: int = 1
        guide: Literal["speed", "random"] = "speed"
        ratio: float = 4.0

        def __post_init__(self) -> None:
            check_ranges(
                self, {"epsilon >= 0": self.epsilon >= 0, "window >= 1": self.window >= 1, "ratio > 0": self.ratio > 0}
            )

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.active = False
        self.frozen: str | None = None
        self.remaining = 0
        self.speed = 0.0

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        self.pair = model.modalities
        if len(self.pair) != 2:
            raise CurateError(f"greedy is for two modalities, got {', '.join(self.pair)}", "use another method")
        widths = zip(*([(m, w) for w in _staged(model, m).widths[1:]] for m in self.pair), strict=True)
        model.extra["mmtm"] = nn.ModuleList(MMTM(dict(stage), self.config.ratio) for stage in widths)
        model.add_own_heads(warm)
        self.main = dict.fromkeys(self.pair, torch.zeros((), dtype=torch.float64))
        self.bypass = dict(self.main)

    @override
    def windows(self, epochs: int) -> dict[str, range]:
        return {"freezing of gates": range(self.config.first_epoch, NEVER)}

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.active = self.acts("freezing of gates", epoch, context)
        self.steps, self.curated = 0, dict.fromkeys(self.pair, 0)

    @override
    def forward(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> Outputs:
        frozen = self.frozen if model.training else None
        maps = {m: x.unsqueeze(1) if x.ndim == 4 else x for m, x in inputs.items()}
        encoders = {m: _staged(model, m) for m in self.pair}
        with model.autocast(inputs, model.extra["mmtm"]):
            for i, layer in enumerate([None, *model.extra["mmtm"].children()]):
                maps = {m: _over_frames(encoders[m].stages[i], x) for m, x in maps.items()}
                maps = maps if layer is None else layer(maps, frozen)
            features = {m: _over_frames(encoders[m].pool, x).mean(dim=1) for m, x in maps.items()}
        features = {m: model.precision.leave(f) for m, f in features.items()}
        logits = model.own_logits(features)
        return Outputs(features, logits, torch.stack(list(logits.values())).mean(dim=0))

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return unimodal_cross_entropy(outputs.logits, batch.labels).mean()

    def modulate(self, model: FusionModel, outputs: Outputs, batch: Batch) -> int | None:
        """Read this step's gradients and decide which gate the next step freezes; no gradient is edited."""
        self.steps += 1
        if self.frozen is not None:
            self.curated[self.frozen] += 1
        if self.config.guide == "random":
            self.frozen = (None, *self.pair)[int(torch.randint(3, ()))] if self.active else None
        elif self.remaining:
            self.remaining -= 1
            self.frozen = self.frozen if self.remaining else None
        else:
            self._measure(model)
            self._decide()
        return None

    def _measure(self, model: FusionModel) -> None:
        """Add this step's effective updates to the two sums of each modality."""
        layers = list(model.extra["mmtm"].children())
        for m in self.pair:
            head, gates = model.extra["own"].get_submodule(m), [layer.get_submodule(f"gates.{m}") for layer in layers]
            squeezes = [layer.get_submodule("squeeze") for layer in layers]
            self.main[m] = self.main[m] + effective_update([model.encoders[m], head]).cpu()
            self.bypass[m] = self.bypass[m] + effective_update([*gates, *squeezes]).cpu()

    def _decide(self) -> None:
        first, second = self.pair
        self.speed = speed_difference(self.bypass[first], self.main[first], self.bypass[second], self.main[second])
        if self.active and abs(self.speed) > self.config.epsilon:
            self.frozen, self.remaining = (first if self.speed > 0 else second), self.config.window

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        shares = [(m, "frozen_share", n / max(self.steps, 1)) for m, n in self.curated.items()]
        return [*shares, ("all", "speed_difference", self.speed)]

    @override
    def state_dict(self) -> dict[str, Any]:
        return {
            "main": dict(self.main),
            "bypass": dict(self.bypass),
            "frozen": self.frozen,
            "remaining": self.remaining,
            "speed": self.speed,
        }

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.main = {m: x.cpu() for m, x in state["main"].items()}
        self.bypass = {m: x.cpu() for m, x in state["bypass"].items()}
        self.frozen, self.remaining, self.speed = state["frozen"], state["remaining"], state["speed"]


def _staged(model: FusionModel, modality: str) -> StagedEncoder:
    encoder = model.encoders[modality]
    if not isinstance(encoder, StagedEncoder):
        raise CurateError(
            f"greedy needs encoders of four stages, and that of {modality} has none",
            "use --set model.encoder=resnet18 or small_cnn",
        )
    return encoder


def _over_frames(net: nn.Module, x: Tensor) -> Tensor:
    """A picture network on each frame of (B, F, ...)."""
    result: Tensor = net(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    return result


@torch.no_grad()
def effective_update(modules: Iterable[nn.Module]) -> Tensor:
    """||gradient||^2 / ||weights||^2 over all parameters of some modules, float64; those without gradient add 0."""
    parameters = [p for module in modules for p in module.parameters()]
    weights = torch.stack([p.double().square().sum() for p in parameters]).sum()
    gradients = [p.grad.double().square().sum() for p in parameters if p.grad is not None]
    return (torch.stack(gradients).sum() if gradients else torch.zeros_like(weights)) / weights.clamp(min=TINY)


def speed_difference(bypass_first: Tensor, main_first: Tensor, bypass_second: Tensor, main_second: Tensor) -> float:
    """d = log10(bypass / main) of the first modality minus that of the second; above 0 = the first relies more."""
    first, second = (
        torch.log10(bypass.clamp(min=TINY) / main.clamp(min=TINY))
        for bypass, main in ((bypass_first, main_first), (bypass_second, main_second))
    )
    return float(first - second)
