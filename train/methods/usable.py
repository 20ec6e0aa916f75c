"""The warm-up loss, with softened or left-out unimodal losses of broken modalities.

Letters: B batch, M modalities, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from typing_extensions import override

from curate.torch.losses import usable_loss
from curate.train.data.samples import Batch
from curate.train.models.model import Outputs

from .method import Method


class Usable(Method):
    """The warm-up loss continued, each unimodal loss as far as the modality is usable on the sample.

    `usable_loss` of `curate.torch.losses`, with the `p_broken` of the scored run's table: under `soften` a broken
    modality is trained to predict the uniform distribution, under `skip` it is not trained to memorise the sample.

    The fused loss keeps every label: a fusion that was not trained on broken modalities fails on those of the test
    split. If no broken group was found, u_m is 1, and both are the warm-up loss, bit for bit. No paper; `soften` is
    the default since it was better on validation samples (`reports/studies/remedies.md`).
    """

    name = "usable"
    tried = "mode=skip"
    paper = "curate's own; targets as in label smoothing, Szegedy et al., CVPR 2016, by sample"
    uses_usability = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How the loss of a broken modality is changed.

        Attributes:
            mode: `soften` moves its target to the uniform distribution; `skip` leaves it out.
            control: `shuffled` gives each sample the probabilities of another; without this control, a gain from
                weaker unimodal losses alone looks like a gain from the probabilities.
        """

        mode: Literal["soften", "skip"] = "soften"
        control: Literal["none", "shuffled"] = "none"

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        assert batch.p_broken is not None
        return usable_loss(outputs.logits, outputs.fused, batch.labels, batch.p_broken, self.config.mode)
