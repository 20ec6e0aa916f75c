"""Resampling by sample-level modality valuation.

Letters: B batch, N training samples, M modalities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from curate.torch.valuation import contributions, copies
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .method import Context, Method
from .windows import Window, window_rules

PUBLISHED = Window(first=5, stop=None, epochs=60)


class Valuation(Method):
    """Samples are repeated with the modality alone that contributes little to their prediction.

    phi_m is a modality's Shapley value of being right, see `contributions` in `curate.torch.valuation`: absent
    modalities have features of zero. It is measured on the training samples before each epoch, in evaluation mode. With
    `level=sample` each sample gets n_m = 2 (1 - phi_m) repetitions, 0 or more, in which all other modalities are
    absent; with `level=modality` as many randomly drawn samples as 2/3 alpha (max - min of the mean phi_m) of all get
    one, of the modality that contributes least. The loss is the mean cross-entropy of the fusion over samples and
    repetitions.

    Departures:
        repetitions: published as further samples of a longer epoch, each with an augmentation of its own; here within
            the step of their sample, on the same features, so that an epoch has as many steps as with other methods.
        more than two modalities: the published numbers are for two; here the Shapley value of all sets is taken.
        modality level: published from a fifth of the samples; here from all.
        window: published from epoch 5 of 60 on; here from that share of the run on.
    """

    name = "valuation"
    tried = "level=modality"
    paper = "Wei, Feng, Wang, Hu, CVPR 2024"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What is repeated, and from when.

        Attributes:
            level: `sample` repeats each sample by its own contributions, `modality` some samples by the mean ones.
            alpha: strength of `level=modality`, 0 or more; 1 as published.
            first_epoch: the first epoch with repetitions, counted from 0; none is the published share, 5 of 60.
        """

        level: Literal["sample", "modality"] = "sample"
        alpha: float = 1.0
        first_epoch: int | None = None

        def __post_init__(self) -> None:
            check_ranges(self, {"alpha >= 0": self.alpha >= 0} | window_rules(self.first_epoch, names="first_epoch"))

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.repeated: dict[str, Tensor] = {}
        self.told: list[tuple[str, str, float]] = []

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        self.fuse = model.fusion

    @override
    def windows(self, epochs: int) -> dict[str, range]:
        return {"resampling": PUBLISHED.of(epochs, self.config.first_epoch)}

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.repeated, self.told = {}, []
        if not self.acts("resampling", epoch, context) or context.data is None:
            return
        ids, phi = self._valuate(model, context)
        numbers = self._numbers(phi, context.generator)
        self.repeated = dict(zip(ids, numbers.unbind(), strict=True)) if numbers.any() else {}
        self.told = [(m, "contribution", float(x)) for m, x in zip(model.modalities, phi.mean(dim=0), strict=True)]
        self.told.append(("all", "repetitions", float(numbers.sum() / len(ids))))

    @torch.no_grad()
    def _valuate(self, model: FusionModel, context: Context) -> tuple[list[str], Tensor]:
        """The training samples, and their contributions (N, M)."""
        assert context.data is not None
        model.eval()
        ids: list[str] = []
        parts = []
        for batch in context.data.ordered("fit"):
            features = model.encode(batch.inputs)
            values = {
                frozenset(present): self._alone(features, present)
                for size in range(1, len(features) + 1)
                for present in combinations(features, size)
            }
            found = contributions(values, batch.labels, model.modalities)
            ids += batch.sample_ids.tolist()
            parts.append(torch.stack(list(found.values()), dim=1).cpu())
        return ids, torch.cat(parts)

    def _numbers(self, phi: Tensor, generator: torch.Generator) -> Tensor:
        """(N, M) repetitions of each sample with each modality alone."""
        if self.config.level == "sample":
            return copies(phi)
        means, numbers = phi.mean(dim=0), torch.zeros_like(phi)
        count = int(2 / 3 * self.config.alpha * float(means.max() - means.min()) * len(phi))
        drawn = torch.randint(len(phi), (count,), generator=generator)
        numbers[:, int(means.argmin())] = torch.bincount(drawn, minlength=len(phi)).to(phi.dtype)
        return numbers

    def _alone(self, features: Mapping[str, Tensor], present: Sequence[str]) -> Tensor:
        """(B, K) logits with features of zero for modalities that are not present."""
        fused: Tensor = self.fuse({m: x if m in present else torch.zeros_like(x) for m, x in features.items()})[1]
        return fused

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        if not self.repeated:
            return super().loss(outputs, batch)
        numbers = torch.stack([self.repeated[i] for i in batch.sample_ids.tolist()]).to(outputs.fused)
        total = F.cross_entropy(outputs.fused, batch.labels, reduction="sum")
        for m, times in zip(outputs.features, numbers.unbind(dim=1), strict=True):
            alone = F.cross_entropy(self._alone(outputs.features, [m]), batch.labels, reduction="none")
            total = total + times @ alone
        return total / (len(batch.labels) + numbers.sum())

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return self.told

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"sample_ids": list(self.repeated), "repeated": [x.tolist() for x in self.repeated.values()]}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        numbers = map(torch.tensor, state["repeated"])
        self.repeated = dict(zip(state["sample_ids"], numbers, strict=True))
