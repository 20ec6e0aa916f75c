"""Instantaneous probe and rebalance (IPRM): geodesic multimodal mixup, probe, rebalance.

Y. Yang, X. Wu, Q.-Y. Jiang, "Towards Equilibrium: An Instantaneous Probe-and-Rebalance Multimodal Learning Approach",
IJCAI 2025. Letters: B batch, K classes, P pairs of modalities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from curate.torch.losses import unimodal_cross_entropy
from curate.train.data.samples import Batch
from curate.train.models.fusion import common_dim, geodesic_mixup, linear_mixup, normalize
from curate.train.models.model import FusionModel, Outputs
from curate.types import modality_pairs

from .knobs import check_ranges
from .method import Context, Method

Pair = tuple[str, str]


class Iprm(Method):
    """Probe how close each modality is to the mixed prediction, mix again with those weights, learn.

    Each step, for a pair (a, v) with carried weights lambda:
    probe, without gradient: K_m = mean KL(softmax l_m || softmax H(mix(lambda))), omega_a = K_v / (K_a + K_v), and
    omega_v = 1 - omega_a; learn: CE(H(mix(omega))) + sum_m CE(l_m); then lambda <- alpha lambda + (1 - alpha) omega.
    Own heads get the raw features, the mixup head H unit vectors; the encoders run once. A modality's omega is larger
    the *closer* it is to the mixed prediction; this sign is the paper's.

    Prediction is the sum of the own heads and the mean over pairs of H(mix(lambda of the last probe)), as in the
    published code. Departures from it: the first lambda is the first omega, as on the poster (`ema_init=half` for the
    code's rule); a third modality has a head of its own; mixing stays finite for parallel, opposite and zero features.
    """

    name = "iprm"
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

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.weights: dict[Pair, Tensor] = {}  # what the last probe used, per pair: (2,), for evaluation
        self.carried: dict[Pair, Tensor] = {}  # lambda for the next step
        self.seen: dict[Pair, bool] = {}
        self.sums: dict[Pair, tuple[Tensor, Tensor, int]] = {}

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        dim, classes = common_dim(model.dims, "IPRM"), len(model.classes)
        self.pairs = modality_pairs(model.modalities)
        model.add_own_heads(warm)
        count = len(self.pairs) if self.config.heads == "tri" else 1
        model.extra["mix"] = nn.ModuleList(nn.Linear(dim, classes) for _ in range(count))
        for pair in self.pairs:
            self.weights[pair] = self.carried[pair] = torch.tensor([0.5, 0.5])
            self.seen[pair] = False

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.sums = {}

    @override
    def forward(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> Outputs:
        features = model.encode(inputs)
        logits = model.own_logits(features)
        unit = {m: normalize(f) for m, f in features.items()}
        if model.training:
            mixed = {pair: self._learn(model, pair, unit, logits) for pair in self._pairs_of_step()}
        else:
            mixed = {pair: self._mix(model, pair, unit, self.weights[pair]) for pair in self.pairs}
        return Outputs(features, logits, torch.stack(list(mixed.values())).mean(dim=0), mixed)

    def _pairs_of_step(self) -> Sequence[Pair]:
        if self.config.heads == "tri":
            return self.pairs
        return [self.pairs[int(torch.randint(len(self.pairs), ()))]]

    def _mix(self, model: FusionModel, pair: Pair, unit: Mapping[str, Tensor], weights: Tensor) -> Tensor:
        """(B, K) logits of the mixup head for a (2,) mixture."""
        mixup = geodesic_mixup if self.config.mixup == "geodesic" else linear_mixup
        heads = model.extra["mix"]
        assert isinstance(heads, nn.ModuleList)
        head = heads[self.pairs.index(pair) if self.config.heads == "tri" else 0]
        result: Tensor = head(mixup(unit[pair[0]], unit[pair[1]], weights[0], weights[1]))
        return result

    def _learn(
        self, model: FusionModel, pair: Pair, unit: Mapping[str, Tensor], logits: Mapping[str, Tensor]
    ) -> Tensor:
        """Probe a pair, rebalance, and return the (B, K) mixed logits that the loss uses."""
        carried = self.carried[pair].to(unit[pair[0]].device)
        if self.config.one_pass:
            mixed = self._mix(model, pair, unit, carried)
            omega = probe(logits[pair[0]], logits[pair[1]], mixed)
        else:
            with torch.no_grad():
                probed = self._mix(model, pair, unit, carried)
            omega = probe(logits[pair[0]], logits[pair[1]], probed)
            mixed = self._mix(model, pair, unit, omega)
        self._remember(pair, carried, omega)
        return mixed

    def _remember(self, pair: Pair, carried: Tensor, omega: Tensor) -> None:
        alpha = self.config.alpha
        first = not self.seen[pair] and self.config.ema_init == "omega"
        self.weights[pair] = carried
        self.carried[pair] = omega if first else alpha * carried + (1 - alpha) * omega
        self.seen[pair] = True
        zero = torch.zeros_like(omega)
        total_lambda, total_omega, count = self.sums.get(pair, (zero, zero, 0))
        self.sums[pair] = (total_lambda + carried, total_omega + omega, count + 1)

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        mixed = torch.stack([F.cross_entropy(v, batch.labels, reduction="none") for v in outputs.mixed.values()]).sum(0)
        if self.config.weighted:
            assert batch.p_balanced is not None
            mixed = mixed * batch.p_balanced.mean(dim=1)
        return (mixed + unimodal_cross_entropy(outputs.logits, batch.labels)).mean()

    @override
    def predict(self, outputs: Outputs) -> tuple[dict[str, Tensor], Tensor]:
        if self.config.predict == "fused":
            return outputs.logits, outputs.fused
        return outputs.logits, torch.stack([outputs.fused, *outputs.logits.values()]).sum(dim=0)

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        values = []
        for pair, (lambdas, omegas, count) in self.sums.items():
            suffix = f":{'|'.join(pair)}" if len(self.pairs) > 1 else ""
            for i, modality in enumerate(pair):
                values += [
                    (modality, "lambda" + suffix, float(lambdas[i] / count)),
                    (modality, "omega" + suffix, float(omegas[i] / count)),
                ]
        return values

    @override
    def state_dict(self) -> dict[str, Any]:
        return {
            "weights": list(self.weights.values()),
            "carried": list(self.carried.values()),
            "seen": list(self.seen.values()),
        }

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for i, pair in enumerate(self.pairs):
            self.weights[pair], self.carried[pair] = state["weights"][i], state["carried"][i]
            self.seen[pair] = state["seen"][i]


@torch.no_grad()
def probe(first: Tensor, second: Tensor, mixed: Tensor) -> Tensor:
    """omega, a (2,) tensor with sum 1: each modality's share is the *other's* distance to the mixed prediction.

    The distance is the batch mean of KL(softmax unimodal || softmax mixed), (B, K) logits each. If both distances are
    zero, the shares are one half.
    """
    log_mixed = F.log_softmax(mixed, dim=1)
    distance = torch.stack(
        [
            F.kl_div(log_mixed, F.log_softmax(logits, dim=1), reduction="batchmean", log_target=True).clamp(min=0)
            for logits in (first, second)
        ]
    )
    total = distance.sum()
    safe = torch.where(total < 1e-12, torch.ones_like(total), total)
    return torch.where(total < 1e-12, torch.full_like(distance, 0.5), distance.flip(0) / safe)
