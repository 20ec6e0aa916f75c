"""Diagnosing and re-learning (D&R): encoders that over-fit are moved back towards their initial weights.

Letters: N samples, D features.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from curate.errors import CurateError
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel

from .knobs import check_ranges
from .method import Context, Method


class Dr(Method):
    """Joint training; every few epochs each encoder is moved back towards its initial weights by how it over-fits.

    Features of training and validation samples in eval mode, scaled to [-1, 1] each, are clustered into as many
    clusters as there are classes; purity is the share of samples in the majority class of their cluster. With
    a_m = tanh(strength |purity_train - purity_val|), every parameter of encoder m becomes
    a_m * initial + (1 - a_m) * present. Batch statistics and heads are left unchanged, as in the published code, and so
    is momentum unless `reset_optimizer` is set. This happens before an epoch begins, so validation measures the weights
    as they were trained. With a start from the warm checkpoint, the warm weights are the initial ones.

    Departures:
        times: published after epochs 20, 40 and 60 of 90; here at these shares of the run.
        augmentation: the published code trains without any; here the data set's own stays on, as for every method.
        clustering: the best of ten runs here, since a single one depends on its start.
    """

    name = "dr"
    tried = "strength=1,10"
    paper = "Wei, Li, Feng, Hu, ECCV 2024"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Strength and times.

        Attributes:
            strength: lambda.
            every: epochs between re-initialisations; the first comes after `every` + 1 epochs, as published. 0 is two
                ninths of all epochs, the published 20 of 90.
            times: how often at most.
            restarts: runs of the clustering; the best one is used.
            reset_optimizer: reset momentum too.
        """

        strength: float = 3.0
        every: int = 0
        times: int = 3
        restarts: int = 10
        reset_optimizer: bool = False

        def __post_init__(self) -> None:
            rules = {"strength >= 0": self.strength >= 0, "every >= 0": self.every >= 0}
            check_ranges(self, rules | {"times >= 0": self.times >= 0, "restarts >= 1": self.restarts >= 1})

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        self.initial = {m: [p.detach().clone() for p in model.encoder_parameters(m)] for m in model.modalities}
        self.measured: list[tuple[str, str, float]] = []

    @override
    def windows(self, epochs: int) -> dict[str, range]:
        every = self._every(epochs)
        return {"re-initialisation": range(every + 1, min(epochs, self.config.times * every + 2), every)}

    def _every(self, epochs: int) -> int:
        """Epochs between re-initialisations."""
        return self.config.every or max(1, round(epochs * 2 / 9))

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.measured = []
        every, past = self._every(context.epochs), epoch - 1
        if past > 0 and past % every == 0 and past // every <= self.config.times:
            self._relearn(model, context)

    def _relearn(self, model: FusionModel, context: Context) -> None:
        assert context.data is not None and context.optimizer is not None
        fit, val = (encoded(model, context.data.ordered(split)) for split in ("fit", "val"))
        for m in model.modalities:
            pure, held_out = (purity(f[m], y, len(model.classes), self.config.restarts) for f, y in (fit, val))
            amount = retreat(pure, held_out, self.config.strength)
            with torch.no_grad():
                for p, start in zip(model.encoder_parameters(m), self.initial[m], strict=True):
                    p.copy_(amount * start.to(p.device) + (1 - amount) * p)
            self.measured += [(m, "purity_train", pure), (m, "purity_val", held_out), (m, "retreat", amount)]
        if self.config.reset_optimizer:
            context.optimizer.state.clear()

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return self.measured

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"initial": self.initial}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.initial = dict(state["initial"])


@torch.no_grad()
def encoded(model: FusionModel, batches: Iterable[Batch]) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]:
    """{m: (N, D) features} in eval mode and (N,) labels."""
    model.eval()
    features: dict[str, list[Tensor]] = {m: [] for m in model.modalities}
    labels = []
    for batch in batches:
        for m, f in model.encode(batch.inputs).items():
            features[m].append(f.cpu())
        labels.append(batch.labels.cpu())
    return {m: torch.cat(f).numpy() for m, f in features.items()}, torch.cat(labels).numpy()


def purity(features: NDArray[np.float32], labels: NDArray[np.int64], clusters: int, restarts: int) -> float:
    """Share of samples whose label is the most frequent one of their cluster, in (0, 1]; higher = better separated.

    Raises:
        CurateError: there are fewer samples than clusters.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics.cluster import contingency_matrix
    from sklearn.preprocessing import minmax_scale

    if len(features) < clusters:
        raise CurateError(
            f"dr clusters features into {clusters} classes, a split has {len(features)} samples",
            "it needs a training and a validation sample a class at least",
        )
    scaled = minmax_scale(features.astype(np.float64), feature_range=(-1, 1))
    some = min(clusters, len(np.unique(scaled, axis=0)))  # equal features are one cluster
    found = KMeans(some, n_init=restarts, random_state=0).fit_predict(scaled)
    return float(contingency_matrix(labels, found).max(axis=0).sum() / len(labels))


def retreat(purity_train: float, purity_val: float, strength: float) -> float:
    """tanh(strength * |difference of purities|), in [0, 1): the share of the initial weights."""
    return math.tanh(strength * abs(purity_train - purity_val))
