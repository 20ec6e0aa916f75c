"""Fine-tuning on the high-quality subset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from typing_extensions import override

from curate.torch.losses import multimodal_cross_entropy
from curate.train.data.samples import Batch
from curate.train.models.model import Outputs

from .method import Method


class Subset(Method):
    """Fine-tuning of the warm model by Eq. 8 on the samples with p_balanced >= threshold.

    Departures:
        mixture: that of the scored run, by default the two-sided one; the paper's is `score --paper`.
        length: as long as any other method's training; the paper prints none.
    """

    name = "subset"
    tried = "threshold=0.3,0.8"
    paper = "Liu et al., arXiv 2510.21797 (2025), Section III-D"
    uses_selection = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Which samples.

        Attributes:
            threshold: samples with `p_balanced >= threshold` are kept.
            selection: a stored selection's name, instead of the threshold; '' for none.
            control: `random` draws as many samples at random; without this control any fine-tuning looks like a gain.
        """

        threshold: float = 0.5
        selection: str = ""
        control: Literal["none", "random"] = "none"

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return multimodal_cross_entropy(outputs.logits, outputs.fused, batch.labels)
