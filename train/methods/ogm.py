"""On-the-fly gradient modulation, without its noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from curate.torch.balance import modulate_gradients
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .means import Means
from .method import Context, Method


class Ogm(Method):
    """On-the-fly gradient modulation: damp the encoder gradients of the modality that is ahead in the batch.

    rho_m = S_m / mean of the others' S, S_m = sum_i softmax(l_m)[y_i]; the gradient of encoder m is multiplied by
    k_m = 1 - tanh(alpha rho_m) where rho_m > 1, else 1; heads are left alone. With the paper's two modalities the mean
    of the others is that of the other one. All tensors of two or more axes are edited. The published code edits
    convolutions alone (`conv_only`) and therefore does nothing to encoders without any; here that is an error.
    """

    name = "ogm"
    paper = "Peng et al., CVPR 2022"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Strength and window.

        Attributes:
            alpha: strength, at least 0; the paper has 0.8 for CREMA-D and 0.1 for VGGSound.
            first_epoch, last_epoch: modulated epochs, counted from 0, both included; the paper's 0 to 50 of 100.
            conv_only: edit convolutions alone, as the published code does.
        """

        alpha: float = 0.8
        first_epoch: int = 0
        last_epoch: int = 50
        conv_only: bool = False

        def __post_init__(self) -> None:
            check_ranges(
                self, {"alpha >= 0": self.alpha >= 0, "last_epoch >= first_epoch": self.last_epoch >= self.first_epoch}
            )

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.active = False
        self.means = Means()

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.active = self.config.first_epoch <= epoch <= self.config.last_epoch
        self.means = Means()

    @override
    def modulate(self, model: FusionModel, outputs: Outputs, batch: Batch) -> int | None:
        if not self.active:
            return None
        c, parameters = self.config, {m: model.encoder_parameters(m) for m in outputs.logits}
        factors, edited = modulate_gradients(
            parameters, outputs.logits, batch.labels, alpha=c.alpha, conv_only=c.conv_only, noise="none"
        )
        self.means.add(gradient_factor=factors)
        return edited

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return self.means.rows()
