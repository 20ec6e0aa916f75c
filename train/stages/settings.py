"""The settings of the stages, and all settings of a run as one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from curate import config
from curate.advice.relabelling import LabelChoice
from curate.datasets.base import Dataset
from curate.errors import CurateError
from curate.scores.scoring import MixtureConfig
from curate.train.data.augment import Augment
from curate.train.methods import catalog
from curate.train.methods.optim import OptimConfig
from curate.train.models.model import ModelConfig
from curate.types import Run

STEPS, MOST = 1000, 200
"""Steps that a warm-up takes at least where nobody set its length, and epochs that it is made longer to, at most."""


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(MixtureConfig):
    """Warm-up, prediction, and the mixture of `MixtureConfig`.

    Attributes:
        epochs: E_warmup; of few samples more, see `long_enough`, unless it, the rate or the optimiser is set.
        folds: 0 scores every sample with the model that was trained on it, as the papers do; K >= 2 out of fold, at
            the cost of K more warm-ups, see `folds`; none does so in 5 folds if the model has memorised its training
            samples and the data are few or small, see `folds.is_cheap`.
        dynamics: predict the training samples after every warm-up epoch too, for the views `dynamics` and
            `gap_dynamics`; costs about half an epoch of a small network each.
        batch_size: samples per forward when predicting.
    """

    epochs: int = 30
    folds: int | None = None
    dynamics: bool = True
    batch_size: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        config.check_within(self, "score", {"epochs": (1, 1_000_000), "batch_size": (1, 1 << 20), "folds": (0, 10_000)})
        if self.folds == 1:
            raise CurateError(
                f"out of range: score.folds={self.folds}", "2 or more, 0 for no folds, none to leave it to `score`"
            )
        if self.average == "warmup" and not self.dynamics:
            raise CurateError(
                "score.average=warmup needs the predictions of every epoch", "leave score.dynamics=false out"
            )

    @property
    def warmups(self) -> int:
        """How many warm-ups on all samples it takes: K models of K - 1 folds each are K - 1 beside the ordinary one."""
        return self.folds or 1


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What every method shares.

    Attributes:
        epochs: of the method itself; a start from scratch adds the warm-up's epochs.
        start: `warm`, `scratch`, or `auto`, which is the method's own.
        reset_optimizer: `once` new state at the start; `per_round` also at each round; `never` continues the warm-up's.
        augment: `dataset` uses the data set's own augmentation; `shift` also rolls frames in space and spectrograms in
            time, and masks some bins and columns.
        labels: of training samples: `given` as in the data; `marked` with the classes that people gave with
            `fix_label`; `corrected` besides these the labels that the fused prediction denied over the warm-up, each
            replaced by its most probable other class; `random` is the control of `corrected`, as many labels of other
            samples of the same classes. What was changed is in the table `relabelled`. Validation and test labels
            stay as they are.
    """

    epochs: int = 40
    start: Literal["auto", "warm", "scratch"] = "auto"
    reset_optimizer: Literal["once", "per_round", "never"] = "once"
    augment: Augment = "dataset"
    labels: LabelChoice = "given"

    def __post_init__(self) -> None:
        config.check_within(self, "train", {"epochs": (1, 1_000_000)})


@dataclass(frozen=True)
class Settings:
    """All settings of a run, resolved once.

    Attributes:
        model, optim, score: of the model, of optimisation, and of the warm-up and the mixture.
        train: what every method shares; defaults for a scored run.
        method: a `Method.Config`.
    """

    model: ModelConfig
    optim: OptimConfig
    score: ScoreConfig
    train: TrainConfig
    method: Any

    @classmethod
    def of(cls, run: Run) -> Settings:
        """The settings that a run was planned with.

        Raises:
            CurateError: the run has settings of a newer or older version that do not exist here.
        """
        schemas = {
            "model": ModelConfig,
            "optim": OptimConfig,
            "score": ScoreConfig,
            "train": TrainConfig,
            "method": catalog.find(run.method).Config,
        }
        return cls(**config.resolve(schemas, {k: run.config.get(k, {}) for k in schemas}))


def long_enough(epochs: int, samples: int, batch: int) -> int:
    """Epochs of a warm-up that takes `STEPS` steps, not fewer than the usual ones, and not more than `MOST`.

    In 30 epochs of a thousand samples a network from random weights hardly begins to learn at the usual rate, and what
    is found then describes the network.

    Args:
        epochs: the usual ones.
        samples: number of training samples.
        batch: samples of a step.
    """
    return max(epochs, min(ceil(STEPS / ceil(max(samples, 1) / batch)), MOST))


def left_open(kind: type[Dataset], layers: Sequence[config.Layer], *names: str) -> bool:
    """Whether no layer, nor the data set, sets any of these, such as `score.epochs`."""
    given = {f"{section}.{key}" for layer in layers for section, values in layer.items() for key in values}
    return not (given | set(kind.defaults)) & set(names)


def configure(kind: type[Dataset], schemas: Mapping[str, type], *layers: config.Layer) -> dict[str, Any]:
    """Configurations of the sections in `schemas`: the data set's defaults, then `layers`."""
    defaults = {k: v for k, v in config.dotted(kind.defaults).items() if k in schemas}
    return config.resolve(schemas, defaults, *layers)
