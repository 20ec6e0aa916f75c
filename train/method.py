"""What a training method is: a few seams around one step, every default of which is joint training.

A method is a paper on one page, `train/methods/<name>.py`. It sees the model, the fusion and small shared maths, and
never the table. Rounds, optimizer resets and subsets are the stages' work; a method only declares that it wants them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from curate.types import MixtureFit

from .model import FusionModel, Outputs

if TYPE_CHECKING:
    from .data import Batch


@dataclass(frozen=True)
class Context:
    """What a method may know of its round.

    Attributes:
        fits: one fitted mixture a pair, for methods that use posteriors; empty otherwise.
        gap_kind: the gap of the paper that a loss draws together, `prob` or `kl`; see `curate.gap.loss_kind`.
        centres: mu_0 of each pair in units of that gap; None where the fits are on that very gap: their locations.
        absolute: the fits are on the size of that gap.
    """

    fits: tuple[MixtureFit, ...] = ()
    gap_kind: str = "prob"
    centres: tuple[float, ...] | None = None
    absolute: bool = False


class Method:
    """Joint training: cross-entropy of the fused logits, one backward, one step.

    Class attributes:
        name: the name on the command line, and of the file.
        paper: where it is from, with the year.
        start: `warm` begins at the scored run's warm checkpoint; `scratch` from random weights, with the warm-up's
            epochs added, so that every method has seen the same number of epochs at its end.
        uses_posteriors: `fixed` or `optional` posteriors reach `Batch.p_balanced` when not None.
        uses_selection: it trains on a selection of the training set.
    """

    name: ClassVar[str] = "method"
    paper: ClassVar[str] = ""
    start: ClassVar[Literal["warm", "scratch"]] = "warm"
    uses_posteriors: ClassVar[bool] = False
    uses_selection: ClassVar[bool] = False

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """A method without knobs."""

    def __init__(self, config: Any = None) -> None:
        self.config: Any = self.Config() if config is None else config

    @property
    def rounds(self) -> int:
        """Into how many scored rounds the epochs are divided; each begins with fresh posteriors."""
        return 1

    def attach(self, model: FusionModel, warm: bool) -> None:
        """Add heads to `model.extra`, once, before the optimizer is made; `warm` weights are loaded already."""

    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        """Called before each epoch; `epoch` counts from 0 within this method."""

    def forward(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> Outputs:
        """One forward in training or evaluation."""
        return model(inputs)

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """A scalar."""
        return F.cross_entropy(outputs.fused, batch.labels)

    def modulate(self, model: FusionModel, outputs: Outputs, batch: Batch) -> int | None:
        """Edit gradients after backward; the number of parameters edited, or None outside its active window."""
        return None

    def step(self, model: FusionModel, optimizer: Optimizer, batch: Batch) -> Tensor:
        """One whole optimisation step; the detached loss.

        Raises:
            RuntimeError: the gradient edit was active and touched no parameter.
        """
        optimizer.zero_grad(set_to_none=True)
        outputs = self.forward(model, batch.inputs)
        loss = self.loss(outputs, batch)
        loss.backward()
        if self.modulate(model, outputs, batch) == 0:
            raise RuntimeError(f"{self.name}: the gradient edit touched no parameter")
        optimizer.step()
        return loss.detach()

    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        """Called after each epoch; (modality or "all", metric, value) to be kept in the table."""
        return ()

    def predict(self, outputs: Outputs) -> tuple[dict[str, Tensor], Tensor]:
        """Unimodal and fused logits that decide: {m: (B, K)} and (B, K). No sample may depend on its batch mates."""
        return outputs.logits, outputs.fused

    def state_dict(self) -> dict[str, Any]:
        """State beyond the model's parameters, as tensors and numbers."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
