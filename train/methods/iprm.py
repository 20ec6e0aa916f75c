"""Instantaneous probe and rebalance (IPRM): geodesic multimodal mixup, probe, rebalance.

Y. Yang, X. Wu, Q.-Y. Jiang, "Towards Equilibrium: An Instantaneous Probe-and-Rebalance Multimodal Learning Approach",
IJCAI 2025.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from curate.torch.iprm import Rebalance, iprm_loss
from curate.train.data.samples import Batch
from curate.train.models.fusion import common_dim
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .method import Context, Method


class Iprm(Method):
    """Probe how close each modality is to the mixed prediction, mix again with those weights, learn.

    `ProbeAndRebalance` of `curate.torch.iprm`: each step the probe measures omega of each pair with the carried weights
    lambda, without gradient; learn: CE(H(mix(omega))) + sum_m CE(l_m); then lambda <- alpha lambda + (1 - alpha) omega.
    Own heads get the raw features, the mixup head H unit vectors; the encoders run once.

    Prediction is the sum of the own heads and the mean over pairs of H(mix(lambda of the last probe)), as in the
    published code.

    Departures:
        first lambda: the first omega, as on the poster; the code starts from a half (`ema_init=half`).
        third modality: has a head of its own; in the published code the second one's classifies it too.
        mixing: stays finite for parallel, opposite and zero features; there it becomes zero or NaN.
        start: from the warm checkpoint by default; published from random weights (`train --from scratch`, and in the
            poster's tables).
        ablations: no published code has them; `mixup=linear`, `alpha=0` and `one_pass` are our reading of the poster.
    """

    name = "iprm"
    tried = "alpha=0.5,0.95"
    paper = "Yang, Wu, Jiang, IJCAI 2025"
    uses_posteriors = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Knobs and ablations.

        Attributes:
            alpha: weight of the previous lambda in its moving average, in [0, 1); 0 is the ablation "w/o EMA".
            ema_init: `omega` lambda_1 = omega_0 (poster); `half` lambda_1 = alpha / 2 + (1 - alpha) omega_0 (code).
            mixup: `geodesic`, or `linear` = the ablation "w/ L-Mixup".
            one_pass: learn with mix(lambda) and rebalance for the next step only: the ablation "one-pass".
            heads: with three or more modalities `tri` has one mixup head per pair and trains on all pairs; `single`
                has one shared head and trains on one random pair per step.
            predict: `sum` of all heads, or `fused`, the mixup heads alone.
            weighted: multiply each sample's mixup loss by its `p_balanced` from the table.
        """

        alpha: float = 0.8
        ema_init: Literal["omega", "half"] = "omega"
        mixup: Literal["geodesic", "linear"] = "geodesic"
        one_pass: bool = False
        heads: Literal["tri", "single"] = "tri"
        predict: Literal["sum", "fused"] = "sum"
        weighted: bool = False

        def __post_init__(self) -> None:
            check_ranges(self, {"0 <= alpha < 1": 0 <= self.alpha < 1})

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        c, dim, classes = self.config, common_dim(model.dims, "IPRM"), len(model.classes)
        self.rebalance = Rebalance(
            model.modalities, alpha=c.alpha, ema_init=c.ema_init, mixup=c.mixup, one_pass=c.one_pass, heads=c.heads
        )
        model.add_own_heads(warm)
        model.extra["mix"] = nn.ModuleList(nn.Linear(dim, classes) for _ in range(self.rebalance.head_count))

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.rebalance.sums = {}

    @override
    def forward(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> Outputs:
        features = model.encode(inputs)
        logits = model.own_logits(features)
        mixed = self.rebalance.mix(features, logits, list(model.extra["mix"].children()), model.training)
        return Outputs(features, logits, torch.stack(list(mixed.values())).mean(dim=0), mixed)

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        weights = None
        if self.config.weighted:
            assert batch.p_balanced is not None
            weights = batch.p_balanced.mean(dim=1)
        return iprm_loss(outputs.logits, outputs.mixed, batch.labels, weights)

    @override
    def predict(self, outputs: Outputs) -> tuple[dict[str, Tensor], Tensor]:
        if self.config.predict == "fused":
            return outputs.logits, outputs.fused
        return outputs.logits, torch.stack([outputs.fused, *outputs.logits.values()]).sum(dim=0)

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        values = []
        for pair, (lambdas, omegas) in self.rebalance.means().items():
            suffix = f":{'|'.join(pair)}" if len(self.rebalance.pairs) > 1 else ""
            for i, modality in enumerate(pair):
                values += [
                    (modality, "lambda" + suffix, float(lambdas[i])),
                    (modality, "omega" + suffix, float(omegas[i])),
                ]
        return values

    @override
    def state_dict(self) -> dict[str, Any]:
        return self.rebalance.state_dict()

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rebalance.load_state_dict(state)
