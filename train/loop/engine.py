"""The only training loop of the repository, and prediction. `fit` never uses the test split."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from curate.errors import CurateError, NonFiniteError
from curate.scores.metrics import measure
from curate.train.data.samples import Batch, BatchTransform, DataView, RunData, Samples, mix_seed
from curate.train.methods.method import Context, Method
from curate.train.methods.optim import OptimConfig
from curate.train.methods.updates import Updates
from curate.train.models.model import FusionModel
from curate.types import FUSED, Predictions

from .memory import Kept, stored
from .processes import Team

Values = list[tuple[str, str, str, float]]
FACTOR = "factor"
"""Key of a parameter group of the optimizer: the factor of `OptimConfig.factor` that its learning rate has now."""
CHECK_EVERY = 16
"""Steps between checks that the loss is finite; each check waits for the device."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where and how the model runs.

    Attributes:
        device: `auto` takes a CUDA device when there is one.
        precision: `fp32`, or `bf16` or `fp16` in the encoders.
        workers: decoding and loading processes; None decodes files with one per core, and loads with none on a CPU and
            with two on a GPU.
        engine: what decodes, a name in `curate.datasets.cluster.ENGINES`.
        team: the processes that run the encoders; None is this one alone.
    """

    device: str = "auto"
    precision: str = "fp32"
    workers: int | None = None
    engine: str = "processes"
    team: Team | None = None

    def torch_device(self) -> torch.device:
        """The device.

        Raises:
            CurateError: it is unknown, not supported or not available.
        """
        name = ("cuda:0" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
        try:
            device = torch.device(name)
        except RuntimeError:
            raise CurateError(f"unknown device {name!r}", "use auto, cpu or cuda:0") from None
        if device.type not in ("cpu", "cuda"):
            raise CurateError(f"device {name} is not supported", "use auto, cpu or cuda:0")
        count = torch.cuda.device_count()
        if device.type == "cuda" and (device.index or 0) >= count:
            raise CurateError(f"device {name} was asked for, {count} CUDA devices are here", "use --device cpu")
        if device.type == "cuda":  # the same seed gives the same table
            torch.backends.cudnn.deterministic = True
            torch.backends.cudnn.benchmark = False
        return device

    def devices(self) -> list[str]:
        """The devices that cells of a comparison are spread over: those named, or all cards where there are several."""
        if self.device != "auto":
            return [name.strip() for name in self.device.split(",")]
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]

    def loaders(self) -> int:
        """Processes that read batches."""
        return (2 if self.torch_device().type == "cuda" else 0) if self.workers is None else self.workers

    def decoders(self, files: bool) -> int:
        """Processes that decode media; by default 0 without files, since there is too little work for a process."""
        return ((os.cpu_count() or 1) if files else 0) if self.workers is None else self.workers


@dataclass
class Trainer:
    """A model in training: the state that `fit` changes and a checkpoint saves.

    Attributes:
        optim: the settings that optimizer and scheduler were made from.
        updates: what becomes of gradients before the optimizer steps.
        epoch: finished epochs.
        best_epoch, best_accuracy: the earliest epoch of highest fused validation accuracy; 0 before the first.
        metrics: {modality or "fused": {metric: value}} on validation after the last epoch; empty before the first.
        averaged: the moving average of the weights; None if there is none, or before the first step.
    """

    model: FusionModel
    method: Method
    optimizer: Optimizer
    scheduler: LRScheduler
    transform: BatchTransform
    device: torch.device
    optim: OptimConfig
    updates: Updates
    epoch: int = 0
    best_epoch: int = 0
    best_accuracy: float = -1.0
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    averaged: AveragedModel | None = None

    @property
    def evaluated(self) -> FusionModel:
        """The model that predicts: the averaged one if there is one."""
        if self.averaged is None:
            return self.model
        averaged = self.averaged.module
        assert isinstance(averaged, FusionModel)
        return averaged

    def average(self) -> None:
        """Update the average with the weights after a step; at the first step they are the average."""
        if self.optim.ema:
            if self.averaged is None:
                self.averaged = self.optim.average(self.model)
            self.averaged.update_parameters(self.model)

    def reset_optimizer(self) -> None:
        """Make a new optimizer and schedule, as at the start."""
        self.optimizer = self.method.optimizer(self.model, self.optim)
        self.scheduler = self.optim.scheduler(self.optimizer)
        self.updates = Updates(self.optim, self.optimizer, self.model.precision)

    def set_rate(self, done: float, total: float, step: float) -> None:
        """Change the learning rates for the step that begins after `done` of `total` epochs, see `OptimConfig.factor`.

        They are multiplied by the factor's change, so a method may have rates of its own for its parameter groups.
        """
        now = self.optim.factor(done, total, step)
        unknown = self.optim.factor(done - step, total, step) if done else 1.0  # in checkpoints of 0.1
        for group in self.optimizer.param_groups:
            group["lr"] *= now / group.get(FACTOR, unknown)
            group[FACTOR] = now


def make_trainer(
    model: FusionModel, method: Method, optim: OptimConfig, data: RunData, device: torch.device
) -> Trainer:
    """A trainer with a new optimizer; heads must be attached already."""
    model.to(device)
    optimizer = method.optimizer(model, optim)
    transform = BatchTransform(data.specs, data.augment).to(device)
    updates = Updates(optim, optimizer, model.precision)
    return Trainer(model, method, optimizer, optim.scheduler(optimizer), transform, device, optim, updates)


def fit(
    trainer: Trainer,
    data: RunData,
    epochs: int,
    context: Context | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Iterator[Values]:
    """Train up to `epochs` finished epochs, yielding each epoch's (split, modality, metric, value).

    An epoch depends only on (seed, epoch) and the state before it, so a resumed run equals an unbroken one.
    `begin_epoch` has random numbers of its own, so its draws do not change the steps that follow.

    Args:
        context: what the stage sets for the round; the rest of it is set here at each epoch.

    Raises:
        NonFiniteError: the loss became NaN or infinite; the message has the samples of the batch.
    """
    model, method = trainer.model, trainer.method
    context = replace(context or Context(), data=DataView(data, trainer.device), optim=trainer.optim)
    while trainer.epoch < epochs:
        _begin_random(model, mix_seed(data.seed, 2, trainer.epoch))
        method.begin_epoch(model, trainer.epoch, _now(context, trainer, data.seed, epochs))
        seed = mix_seed(data.seed, 1, trainer.epoch)
        _begin_random(model, seed)
        model.train()
        trainer.transform.train()
        losses, memory = _train_epoch(trainer, data, seed, context.span or (0, context.epochs or epochs), on_step)
        trainer.scheduler.step()
        own = method.end_epoch(model)
        trainer.epoch += 1
        trainer.metrics = metrics = measure(predict(trainer, data, data.val))
        accuracy = metrics[FUSED]["accuracy"]
        if accuracy > trainer.best_accuracy:
            trainer.best_epoch, trainer.best_accuracy = trainer.epoch, accuracy
        yield [
            ("train", "all", "loss", float(losses.mean())),
            *([] if memory is None else [("train", "all", "memory", float(memory))]),
            *(("train", m, name, value) for m, name, value in (*own, *_skipped(trainer))),
            *(("val", m, name, value) for m, v in metrics.items() for name, value in v.items()),
        ]


def _begin_random(model: FusionModel, seed: int) -> None:
    """Begin the random numbers, in all processes."""
    torch.manual_seed(seed)
    if model.spread is not None:
        model.spread.seed(seed)


def _now(context: Context, trainer: Trainer, seed: int, epochs: int) -> Context:
    """The context of the epoch that is about to begin."""
    return replace(
        context,
        epochs=context.epochs or epochs,
        metrics=trainer.metrics,
        optimizer=trainer.optimizer,
        generator=torch.Generator().manual_seed(mix_seed(seed, 3, trainer.epoch)),
    )


def _skipped(trainer: Trainer) -> list[tuple[str, str, float]]:
    """How many steps were left out because a gradient overflowed, if that may happen."""
    return [("all", "skipped_steps", float(trainer.updates.skipped))] if trainer.model.precision.scaled else []


def _train_epoch(
    trainer: Trainer,
    data: RunData,
    seed: int,
    span: tuple[int, int],
    on_step: Callable[[int, int], None] | None,
) -> tuple[np.ndarray, int | None]:
    """Do one pass over the training samples that the method reads.

    Returns:
        The loss of every batch, and the bytes that the first step needed; None where they cannot be counted.
    """
    order = trainer.method.order(data.fit.sample_ids)
    read = len(data.fit) if order is None else len(order)
    total, together = -(-read // data.batch_size), trainer.optim.accumulate
    steps = -(-total // together)
    losses: list[Tensor] = []
    memory: int | None = None
    recent: list[tuple[Batch, Tensor]] = []
    trainer.updates.skipped = 0
    for number, raw in enumerate(data.training_batches(trainer.epoch, order)):
        step, place = divmod(number, together)
        last = place + 1 == together or number + 1 == total
        trainer.updates.begin_batch(min(together, total - step * together), last)
        if trainer.optim.by_step and place == 0:
            trainer.set_rate(trainer.epoch - span[0] + step / steps, span[1] - span[0], 1 / steps)
        batch = trainer.transform(raw.to(trainer.device), mix_seed(seed, number))
        if number:
            loss = trainer.method.step(trainer.model, trainer.optimizer, batch)
        else:
            loss, memory = _counted_step(trainer, batch)
        if last:
            trainer.average()
        losses.append(loss)
        recent.append((raw, loss))
        if len(recent) == CHECK_EVERY or number + 1 == total:
            _check_finite(recent, trainer.epoch + 1)
            recent.clear()
        if on_step:
            on_step(number + 1, total)
    return torch.stack(losses).double().cpu().numpy(), memory


def _counted_step(trainer: Trainer, batch: Batch) -> tuple[Tensor, int | None]:
    """A step, and its bytes: weights, gradients, the optimizer's state, the average, what is kept for backward passes.

    Of this process; a compiled model does not tell what it keeps.
    """
    model, optimizer = trainer.model, trainer.optimizer
    if model.config.compile:
        return trainer.method.step(model, optimizer, batch), None
    weights = list(model.parameters())
    with Kept((*weights, *batch.inputs.values())) as kept:
        loss = trainer.method.step(model, optimizer, batch)
    state = [x for own in optimizer.state.values() for x in own.values() if isinstance(x, Tensor)]
    gradients = [w.grad for w in weights if w.grad is not None]
    averaged = [] if trainer.averaged is None else list(trainer.averaged.parameters())
    return loss, kept.most + stored((*weights, *gradients, *state, *averaged, *batch.inputs.values()))


def _check_finite(recent: list[tuple[Batch, Tensor]], epoch: int) -> None:
    finite = torch.isfinite(torch.stack([loss for _, loss in recent])).cpu().numpy()
    if not finite.all():
        batch, loss = recent[int(np.argmin(finite))]
        ids = ", ".join(batch.sample_ids[:8]) + (", ..." if len(batch.sample_ids) > 8 else "")
        raise NonFiniteError(
            f"the loss became {float(loss)} in epoch {epoch}, in the batch of samples {ids}",
            "lower optim.lr, or look at these samples; earlier epochs are kept",
        )


@torch.no_grad()
def encode(trainer: Trainer, data: RunData, samples: Samples) -> dict[str, NDArray[np.float32]]:
    """{modality: (N, D) features}, float32, of every sample, in eval mode and un-augmented."""
    model = trainer.evaluated
    model.eval()
    trainer.transform.eval()
    batches = (trainer.transform(raw.to(trainer.device)) for raw in data.ordered_batches(samples))
    found = [model.encode(batch.inputs) for batch in batches]
    return {m: torch.cat([part[m].float().cpu() for part in found]).numpy() for m in model.modalities}


@torch.no_grad()
def predict(trainer: Trainer, data: RunData, samples: Samples) -> Predictions:
    """Class probabilities of every sample, in eval mode and un-augmented; softmax in float64."""
    model, method = trainer.evaluated, trainer.method
    model.eval()
    trainer.transform.eval()
    parts: dict[str, list[Tensor]] = {m: [] for m in (*model.modalities, FUSED)}
    for raw in data.ordered_batches(samples):
        batch = trainer.transform(raw.to(trainer.device))
        logits, fused = method.predict(method.forward(model, batch.inputs))
        for name, value in {**logits, FUSED: fused}.items():
            parts[name].append(value.double().cpu())
    probs = {name: torch.cat(p).softmax(dim=1).numpy() for name, p in parts.items()}
    for name, p in probs.items():
        if bad := samples.sample_ids[~np.isfinite(p).all(axis=1)].tolist():
            raise NonFiniteError(
                f"predictions of {name} are not finite for samples {', '.join(bad[:8])}",
                "the checkpoint has diverged; lower optim.lr",
            )
    return Predictions(samples.sample_ids, samples.labels, model.classes, model.modalities, probs)
