"""Checkpoints: written completely or not at all, loaded as data only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from curate.errors import CurateError, counted, first_line
from curate.train.models.external.description import Description
from curate.train.models.model import FusionModel

from .engine import Trainer

FORMAT = 1


def save(trainer: Trainer, path: Path) -> None:
    """Save everything that a resumed training needs, and what identifies the model."""
    model, named = trainer.model, trainer.model.described
    _write(
        {
            "format": FORMAT,
            "modalities": list(model.modalities),
            "classes": list(model.classes),
            "fusion": model.config.fusion,
            "model": model.state_dict(),
            "method": trainer.method.state_dict(),
            "method_name": trainer.method.name,
            "optimizer": trainer.optimizer.state_dict(),
            "scheduler": trainer.scheduler.state_dict(),
            "epoch": trainer.epoch,
            "best_epoch": trainer.best_epoch,
            "best_accuracy": trainer.best_accuracy,
            "scale": [model.precision.scale, model.precision.good],
            # As text: a pickle depends on which equal strings are one object, and that differs in a resumed run.
            "metrics": json.dumps(trainer.metrics),
            **({"encoders": json.dumps({m: d.as_json() for m, d in named.items()})} if named else {}),
            **({} if trainer.averaged is None else {"averaged": trainer.averaged.module.state_dict()}),
        },
        path,
    )


def _write(content: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            torch.save(content, file)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError while it handles that of a full disk
        partial.unlink(missing_ok=True)
        said = error.__context__ if isinstance(error.__context__, OSError) else error
        raise CurateError(
            f"cannot write the checkpoint {path}: {getattr(said, 'strerror', None) or first_line(said)}",
            "check who may write there, and the space left on the disk; then go on with --resume",
        ) from None


def need(path: Path) -> None:
    """Check that there is a checkpoint.

    Raises:
        CurateError: there is none.
    """
    if not path.exists():
        raise CurateError(f"no checkpoint at {path}", "was its folder moved? put it back, or score or train again")


def read(path: Path, device: torch.device) -> Mapping[str, Any]:
    """The content of a checkpoint.

    Raises:
        CurateError: it is missing, or was not written by `save`.
    """
    need(path)
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a file that is no checkpoint can raise anything
        detail = (str(error) or type(error).__name__).splitlines()[0]
        raise CurateError(
            f"{path} cannot be loaded as a checkpoint: {detail}",
            "expected a file written by `curate score` or `curate train`",
        ) from None
    needed = {"modalities", "classes", "fusion", "model"}
    if not isinstance(content, dict) or content.get("format") != FORMAT or not needed <= content.keys():
        raise CurateError(
            f"{path} is not a checkpoint of this version", "expected a file written by `curate score` or `curate train`"
        )
    return content


def encoders(content: Mapping[str, Any]) -> dict[str, Description]:
    """{modality: its encoder by name} of a checkpoint's model."""
    return {m: Description(**values) for m, values in json.loads(content.get("encoders", "{}")).items()}


def load_model(model: FusionModel, content: Mapping[str, Any], source: str) -> None:
    """Load weights of encoders and fusion; heads of a method are left out, unless the model has them too.

    If the weights were averaged, the average is loaded, since the average is what was scored.

    Raises:
        CurateError: the checkpoint has other classes, modalities, fusion or encoders.
    """
    _load(model, content, content.get("averaged", content["model"]), source)


def check(
    content: Mapping[str, Any], modalities: Sequence[str], classes: Sequence[str], fusion: str, source: str
) -> None:
    """Check, before there is a model, that a checkpoint is of these modalities, classes and fusion.

    Raises:
        CurateError: it has others.
    """
    for key, value in {"modalities": list(modalities), "classes": list(classes), "fusion": fusion}.items():
        if content[key] != value:
            hint = "keep model.fusion, or start from scratch" if key == "fusion" else "use a run on the same data set"
            raise CurateError(f"{source} has {key} {content[key]}, this model needs {value}", hint)


def _load(model: FusionModel, content: Mapping[str, Any], stored: Mapping[str, Any], source: str) -> None:
    check(content, model.modalities, model.classes, model.config.fusion, source)
    own = model.state_dict()
    weights = {k: v for k, v in stored.items() if k in own or not k.startswith("extra.")}
    other = sorted(
        k for k in own.keys() | weights.keys() if k not in own or k not in weights or own[k].shape != weights[k].shape
    )
    if other:
        raise CurateError(
            f"{source} holds another architecture: "
            f"{counted(len(other), 'tensor differs', 'tensors differ')}, the first is {other[0]}",
            "use the same model.encoder and preprocessing",
        )
    model.load_state_dict(weights)


def load_trainer(trainer: Trainer, content: Mapping[str, Any], source: str) -> None:
    """Load the whole state of an interrupted training."""
    model = trainer.model
    _load(model, content, content["model"], source)
    if "averaged" in content:
        trainer.average()
        _load(trainer.evaluated, content, content["averaged"], source)
    trainer.method.load_state_dict(content["method"])
    trainer.optimizer.load_state_dict(content["optimizer"])
    trainer.scheduler.load_state_dict(content["scheduler"])
    trainer.epoch = content["epoch"]
    trainer.best_epoch, trainer.best_accuracy = content["best_epoch"], content["best_accuracy"]
    if "scale" in content and model.precision.scaled:
        model.precision.scale, model.precision.good = content["scale"]
    trainer.metrics = json.loads(content.get("metrics", "{}"))  # checkpoints of 0.1 have none


def sha256(path: Path) -> str:
    """Digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
