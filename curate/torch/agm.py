"""Adaptive gradient modulation (AGM) for models whose logits add up over modalities.

H. Li, X. Li, P. Hu, Y. Lei, C. Li, Y. Zhou, "Boosting Multi-modal Model Performance with Adaptive Gradient Modulation",
ICCV 2023. Letters: B batch, M modalities, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from .balance import Scalars

CAP = 10.0
Coalitions = Mapping[frozenset[str], Tensor]
"""{modalities that are present: (B, K) fused logits}."""


def coalitions(logits: Mapping[str, Tensor], absent: Mapping[str, Tensor]) -> Coalitions:
    """Fused logits of each set of modalities if they are a sum: of those present, and of zero inputs for the others.

        values = coalitions({"audio": audio, "visual": visual}, {"audio": audio[:1] * 0, "visual": visual[:1] * 0})

    Args:
        logits: {m: (B, K)}; detached here.
        absent: {m: (B, K) or (1, K)} logits of each modality on zero inputs.
    """
    found = {}
    for size in range(1, len(logits) + 1):
        for present in combinations(logits, size):
            parts = [x.detach() if m in present else absent[m].detach().expand_as(x) for m, x in logits.items()]
            found[frozenset(present)] = torch.stack(parts).sum(dim=0)
    return found


def shapley(values: Coalitions, modalities: Sequence[str]) -> dict[str, Tensor]:
    """Each modality's Shapley value; the sum is the value of all modalities. The value of none is taken as 0.

        both, one, other = (frozenset(names) for names in (("audio", "visual"), ("audio",), ("visual",)))
        shares = shapley({both: fused, one: audio, other: visual}, ("audio", "visual"))

    o_m = sum over S without m of |S|! (M - |S| - 1)! / M! (v(S and m) - v(S)). With two modalities
    o_a = (v(a, v) - v(v) + v(a)) / 2.
    """
    count = len(modalities)
    shares = {}
    for m in modalities:
        others = [x for x in modalities if x != m]
        share = torch.zeros_like(values[frozenset(modalities)])
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for present in combinations(others, size):
                without = frozenset(present)
                gain = values[without | {m}] - values[without] if without else values[frozenset({m})]
                share = share + weight * gain
        shares[m] = share
    return shares


def surprise(logits: Tensor, labels: Tensor) -> Tensor:
    """u: mean of -log max(softmax(o)[y], 1e-8); lower = stronger."""
    p = F.softmax(logits.double(), dim=1).gather(1, labels[:, None])
    return -p.clamp(min=1e-8).log().mean()


def modulation(now: Mapping[str, Tensor], running: Mapping[str, Tensor], alpha: float) -> Scalars:
    """{m: k_m}, above 0, from the u of this step and their running means before it."""
    ratio, average = _advantage(now), _advantage(running)
    return {m: torch.exp(alpha * (average[m] - ratio[m]).clamp(max=CAP)) for m in now}


def _advantage(surprises: Mapping[str, Tensor]) -> Scalars:
    count = len(surprises)
    mean = torch.stack(list(surprises.values())).mean()
    return {m: torch.exp((mean - u) * count / (count - 1)) for m, u in surprises.items()}


def scale_gradient(x: Tensor, factor: Tensor) -> Tensor:
    """x, bit for bit, with its gradient multiplied by the factor."""
    fixed = x.detach()
    return fixed + factor * (x - fixed)


class AdaptiveModulation(nn.Module):
    """AGM's loss: cross-entropy of the summed logits, each modality's gradient by its strength now and on average.

        agm = AdaptiveModulation(("audio", "visual"))
        for ids, labels, inputs in loader:
            logits = model(inputs)                        # {"audio": ..., "visual": ...}, their sum is the fusion
            with torch.no_grad():
                absent = model({m: torch.zeros_like(x) for m, x in inputs.items()})
            agm(shapley(coalitions(logits, absent), agm.modalities), logits, labels).backward()
            optimizer.step()
            agm.update()

    With u_m = mean of -log softmax(o_m)[y] of the shares o and r_m = exp(M / (M - 1) (mean_j u_j - u_m)), the gradient
    through modality m's logits is multiplied by k_m = exp(alpha min(tau_m - r_m, 10)), tau_m being the same function of
    the running means of u, before this step.

    Args:
        modalities: M >= 2 names.
        alpha: strength, at least 0; published with 1 to 2.5.
    """

    running: Tensor
    steps: Tensor

    def __init__(self, modalities: Sequence[str], alpha: float = 1.0) -> None:
        super().__init__()
        self.modalities, self.alpha = tuple(modalities), alpha
        self.register_buffer("running", torch.zeros(len(self.modalities), dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.strengths: Scalars = {}
        self.factors: Scalars = {}

    @override
    def forward(self, shares: Mapping[str, Tensor], logits: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """A scalar; its value is the plain cross-entropy of the sum of the logits.

        Args:
            shares: {m: (B, K)} Shapley values, without gradient, see `shapley`.
            logits: {m: (B, K)} with gradient; their sum is the fused logits.
            labels: (B,).
        """
        self.strengths = {m: surprise(shares[m], labels) for m in self.modalities}
        running = dict(zip(self.modalities, self.running.to(labels.device), strict=True))
        self.factors = modulation(self.strengths, running, self.alpha)
        parts = [scale_gradient(logits[m], self.factors[m]) for m in self.modalities]
        return F.cross_entropy(torch.stack(parts).sum(dim=0), labels)

    @torch.no_grad()
    def update(self) -> None:
        """Take the last step's strengths into the running means; call it after each step."""
        self.steps = self.steps + 1
        now = torch.stack([self.strengths[m] for m in self.modalities])
        before = self.running.to(now.device)
        self.running = before + (now - before) / self.steps
