"""Information acquisition regulation: the encoder that is ahead is held back while it still learns fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from curate.torch.losses import unimodal_cross_entropy
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .means import Means
from .method import Context
from .own_heads import OwnHeads


class InfoReg(OwnHeads):
    """Fused and unimodal cross-entropies; the encoder ahead is drawn to its weights of the epoch's start, early on.

    The loss is CE(f) + sum_m CE(l_m), l_m of the modality's own head. F_m of an epoch is the sum over its steps, and
    over the tensors of two or more axes of encoder m, of the mean squared gradient, as it is stepped with: the trace of
    its Fisher information, by tensor. While k_m = (sum of the last 10 F_m - sum of the 10 one epoch earlier) / the
    former is above 0.04, and S_m = sum_i softmax(l_m)[y_i] is above that of the other modality, the gradient of encoder
    m gains beta (theta - theta_0), beta = 0.95 exp(tanh(S_m - S_other)), theta_0 the weights at the start of the epoch.
    S is a sum over the batch, so that tanh is near 1 where one modality is plainly ahead.

    Departures:
        which modality: the published code looks at the trace of the audio encoder alone, and its branch for a visual
            encoder that is ahead cannot be reached; here each modality is judged and held back alike.
        strength: published 0.95 for audio and 0.1 for the visual modality; here one for all, 0.95.
        more than two modalities: not defined there; here S_other is the mean of the others'.
        trace: published over the weights of convolutions and linear layers; here over all tensors of two or more axes.
    """

    name = "inforeg"
    tried = "strength=0.3,3"
    paper = "Huang, Wei, Yang, Hu, CVPR 2025"
    start = "scratch"
    edits_encoders = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Strength, and when it ends.

        Attributes:
            strength: factor of beta, 0 or more; published 0.95.
            threshold: relative growth of the summed information above which an encoder is still held back; published
                0.04.
            window: epochs that are summed, at least 1; published 10.
        """

        strength: float = 0.95
        threshold: float = 0.04
        window: int = 10

        def __post_init__(self) -> None:
            check_ranges(self, {"strength >= 0": self.strength >= 0, "window >= 1": self.window >= 1})

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.information: dict[str, list[float]] = {}
        self.traces: dict[str, Tensor] = {}
        self.begun: dict[str, list[Tensor]] = {}
        self.means = Means()

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        c = self.config
        learning = [m for m in model.modalities if growth(self.information.get(m, []), c.window) > c.threshold]
        self.begun = {m: [p.detach().clone() for p in model.encoder_parameters(m)] for m in learning}
        self.traces, self.means = {}, Means()

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        own = unimodal_cross_entropy(outputs.logits, batch.labels).mean()
        total: Tensor = F.cross_entropy(outputs.fused, batch.labels) + own
        return total

    @override
    @torch.no_grad()
    def modulate(self, model: FusionModel, outputs: Outputs, batch: Batch) -> int | None:
        parameters = {m: model.encoder_parameters(m) for m in model.modalities}
        if not any(parameters.values()):
            return 0
        betas = regulation(outputs.logits, batch.labels, self.config.strength)
        edited = 0
        for m, starts in self.begun.items():
            if betas[m] == 0:
                continue
            for p, start in zip(parameters[m], starts, strict=True):
                if p.grad is not None:
                    p.grad += betas[m].to(p.dtype) * (p - start)
                    edited += 1
        for m, own in parameters.items():
            gradients = [p.grad for p in own if p.grad is not None and p.ndim > 1]
            trace = torch.stack([g.double().square().mean() for g in gradients]).sum() if gradients else torch.zeros(())
            self.traces[m] = self.traces.get(m, 0) + trace
        zero = torch.zeros_like(next(iter(betas.values())))
        self.means.add(regulation={m: beta if m in self.begun else zero for m, beta in betas.items()})
        return edited or None

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        for m, trace in self.traces.items():
            self.information.setdefault(m, []).append(float(trace))
        told = [(m, "information", float(trace)) for m, trace in self.traces.items()]
        self.begun, self.traces = {}, {}  # of the epoch alone: a checkpoint after it stays small
        return [*told, *self.means.rows()]

    @override
    def state_dict(self) -> dict[str, Any]:
        information = {m: list(values) for m, values in self.information.items()}
        return {"information": information, "begun": dict(self.begun), "traces": dict(self.traces)}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.information = {m: list(values) for m, values in state["information"].items()}
        self.begun, self.traces = dict(state["begun"]), dict(state["traces"])


def growth(information: Sequence[float], window: int) -> float:
    """k, how much of the last epochs' summed information is new, at most 1; 1 before the first epoch.

    Args:
        information: of each finished epoch, 0 or more.
        window: epochs that are summed.
    """
    if not information:
        return 1.0
    recent, before = sum(information[-window:]), sum(information[-window - 1 : -1])
    return (recent - before) / recent if recent else 0.0


def regulation(logits: Mapping[str, Tensor], labels: Tensor, strength: float) -> dict[str, Tensor]:
    """{m: beta}, without axes: strength exp(tanh(S_m - mean of the others' S)) where that is above 0, else 0.

    Args:
        logits: {m: (B, K)} unimodal logits of two or more modalities.
        labels: (B,).
    """
    scores = {m: F.softmax(x.double(), dim=1).gather(1, labels[:, None]).sum() for m, x in logits.items()}
    total = torch.stack(list(scores.values())).sum()
    ahead = {m: s - (total - s) / (len(scores) - 1) for m, s in scores.items()}
    return {m: torch.where(d > 0, strength * torch.exp(torch.tanh(d)), torch.zeros_like(d)) for m, d in ahead.items()}
