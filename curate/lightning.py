"""A callback for Lightning: records what a model predicts for each sample, scores it, and hands the table back."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from curate.errors import CurateError
from curate.torch.epochs import Epochs

try:
    import lightning.pytorch as pl
except ImportError:
    raise CurateError(
        "curate.lightning needs the package lightning", "install the extra: pip install 'curate-mm[lightning]'"
    ) from None


class RecorderCallback(pl.Callback):
    """Records each training step, and each validation step that returns a record; one process or several (DDP).

    The steps of your module return the arguments of `curate.torch.Recorder.add` as `record`:

        def training_step(self, batch, number):
            ids, labels, sound, frames = batch
            audio, visual, fused = self(sound, frames)
            loss = self.loss(ids, labels, {"audio": audio, "visual": visual}, fused)   # e.g. AdaptiveLoss
            record = {"sample_ids": ids, "labels": labels, "logits": {"audio": audio, "visual": visual}, "fused": fused}
            return {"loss": loss, "record": record}

        callback = RecorderCallback("recorded", classes, table="curate.duckdb", every=5, after=model.loss.refresh)
        Trainer(callbacks=[callback], num_sanity_val_steps=0).fit(model, loader, validation)

    Training is recorded as the weights move, so a sample's prediction is that of its own step. Every epoch must hold
    the same samples: neither `limit_train_batches` nor `drop_last`. An epoch that ends before its last batch, by
    `max_steps` or a callback that stops the training, is not recorded, nor is a `fast_dev_run`. `EpochSampler` as
    sampler, with the setting `use_distributed_sampler=False`, draws by the table's weights; a weighted draw is no epoch
    to record.

    Args:
        arguments: see `curate.torch.epochs.Epochs`: `folder`, `classes`, and by name `table`, `every`, `after`, and the
            options of `Recorder`.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.epochs = Epochs(*arguments, **named)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epochs.begin("train", trainer.current_epoch + 1)

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not isinstance(outputs, dict) or "record" not in outputs:
            raise CurateError("training_step returned no record", 'return {"loss": loss, "record": {...}}')
        self.epochs.add("train", outputs["record"])

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        whole = trainer.is_last_batch and not _is_trial(trainer)
        self.epochs.end("train", whole)
        if whole:
            self.epochs.score_if_due()

    @override
    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not trainer.sanity_checking and isinstance(outputs, dict) and "record" in outputs:
            self.epochs.add("val", outputs["record"], trainer.current_epoch + 1)

    @override
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epochs.end("val", whole=not _is_trial(trainer))

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epochs.score()

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.epochs.drop("train", "val")


def _is_trial(trainer: pl.Trainer) -> bool:
    """Whether it runs a few batches alone, a `fast_dev_run`; the attribute is not among those that it declares."""
    return bool(getattr(trainer, "fast_dev_run", False))
