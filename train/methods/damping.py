"""What OGM and OGM-GE share: the damping of a step's gradients, in a window of epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from typing_extensions import override

from curate.torch.balance import modulate_gradients
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .means import Means
from .method import Context, Method
from .windows import Window

PUBLISHED = Window(first=0, stop=51, epochs=100)


def damp(
    model: FusionModel,
    outputs: Outputs,
    batch: Batch,
    config: Any,
    noise: Literal["none", "damped", "all"],
    means: Means,
) -> int:
    """Damp the encoder gradients of a step, see `modulate_gradients`, and add the factors to means.

    Args:
        config: has `alpha` and `conv_only`.

    Returns:
        How many tensors were edited.
    """
    parameters = {m: model.encoder_parameters(m) for m in outputs.logits}
    factors, edited = modulate_gradients(
        parameters, outputs.logits, batch.labels, alpha=config.alpha, conv_only=config.conv_only, noise=noise
    )
    means.add(gradient_factor=factors)
    return edited


class Damping(Method):
    """The encoder gradients of the modality that is ahead in the batch are damped.

    Attributes:
        noise: which modalities' gradients get noise, see `modulate_gradients`.
    """

    noise: Literal["none", "damped", "all"] = "none"

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
        return damp(model, outputs, batch, self.config, self.noise, self.means) if self.active else None

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return self.means.rows()
