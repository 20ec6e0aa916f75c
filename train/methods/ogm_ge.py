"""On-the-fly gradient modulation with generalization enhancement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from typing_extensions import override

from curate.torch.balance import modulate_gradients
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .means import Means
from .method import Context, Method
from .windows import Window, window_rules

PUBLISHED = Window(first=0, stop=51, epochs=100)


class OgmGe(Method):
    """OGM, plus Gaussian noise with the gradients' own spread, to replace the gradient noise that damping removes.

    g <- k_m g + e, e ~ N(0, std(g)^2) tensor by tensor, std(g) of the gradient before damping, k_m as in `ogm`. As
    published, the noise is added to every modality's encoder, damped or not; with `noise=damped` only where k_m < 1.
    All tensors of two or more axes are edited.

    Departures:
        window: published epochs 0 to 50 of 100; here that share of the run, so that a short run is not damped
            throughout.
        edited tensors: the published code edits convolutions alone, and so does nothing to encoders without any; here
            all tensors of two or more axes (`conv_only` for the published ones).
        more than two modalities: not defined there; here each is compared with the mean of the others.
    """

    name = "ogm_ge"
    tried = "alpha=0.1,0.3"
    paper = "Peng et al., CVPR 2022"
    start = "scratch"
    edits_encoders = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Strength, window and noise.

        Attributes:
            alpha: strength, at least 0; the paper has 0.8 for CREMA-D and 0.1 for VGGSound.
            first_epoch, last_epoch: modulated epochs, counted from 0, both included; none is the published share of
                the run, epochs 0 to 50 of 100.
            conv_only: edit convolutions alone, as the published code does.
            noise: `all` modalities, or the `damped` ones only.
        """

        alpha: float = 0.8
        first_epoch: int | None = None
        last_epoch: int | None = None
        conv_only: bool = False
        noise: Literal["all", "damped"] = "all"

        def __post_init__(self) -> None:
            check_ranges(self, {"alpha >= 0": self.alpha >= 0} | window_rules(self.first_epoch, self.last_epoch))

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.active = False
        self.means = Means()

    @override
    def windows(self, epochs: int) -> dict[str, range]:
        return {"gradient modulation": PUBLISHED.of(epochs, self.config.first_epoch, self.config.last_epoch)}

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.active = self.acts("gradient modulation", epoch, context)
        self.means = Means()

    @override
    def modulate(self, model: FusionModel, outputs: Outputs, batch: Batch) -> int | None:
        if not self.active:
            return None
        c, parameters = self.config, {m: model.encoder_parameters(m) for m in outputs.logits}
        factors, edited = modulate_gradients(
            parameters, outputs.logits, batch.labels, alpha=c.alpha, conv_only=c.conv_only, noise=c.noise
        )
        self.means.add(gradient_factor=factors)
        return edited

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return self.means.rows()
