"""On-the-fly gradient modulation with generalization enhancement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .damping import Damping
from .knobs import check_ranges
from .windows import window_rules


class OgmGe(Damping):
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
        self.noise = self.config.noise
