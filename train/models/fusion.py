"""Fusion of features: the one place that computes fused *and* unimodal logits.

Letters: B batch, M modalities, K classes, D features of a modality.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from curate.errors import CurateError

Logits = dict[str, Tensor]


class Fusion(nn.Module, ABC):
    """Base of the fusions: features {m: (B, D_m)} to unimodal logits {m: (B, K)} and fused logits (B, K)."""

    def __init__(self, dims: Mapping[str, int], classes: int) -> None:
        super().__init__()
        self.dims = dict(dims)
        self.classes = classes

    @abstractmethod
    def forward(self, features: Mapping[str, Tensor]) -> tuple[Logits, Tensor]:
        """Unimodal and fused logits."""

    def unimodal_head(self, modality: str) -> nn.Linear:
        """A new linear layer that computes this fusion's unimodal logits of a modality, D_m to K."""
        weight, bias = self._readout(modality)
        head = nn.Linear(self.dims[modality], self.classes, device=weight.device, dtype=weight.dtype)
        with torch.no_grad():
            head.weight.copy_(weight)
            head.bias.copy_(bias)
        return head

    def own_parameters(self, modality: str) -> list[nn.Parameter]:
        """The parameters that only one modality uses; none if the modalities share a head."""
        return []

    @abstractmethod
    def _readout(self, modality: str) -> tuple[Tensor, Tensor]:
        """Weight (K, D_m) and bias (K,) of a modality's unimodal logits."""


class Concat(Fusion):
    """Concatenation and one linear layer; unimodal logits are the split head W_m f_m + b / M.

    The fused logits are the sum of the unimodal ones, which is W [f_1; ...; f_M] + b.
    """

    def __init__(self, dims: Mapping[str, int], classes: int) -> None:
        super().__init__(dims, classes)
        self.head = nn.Linear(sum(dims.values()), classes)

    def _readout(self, modality: str) -> tuple[Tensor, Tensor]:
        parts = self.head.weight.split(list(self.dims.values()), dim=1)
        return parts[list(self.dims).index(modality)], self.head.bias / len(self.dims)

    @override
    def forward(self, features: Mapping[str, Tensor]) -> tuple[Logits, Tensor]:
        logits = {m: F.linear(features[m], *self._readout(m)) for m in self.dims}
        return logits, torch.stack(list(logits.values())).sum(dim=0)


class Sum(Fusion):
    """Sum of one linear layer per modality; unimodal logits are W_m f_m + b_m."""

    def __init__(self, dims: Mapping[str, int], classes: int) -> None:
        super().__init__(dims, classes)
        self.heads = nn.ModuleDict({m: nn.Linear(d, classes) for m, d in dims.items()})

    def _readout(self, modality: str) -> tuple[Tensor, Tensor]:
        head = self.heads.get_submodule(modality)
        assert isinstance(head, nn.Linear)
        return head.weight, head.bias

    @override
    def own_parameters(self, modality: str) -> list[nn.Parameter]:
        return list(self.heads.get_submodule(modality).parameters())

    @override
    def forward(self, features: Mapping[str, Tensor]) -> tuple[Logits, Tensor]:
        logits = {m: F.linear(features[m], *self._readout(m)) for m in self.dims}
        return logits, torch.stack(list(logits.values())).sum(dim=0)


class Weight(Fusion):
    """Attention over modalities, element by element: h = sum_m r_m * f_m, r_m = a_m / sum_k a_k, a_m = softmax(f_m).

    One linear layer is applied to h and to every f_m alone; all feature sizes must be equal. The shares are computed in
    log space: a softmax that underflows in every modality then gives equal shares instead of 0 / 0.
    """

    def __init__(self, dims: Mapping[str, int], classes: int) -> None:
        super().__init__(dims, classes)
        self.head = nn.Linear(common_dim(dims, "weight fusion"), classes)

    def _readout(self, modality: str) -> tuple[Tensor, Tensor]:
        return self.head.weight, self.head.bias

    @override
    def forward(self, features: Mapping[str, Tensor]) -> tuple[Logits, Tensor]:
        stacked = torch.stack([features[m] for m in self.dims])
        shares = F.log_softmax(stacked, dim=-1).softmax(dim=0)
        return {m: self.head(features[m]) for m in self.dims}, self.head((shares * stacked).sum(dim=0))


FUSIONS: dict[str, type[Fusion]] = {"concat": Concat, "sum": Sum, "weight": Weight}


def common_dim(dims: Mapping[str, int], what: str) -> int:
    """The feature size that all modalities have in common.

    Raises:
        CurateError: their sizes differ.
    """
    if len(set(dims.values())) != 1:
        raise CurateError(
            f"{what} needs equal feature sizes, got {dict(dims)}",
            "give all one size with --set model.dim=512, or one kind with model.encoder=resnet18, of features mlp",
        )
    return next(iter(dims.values()))
