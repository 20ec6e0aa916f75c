"""On-the-fly gradient modulation, without its noise."""

from __future__ import annotations

from dataclasses import dataclass

from .damping import Damping
from .knobs import check_ranges
from .windows import window_rules


class Ogm(Damping):
    """On-the-fly gradient modulation: damp the encoder gradients of the modality that is ahead in the batch.

    rho_m = S_m / mean of the others' S, S_m = sum_i softmax(l_m)[y_i]; the gradient of encoder m is multiplied by
    k_m = 1 - tanh(alpha rho_m) where rho_m > 1, else 1; heads are left alone. With the paper's two modalities the mean
    of the others is that of the other one. All tensors of two or more axes are edited; where there is none, it is an
    error.

    Departures:
        window: published epochs 0 to 50 of 100; here that share of the run, so that a short run is not damped
            throughout.
        edited tensors: the published code edits convolutions alone, and so does nothing to encoders without any; here
            all tensors of two or more axes (`conv_only` for the published ones).
        more than two modalities: not defined there; here each is compared with the mean of the others.
    """

    name = "ogm"
    tried = "alpha=0.1,0.3"
    paper = "Peng et al., CVPR 2022"
    start = "scratch"
    edits_encoders = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Strength and window.

        Attributes:
            alpha: strength, at least 0; the paper has 0.8 for CREMA-D and 0.1 for VGGSound.
            first_epoch, last_epoch: modulated epochs, counted from 0, both included; none is the published share of
                the run, epochs 0 to 50 of 100.
            conv_only: edit convolutions alone, as the published code does.
        """

        alpha: float = 0.8
        first_epoch: int | None = None
        last_epoch: int | None = None
        conv_only: bool = False

        def __post_init__(self) -> None:
            check_ranges(self, {"alpha >= 0": self.alpha >= 0} | window_rules(self.first_epoch, self.last_epoch))
