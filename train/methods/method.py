"""The base class of the training methods: a few hooks around one step, whose defaults are joint training.

Each method implements one paper in one file, `train/methods/<name>.py`. It uses the model, the fusion and small shared
maths, never the table. The stages do rounds, optimizer resets and subsets; a method only declares that it needs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from curate.errors import CurateError
from curate.train.models.model import FusionModel, Outputs
from curate.types import MixtureFit

from .optim import OptimConfig

if TYPE_CHECKING:
    from curate.train.data.samples import Batch, DataView


@dataclass(frozen=True)
class Context:
    """What a method is given at the start of an epoch: facts about its round and the run.

    Attributes:
        fits: one fitted mixture per pair, for methods that use posteriors; empty otherwise.
        gap_kind: the paper's gap that a loss reduces, `prob` or `kl`; see `curate.scores.gap.loss_kind`.
        centres: mu_0 of each pair in units of that gap; None if the mixtures were fitted to that same gap; mu_0 is
            then their location.
        absolute: whether the mixtures were fitted to the absolute value of the gap.
        wrong_share: share of the training labels that the scored run shows to be wrong, 0..1, for methods that use it.
        epochs: of the whole run; 0 when unknown.
        span: first epoch, and the one after the last, of the schedule of the learning rate; None is the whole run.
        metrics: {modality or "fused": {metric: value}} on validation after the last epoch; empty before the first.
        data: the training and validation samples, to look at.
        optim: the run's settings of optimisation, for optimizers of the method's own.
        optimizer: the run's optimizer; a method may set its rates and clear its state; it is in every checkpoint.
        generator: random numbers for this epoch, on the CPU, which nothing else draws from.
    """

    fits: tuple[MixtureFit, ...] = ()
    gap_kind: str = "prob"
    centres: tuple[float, ...] | None = None
    absolute: bool = False
    wrong_share: float = 0.0
    epochs: int = 0
    span: tuple[int, int] | None = None
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    data: DataView | None = None
    optim: OptimConfig = field(default_factory=OptimConfig)
    optimizer: Optimizer | None = None
    generator: torch.Generator = field(default_factory=torch.Generator, compare=False)


class Method:
    """Joint training: cross-entropy of the fused logits, one backward, one step.

    Class attributes:
        name: its name on the command line and the name of its file.
        paper: the paper it is from, with the year.
        start: `warm` begins at the scored run's warm checkpoint; `scratch` from random weights, with the warm-up's
            epochs added, so that every method has had the same number of epochs at its end.
        uses_posteriors: whether `Batch.p_balanced` is set to the posteriors of the round.
        uses_usability: whether `Batch.p_broken` is set to the probability that each modality is broken; then it is
            never None.
        uses_selection: whether it trains on a selection of the training set.
        tried: its main knob with the values that `compare --tune` tries, most different ones first, such as
            `alpha=0.1,0.3`; empty for a method without one.
        fusion: `model.fusion` unless the user sets it; None keeps that of the scored run.
        uses_encode: whether encoders are run by `FusionModel.encode` alone, and so in all processes of a command.
        edits_encoders: whether it edits the gradients of encoders, and so needs some that are trained.

    Departures:
        choice of epoch: most published codes keep the epoch that is best on the test split; here validation chooses,
            since the test split may decide nothing.
        optimisation: each published code has its own rate, batch, schedule and length; here all methods have the run's,
            since only then can they be compared. `compare --table` sets those of a paper.
        initial heads: several published codes (OGM-GE, LFM) draw linear layers by Xavier's rule; here all have
            PyTorch's default, one rule for all methods.
        batch norm: IPRM's code draws its weights around 1; here they begin at 1, as torchvision has it.
        crops and flips: the published loaders draw one for each frame; here all frames of a clip have the same, since
            they show one scene.
    """

    name: ClassVar[str] = "method"
    paper: ClassVar[str] = ""
    tried: ClassVar[str] = ""
    start: ClassVar[Literal["warm", "scratch"]] = "warm"
    uses_posteriors: ClassVar[bool] = False
    uses_usability: ClassVar[bool] = False
    uses_selection: ClassVar[bool] = False
    fusion: ClassVar[Literal["concat", "sum", "weight"] | None] = None
    uses_encode: ClassVar[bool] = True
    edits_encoders: ClassVar[bool] = False

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """A method without knobs."""

    def __init__(self, config: Any = None) -> None:
        self.config: Any = self.Config() if config is None else config

    @property
    def rounds(self) -> int:
        """The number of scored rounds into which the epochs are divided; each begins with new posteriors."""
        return 1

    @property
    def uses_wrong_share(self) -> bool:
        """Whether `Context.wrong_share` is set to what the scored run shows; that run must have been assessed."""
        return False

    def attach(self, model: FusionModel, warm: bool) -> None:
        """Add heads to `model.extra`, once, before the optimizer is made; `warm` weights are loaded already."""

    def check(self, model: FusionModel) -> None:
        """Check, before `attach`, that there are encoders to train if it edits their gradients.

        Raises:
            CurateError: there are none.
        """
        if self.edits_encoders:
            check_encoders(self.name, model)

    def optimizer(self, model: FusionModel, optim: OptimConfig) -> Optimizer:
        """The run's optimizer, over every parameter; `optim.over` takes groups. Called again when a run resets it."""
        return optim.make(model)

    def windows(self, epochs: int) -> dict[str, range]:
        """{part of the method: the epochs in which it acts}, of a run of so many, for parts that do not act in all.

        What acts in none of them is warned of before the run begins.
        """
        return {}

    def acts(self, part: str, epoch: int, context: Context) -> bool:
        """Whether a part of `windows` acts in an epoch."""
        return epoch in self.windows(context.epochs)[part]

    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        """Called before each epoch; `epoch` counts from 0 within this method.

        It may read data, edit weights and leave the model in any mode. Everything that a checkpoint after an epoch must
        restore belongs in `state_dict`.
        """

    def order(self, sample_ids: NDArray[np.str_]) -> Sequence[int] | None:
        """Positions of the training samples (N,) that the epoch reads, in their order; None is all of them, shuffled.

        Called after `begin_epoch`; random numbers of torch begin with the epoch's seed.
        """
        return None

    def forward(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> Outputs:
        """One forward in training or evaluation."""
        result: Outputs = model(inputs)
        return result

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """A scalar."""
        return F.cross_entropy(outputs.fused, batch.labels)

    def modulate(self, model: FusionModel, outputs: Outputs, batch: Batch) -> int | None:
        """Edit gradients after backward; return the number of parameters edited, or None outside its active window."""
        return None

    def step(self, model: FusionModel, optimizer: Optimizer, batch: Batch) -> Tensor:
        """Do one whole optimisation step; return the detached loss.

        Raises:
            CurateError: there are no encoder gradients to edit.
            RuntimeError: the gradient edit was active and touched no parameter.
        """
        optimizer.zero_grad(set_to_none=True)
        outputs = self.forward(model, batch.inputs)
        loss = self.loss(outputs, batch)
        loss.backward()
        if self.modulate(model, outputs, batch) == 0:
            check_encoders(self.name, model)
            raise RuntimeError(f"{self.name}: the gradient edit touched no parameter")
        optimizer.step()
        return loss.detach()

    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        """Called after each epoch; returns (modality or "all", metric, value) rows for the table."""
        return ()

    def predict(self, outputs: Outputs) -> tuple[dict[str, Tensor], Tensor]:
        """Unimodal {m: (B, K)} and fused (B, K) logits to predict with. No sample may depend on others in its batch."""
        return outputs.logits, outputs.fused

    def state_dict(self) -> dict[str, Any]:
        """State beyond the model's and the optimizer's, as tensors and numbers."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""


def check_encoders(name: str, model: FusionModel) -> None:
    """Check that some parameters of encoders are trained, for a method that edits their gradients.

    Raises:
        CurateError: there are none: all are frozen, or heads are linear on features.
    """
    if any(model.encoder_parameters(m) for m in model.modalities):
        return
    if model.frozen:
        raise CurateError(
            f"{name} changes the gradients of encoders, and all of these are frozen",
            "leave model.freeze out, or train --method joint",
        )
    raise CurateError(
        f"{name} changes the gradients of encoders, and these have no parameters",
        "score again with --set model.encoder=mlp",
    )


def per_modality(text: str, modalities: Sequence[str], default: float, setting: str) -> dict[str, float]:
    """One number per modality from a knob such as `audio=0.9,visual=1.1`; `default` for those not named.

    Raises:
        CurateError: it names an unknown modality, or a value is not a number.
    """
    values = dict.fromkeys(modalities, default)
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, number = part.partition("=")
        try:
            if name.strip() not in values:
                raise ValueError
            values[name.strip()] = float(number)
        except ValueError:
            example = ",".join(f"{m}=1.0" for m in modalities)
            raise CurateError(
                f"{setting} cannot be {text!r}: {part!r} is no modality=number", f"e.g. {example}"
            ) from None
    return values
