"""Instantaneous probe and rebalance (IPRM) around any model with features of each modality.

Y. Yang, X. Wu, Q.-Y. Jiang, "Towards Equilibrium: An Instantaneous Probe-and-Rebalance Multimodal Learning Approach",
IJCAI 2025. Letters: B batch, K classes, D features, P pairs of modalities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from curate.arguments import known_names, one_of
from curate.errors import CurateError
from curate.types import modality_pairs

from .losses import unimodal_cross_entropy
from .mixup import geodesic_mixup, linear_mixup, normalize
from .names import check_names

Pair = tuple[str, str]


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


def iprm_loss(
    logits: Mapping[str, Tensor], mixed: Mapping[Pair, Tensor], labels: Tensor, weights: Tensor | None = None
) -> Tensor:
    """sum over pairs of CE(H(mix)) + sum_m CE(l_m), mean over the batch; a scalar.

    Args:
        logits: {m: (B, K)} of the own heads.
        mixed: {pair: (B, K)} of the mixup heads.
        weights: (B,) factors of the mixup losses, e.g. posteriors of the table; 1 when left out.
    """
    losses = torch.stack([F.cross_entropy(x, labels, reduction="none") for x in mixed.values()]).sum(0)
    if weights is not None:
        losses = losses * weights
    return (losses + unimodal_cross_entropy(logits, labels)).mean()


class Rebalance:
    """The probe and the weights lambda that it carries from step to step.

    Each step, for a pair (a, v) with carried weights lambda: probe, without gradient: omega of H(mix(lambda)), see
    `probe`; learn with H(mix(omega)); then lambda <- alpha lambda + (1 - alpha) omega. A modality's omega is larger the
    *closer* it is to the mixed prediction; this sign is the paper's.

    Args:
        modalities: in declared order.
        alpha: weight of the previous lambda in its moving average, in [0, 1); 0 is the ablation "w/o EMA".
        ema_init: `omega` lambda_1 = omega_0 (poster); `half` lambda_1 = alpha / 2 + (1 - alpha) omega_0 (code).
        mixup: `geodesic`, or `linear` = the ablation "w/ L-Mixup".
        one_pass: learn with mix(lambda) and rebalance for the next step only: the ablation "one-pass".
        heads: with three or more modalities `tri` has one mixup head per pair and trains on all pairs; `single` has one
            shared head and trains on one random pair per step.

    Raises:
        ValueError: `ema_init`, `mixup` or `heads` is not known.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        *,
        alpha: float = 0.8,
        ema_init: Literal["omega", "half"] = "omega",
        mixup: Literal["geodesic", "linear"] = "geodesic",
        one_pass: bool = False,
        heads: Literal["tri", "single"] = "tri",
    ) -> None:
        one_of("ema_init", ema_init, ("omega", "half"))
        one_of("mixup", mixup, ("geodesic", "linear"))
        one_of("heads", heads, ("tri", "single"))
        self.pairs = modality_pairs(tuple(modalities))
        self.alpha, self.ema_init, self.one_pass, self.heads = alpha, ema_init, one_pass, heads
        self.mixup = geodesic_mixup if mixup == "geodesic" else linear_mixup
        half = torch.tensor([0.5, 0.5])
        self.weights = dict.fromkeys(self.pairs, half)  # what the last probe used, per pair: (2,), for evaluation
        self.carried = dict.fromkeys(self.pairs, half)  # lambda for the next step
        self.seen = dict.fromkeys(self.pairs, False)
        self.sums: dict[Pair, tuple[Tensor, Tensor, int]] = {}

    @property
    def head_count(self) -> int:
        """How many mixup heads there are."""
        return len(self.pairs) if self.heads == "tri" else 1

    def mix(
        self, features: Mapping[str, Tensor], logits: Mapping[str, Tensor], heads: Sequence[nn.Module], training: bool
    ) -> dict[Pair, Tensor]:
        """{pair: (B, K)} logits of the mixup heads; in training of a probe and with the weights that it found.

        Args:
            features: {m: (B, D)}, all of one size.
            logits: {m: (B, K)} of each modality's own head.
            heads: `head_count` modules, (B, D) to (B, K).
        """
        unit = {m: normalize(x) for m, x in features.items()}
        if training:
            return {pair: self._learn(pair, unit, logits, heads) for pair in self._pairs_of_step()}
        return {pair: self._mixed(pair, unit, heads, self.weights[pair]) for pair in self.pairs}

    def _pairs_of_step(self) -> Sequence[Pair]:
        if self.heads == "tri":
            return self.pairs
        return [self.pairs[int(torch.randint(len(self.pairs), ()))]]

    def _mixed(self, pair: Pair, unit: Mapping[str, Tensor], heads: Sequence[nn.Module], weights: Tensor) -> Tensor:
        """(B, K) logits of the mixup head for a (2,) mixture."""
        head = heads[self.pairs.index(pair) if self.heads == "tri" else 0]
        result: Tensor = head(self.mixup(unit[pair[0]], unit[pair[1]], weights[0], weights[1]))
        return result

    def _learn(
        self, pair: Pair, unit: Mapping[str, Tensor], logits: Mapping[str, Tensor], heads: Sequence[nn.Module]
    ) -> Tensor:
        """Probe a pair, rebalance, and return the (B, K) mixed logits that the loss uses."""
        carried = self.carried[pair].to(unit[pair[0]].device)
        if self.one_pass:
            mixed = self._mixed(pair, unit, heads, carried)
            omega = probe(logits[pair[0]], logits[pair[1]], mixed)
        else:
            with torch.no_grad():
                probed = self._mixed(pair, unit, heads, carried)
            omega = probe(logits[pair[0]], logits[pair[1]], probed)
            mixed = self._mixed(pair, unit, heads, omega)
        self._remember(pair, carried, omega)
        return mixed

    def _remember(self, pair: Pair, carried: Tensor, omega: Tensor) -> None:
        first = not self.seen[pair] and self.ema_init == "omega"
        self.weights[pair] = carried
        self.carried[pair] = omega if first else self.alpha * carried + (1 - self.alpha) * omega
        self.seen[pair] = True
        zero = torch.zeros_like(omega)
        total_lambda, total_omega, count = self.sums.get(pair, (zero, zero, 0))
        self.sums[pair] = (total_lambda + carried, total_omega + omega, count + 1)

    def means(self) -> dict[Pair, tuple[Tensor, Tensor]]:
        """{pair: mean lambda (2,) and mean omega (2,)} over the steps since `sums` was emptied."""
        return {pair: (lambdas / count, omegas / count) for pair, (lambdas, omegas, count) in self.sums.items()}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on."""
        return {name: list(getattr(self, name).values()) for name in ("weights", "carried", "seen")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        for name in ("weights", "carried", "seen"):
            setattr(self, name, dict(zip(self.pairs, state[name], strict=True)))


@dataclass
class Mixed:
    """What IPRM makes of a batch's features.

    Attributes:
        logits: {m: (B, K)} of the own heads.
        mixed: {pair: (B, K)} of the mixup heads.
        fused: (B, K) sum of the own heads and of the mean over pairs: the prediction of the published code.
    """

    logits: dict[str, Tensor]
    mixed: dict[Pair, Tensor]
    fused: Tensor


class ProbeAndRebalance(nn.Module):
    """IPRM's heads, probe and rebalance, on top of encoders of one's own; the method `iprm` trains with the same code.

        iprm = ProbeAndRebalance({"audio": 512, "visual": 512}, classes=10)   # its parameters go to the optimizer too
        for ids, labels, inputs in loader:
            out = iprm(model.encode(inputs))
            iprm.loss(out, labels).backward()
        iprm.eval()
        predicted = iprm(model.encode(inputs)).fused

    The carried weights are in `state_dict`. With several processes each carries those of its own share of the batches.

    Args:
        sizes: {modality: D}, all the same.
        classes: K.
        settings: `alpha`, `ema_init`, `mixup`, `one_pass` and `heads`, see `Rebalance`.

    Raises:
        CurateError: the sizes differ, there is no such setting, or a part of a network cannot have a modality's name.
        ValueError: as `Rebalance`.
    """

    def __init__(self, sizes: Mapping[str, int], classes: int, **settings: Any) -> None:
        super().__init__()
        if len(set(sizes.values())) != 1:
            raise CurateError(f"IPRM mixes features of one size, got {dict(sizes)}", "add a linear layer to some")
        check_names(sizes)
        known_names("setting of IPRM", settings, ("alpha", "ema_init", "mixup", "one_pass", "heads"))
        size = next(iter(sizes.values()))
        self.rebalance = Rebalance(tuple(sizes), **settings)
        self.own = nn.ModuleDict({m: nn.Linear(size, classes) for m in sizes})
        self.heads = nn.ModuleList(nn.Linear(size, classes) for _ in range(self.rebalance.head_count))

    @override
    def forward(self, features: Mapping[str, Tensor]) -> Mixed:
        """{m: (B, D)} features; in training mode each call is a step of the probe."""
        logits = {m: head(features[m]) for m, head in self.own.items()}
        mixed = self.rebalance.mix(features, logits, list(self.heads), self.training)
        mean = torch.stack(list(mixed.values())).mean(dim=0)
        return Mixed(logits, mixed, torch.stack([mean, *logits.values()]).sum(dim=0))

    def loss(self, out: Mixed, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """See `iprm_loss`."""
        return iprm_loss(out.logits, out.mixed, labels, weights)

    @override
    def get_extra_state(self) -> dict[str, Any]:
        return self.rebalance.state_dict()

    @override
    def set_extra_state(self, state: Any) -> None:
        self.rebalance.load_state_dict(state)
