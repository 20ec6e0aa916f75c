"""Unimodal logits of models that have none: three ways, each of which measures something else.

Letters: B batch, M modalities, D_m features of a modality, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from curate.errors import CurateError

from .names import check_names


def split_head(
    head: nn.Linear, features: Mapping[str, Tensor], fused: Tensor | None = None
) -> tuple[dict[str, Tensor], float]:
    """What each modality adds to the logits of a linear head over concatenated features.

    With W = [W_1 ... W_M] the head gives sum_m W_m h_m + b; modality m gets l_m = W_m h_m + b / M, so that the parts
    add up to the fused logits exactly. This is how the fusion uses a modality, not how much the modality knows: a head
    that was trained jointly may give a good modality small weights because another one was enough.

        logits, residual = split_head(model.head, {"audio": audio, "visual": visual}, fused)

    Args:
        head: the last layer.
        features: {modality: (B, D_m)} in the order in which they were concatenated.
        fused: (B, K) logits of the model, to check that nothing lies between features and head.

    Returns:
        {modality: (B, K)}, and the residual: the largest difference between the sum of the parts and `fused`; 0 where
        that was not given.

    Raises:
        CurateError: the features are not as many as the head takes.
    """
    sizes = [x.shape[1] for x in features.values()]
    if sum(sizes) != head.in_features:
        raise CurateError(
            f"the head takes {head.in_features} features, got {' + '.join(map(str, sizes))} of {', '.join(features)}",
            "give the features that are concatenated before the head, in that order",
        )
    bias = 0.0 if head.bias is None else head.bias / len(sizes)
    weights = head.weight.split(sizes, dim=1)
    parts = {m: F.linear(x, w) + bias for (m, x), w in zip(features.items(), weights, strict=True)}
    if fused is None:
        return parts, 0.0
    total = torch.stack(list(parts.values())).sum(dim=0)
    return parts, float((total - fused).detach().abs().max())


class LinearProbes(nn.Module):
    """A linear head on the features of each modality, trained beside the model and never touching its gradients.

        probes = LinearProbes({"audio": 512, "visual": 512}, classes=10)
        for ids, labels, inputs in loader:
            features = model.encode(inputs)
            logits = probes.step(features, labels)      # trains the probes on detached features

    They measure what is linearly readable from the features that the model has learnt so far. A modality that the model
    has not learnt to encode looks useless, though a model trained on it alone may know it well.

    Args:
        sizes: {modality: D_m}.
        classes: K.
        lr: learning rate of the probes' own Adam.

    Raises:
        CurateError: a part of a network cannot have the name of a modality.
    """

    def __init__(self, sizes: Mapping[str, int], classes: int, lr: float = 1e-2) -> None:
        super().__init__()
        check_names(sizes)
        self.heads = nn.ModuleDict({m: nn.Linear(size, classes) for m, size in sizes.items()})
        self.optimizer = torch.optim.Adam(self.heads.parameters(), lr)

    @override
    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{modality: (B, K)} logits of detached features.

        Raises:
            CurateError: a modality has no probe, or another number of features.
        """
        logits = {}
        for m, x in features.items():
            head = dict(self.heads.items()).get(m)
            if not isinstance(head, nn.Linear) or x.shape[1] != head.in_features:
                known = ", ".join(f"{n} ({h.in_features})" for n, h in self.heads.items() if isinstance(h, nn.Linear))
                raise CurateError(f"no probe for {x.shape[1]} features of {m}; there are: {known}", "see `sizes`")
            logits[m] = head(x.detach())
        return logits

    def step(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Train the probes by one step of cross-entropy; the logits before it, detached."""
        with torch.enable_grad():
            logits = self(features)
            self.optimizer.zero_grad(set_to_none=True)
            torch.stack([F.cross_entropy(x, labels) for x in logits.values()]).sum().backward()
            self.optimizer.step()
        return {m: x.detach() for m, x in logits.items()}


@torch.no_grad()
def mask_out(head: Callable[[Mapping[str, Tensor]], Tensor], features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fused logits with all other modalities replaced by their mean over the batch: {modality: (B, K)}.

    Works with any fusion. It measures what the fusion makes of one modality when the others say nothing in particular.
    Where the fusion needs two modalities together, neither shows anything alone; and a mean may be an input that the
    model has never seen. Give large batches of all classes, in eval mode: the mean of a batch of one class is that
    class.

        logits = mask_out(lambda x: model.head(torch.cat([x["audio"], x["visual"]], dim=1)), features)

    Args:
        head: from {modality: (B, ...)} to fused logits (B, K); the part of the model above the features, or all of it.
        features: {modality: (B, ...)} floating-point features or inputs.
    """
    means = {m: x.mean(dim=0, keepdim=True).expand_as(x) for m, x in features.items()}
    return {m: head({n: x if n == m else means[n] for n, x in features.items()}) for m in features}


def channel_statistics(maps: Tensor, samples: int | None = None) -> Tensor:
    """Mean and standard deviation of each channel over all places: what a sample looks or sounds like, (B, 2 C).

    Of the outputs of a model's first stages, as `early` features of a `Recorder`; concatenate those of several stages.

        seen = []
        model.visual.layer1.register_forward_hook(lambda _, __, maps: seen.append(channel_statistics(maps)))

    Args:
        maps: (B, C, H, W), (B, C, T) or (B, C, T, H, W).
        samples: B, where the first axis is B x frames; statistics are then averaged over the frames of a sample.
    """
    over = tuple(range(2, maps.ndim))
    both = torch.cat([maps.mean(over), maps.std(over, correction=0)], dim=1)
    result: Tensor = both.float().unflatten(0, (len(maps) if samples is None else samples, -1)).mean(dim=1)
    return result
