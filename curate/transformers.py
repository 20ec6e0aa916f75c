"""A callback for the Hugging Face Trainer: records each sample, scores, and brings losses of the table back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from typing_extensions import override

from curate.errors import CurateError
from curate.torch import AdaptiveLoss, UsableLoss, multimodal_cross_entropy
from curate.torch.epochs import Epochs
from curate.torch.recorder import Split

try:
    from transformers import TrainerCallback
except ImportError:
    raise CurateError(
        "curate.transformers needs the package transformers", "install the extra: pip install 'curate-mm[transformers]'"
    ) from None

Loss = Callable[[Any, Tensor, Mapping[str, Tensor], Tensor], Tensor]
"""Of sample_ids, labels, logits by modality and fused logits."""


class RecorderCallback(TrainerCallback):
    """Records each forward of training and evaluation; no subclass of the Trainer, one process or several.

        def record(inputs, outputs):
            known = {name: inputs[name] for name in ("sample_ids", "labels")}
            logits = {"audio": outputs["audio"], "visual": outputs["visual"]}
            return {**known, "logits": logits, "fused": outputs["logits"]}

        callback = RecorderCallback("recorded", classes, record, table="curate.duckdb")
        arguments = TrainingArguments(remove_unused_columns=False, label_names=["labels"])
        Trainer(model, arguments, train_dataset=data, callbacks=[callback]).train()
        loss = callback.loss(AdaptiveLoss(curate.open("curate.duckdb")))
        Trainer(model, arguments, train_dataset=data, callbacks=[callback], compute_loss_func=loss).train()

    Your data give `sample_ids`, which the model does not get to see: whole numbers, or strings with a collator of your
    own, since the usual one drops strings. Evaluation is recorded as validation. Training is recorded as the weights
    move; every epoch must hold the same samples (no `dataloader_drop_last`, no resuming within an epoch). An epoch that
    ends before its last batch, by `max_steps` or a callback that stops the training, is not recorded.

    Args:
        folder: see `curate.torch.Recorder`.
        classes: see `curate.torch.Recorder`.
        record: from all inputs of a forward and its outputs, the arguments of `Recorder.add` by name.
        hidden: inputs that are not for the model.
        named: `table`, `every`, `after`, see `curate.torch.epochs.Epochs`, and the options of `Recorder`.
    """

    def __init__(
        self,
        folder: Any,
        classes: Sequence[str],
        record: Callable[[Mapping[str, Any], Any], Mapping[str, Any]],
        *,
        hidden: Sequence[str] = ("sample_ids",),
        **named: Any,
    ) -> None:
        self.epochs = Epochs(folder, classes, **named)
        self.record, self.hidden = record, tuple(hidden)
        self._inputs: dict[str, Any] = {}
        self._waiting: tuple[Split, Any] | None = None
        self._last: Mapping[str, Any] = {}
        self._split: Split = "train"
        self._hooks: list[Any] = []
        self._training = False

    def loss(self, function: Loss, evaluated: Loss | None = None) -> Callable[..., Tensor]:
        """A `compute_loss_func` from a loss of (sample_ids, labels, logits, fused), a mean over the batch.

        It is scaled as the Trainer expects of such a function, gradient accumulation and several processes included.

        Args:
            function: what is trained by.
            evaluated: the same for samples that are evaluated; left out, `function`, and in place of a loss that knows
                training samples alone (`AdaptiveLoss`, `UsableLoss`) the multimodal cross-entropy.
        """
        if evaluated is None:
            evaluated = _plain if isinstance(function, AdaptiveLoss | UsableLoss) else function

        def compute(outputs: Any, labels: Tensor | None, num_items_in_batch: Tensor | int | None = None) -> Tensor:
            if self._waiting is not None:
                self._add(*self._waiting, {**self._inputs, "labels": labels})
            found = self._last
            if "fused" not in found:
                raise CurateError(f"a loss needs fused logits, the record has {', '.join(found)}", "add `fused` to it")
            measured = function if self._split == "train" else evaluated
            value = measured(found["sample_ids"], found["labels"], found["logits"], found["fused"])
            return value if num_items_in_batch is None else value * (len(found["labels"]) / num_items_in_batch)

        return compute

    @override
    def on_init_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self._hook(model)  # so that a model can be evaluated before it is trained

    @override
    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if args.n_gpu > 1:
            raise CurateError(f"one process drives {args.n_gpu} GPUs", "start one for each: torchrun, or accelerate")
        self._hook(model)
        self._training = True

    @override
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.epochs.score_if_due()
        self.epochs.begin("train", int((state.epoch or 0) + 1e-6) + 1)

    @override
    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._check_labels()
        left = control.should_training_stop or control.should_epoch_stop  # by the last step of the training, too
        self.epochs.end("train", whole=not left or abs(state.epoch - round(state.epoch)) < 1e-6)

    @override
    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.epochs.end("val")

    @override
    def on_predict(self, args: Any, state: Any, control: Any, *arguments: Any, **kwargs: Any) -> None:
        self.epochs.drop("val")

    @override
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.epochs.drop("train", "val")
        self.epochs.score()
        self._training = False

    def _hook(self, model: nn.Module) -> None:
        """See each forward of this model from now on, and of no other."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = [
            model.register_forward_pre_hook(self._before, prepend=True, with_kwargs=True),
            model.register_forward_hook(self._after),
        ]

    def _before(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Keep all inputs, and give the model its own; after training too, so that the model can be evaluated."""
        self._check_labels()
        missing = [name for name in self.hidden if name not in kwargs]
        if missing and self._training:
            raise CurateError(
                f"the inputs have no {', '.join(missing)}, only {', '.join(kwargs)}",
                "set TrainingArguments(remove_unused_columns=False), and give the column, as numbers",
            )
        self._inputs = kwargs
        return args, {name: x for name, x in kwargs.items() if name not in self.hidden}

    def _after(self, module: nn.Module, args: Any, outputs: Any) -> None:
        """Record a forward, or let it wait for the labels that the Trainer took out for a loss function."""
        split: Split = "train" if module.training else "val"
        if not self._training or (split == "train" and not self.epochs.is_open(split)):
            return
        self._waiting = (split, outputs)
        if self._inputs.get("labels") is not None:
            self._add(split, outputs, self._inputs)

    def _add(self, split: Split, outputs: Any, inputs: Mapping[str, Any]) -> None:
        self._waiting = None
        self._last, self._split = self.record(inputs, outputs), split
        self.epochs.add(split, self._last)

    def _check_labels(self) -> None:
        if self._waiting is not None:
            raise CurateError("the inputs have no labels", "give them as `labels`; a loss as callback.loss(function)")


def _plain(sample_ids: Any, labels: Tensor, logits: Mapping[str, Tensor], fused: Tensor) -> Tensor:
    return multimodal_cross_entropy(logits, fused, labels)
