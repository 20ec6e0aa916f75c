"""Encoders by name: what they read is settled before the data set is decoded, and their weights are tried."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from curate import config
from curate.datasets.base import Dataset
from curate.specs import InputSpec
from curate.train.loop import checkpoint
from curate.train.models.external.description import Description, network_specs, wishes
from curate.train.models.external.names import assign, describe, reading, split_choice
from curate.train.models.model import FusionModel, ModelConfig
from curate.types import Run

from .session import Session

ENCODERS, STARTED = "encoders", "started"
"""Keys of a run's configuration: what is known of its encoders by name, and what their weights are."""


def known_encoders(choice: str, weights: Path | None = None) -> dict[str, Description]:
    """{name: description} of the encoders by name in `model.encoder`.

    Args:
        weights: a checkpoint; what it has of an encoder is taken from there.

    Raises:
        CurateError: there is no such encoder.
    """
    names = sorted(set(split_choice(choice).values()))
    content = checkpoint.read(weights, torch.device("cpu")) if names and weights else {}
    kept = {d.name: d for d in checkpoint.encoders(content).values()}
    return {name: kept[name] if name in kept else describe(name) for name in names}


def fitted(
    dataset: Dataset,
    found: Mapping[str, Description],
    layers: Sequence[config.Layer],
    options: Callable[[config.Layer], Dataset.Options],
) -> tuple[Dataset, dict[str, Description]]:
    """The data set, opened again with the settings that its encoders ask for, and {modality: its encoder by name}.

    Settings that the user gave, and those that the data set does not have, are left: the encoder then adapts its input.

    Args:
        dataset: opened without regard to encoders.
        found: {modality: its encoder by name}.
        layers: the user's settings.
        options: those of the data set with one more layer below the user's.
    """
    given = frozenset(key for layer in layers for key in layer.get("data", {}))
    settled = {m: d.settled(dataset.specs[m], given) for m, d in found.items()}
    fields = {f.name for f in dataclasses.fields(dataset.options)}
    wanted = {k: v for k, v in wishes(settled, dataset.specs).items() if k in fields - given}
    if not wanted:
        return dataset, settled
    again = type(dataset)(dataset.root, options({"data": wanted}))
    shown = ", ".join(f"data.{k}={v}" for k, v in wanted.items())
    names = ", ".join(sorted({d.name for d in settled.values()}))
    again.notes = (*again.notes, f"{names}: {shown} was chosen; another by --set")
    return again, settled


def described(run: Run) -> dict[str, Description]:
    """{modality: its encoder by name} as a run keeps it."""
    return {m: Description(**values) for m, values in run.config.get(ENCODERS, {}).items()}


def kept(found: Mapping[str, Description]) -> dict[str, Any]:
    """A section for a run's configuration; none without encoders by name."""
    return {ENCODERS: {m: d.as_json() for m, d in found.items()}} if found else {}


def inherited(parent: Run, settings: ModelConfig, specs: Callable[[], Mapping[str, InputSpec]]) -> dict[str, Any]:
    """A section for the configuration of a run that trains from a scored one.

    Args:
        settings: of the new run's model.
        specs: {modality: its input}, called only if the encoders are not the parent's.
    """
    if settings.encoder == parent.config["model"]["encoder"]:
        return kept(described(parent))
    if not (known := known_encoders(settings.encoder)):
        return {}
    stored = specs()
    found = assign(settings.encoder, stored, known)
    return kept({m: d.settled(stored[m], frozenset({"size"})) for m, d in found.items()})


def tried(session: Session, run: Run, settings: ModelConfig, specs: Mapping[str, InputSpec], fresh: bool = True) -> Run:
    """The run with what the weights of its encoders are, which is also said; they are read, and tried once.

    This comes before anything is decoded. Nothing is done where all encoders are ours and start from random weights.

    Args:
        settings: of the model.
        specs: {modality: its input}, as stored.
        fresh: whether encoders start from their own weights; else a checkpoint has them.

    Raises:
        CurateError: an encoder does not fit its modality, or its weights cannot be had or do not fit.
    """
    found = described(run)
    if not (found or settings.weights or settings.freeze or settings.lr_scale):
        return run
    seen, started = network_specs(specs, found), {}
    with torch.random.fork_rng(devices=[]):
        model = FusionModel(seen, run.classes, settings, described=found)
        done = model.load_weights() if fresh else {m: ["weights of the checkpoint"] for m in specs}
    for m in specs:
        lines = [*done.get(m, []), *(reading(found[m], seen[m]) if m in found else [])]
        lines += ["frozen"] if m in model.frozen else []
        lines += [f"learning rate times {model.factors[m]:g}"] if m in model.factors else []
        if lines:
            started[m] = lines
            session.message(f"{m}: {f'{found[m].name}: ' if m in found else ''}{'; '.join(lines)}")
    return replace(run, config={**run.config, STARTED: started})
