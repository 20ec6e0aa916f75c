"""Whether planned trainings can begin at all, found out before the first of several is trained."""

from __future__ import annotations

import json
from dataclasses import replace

from curate.datasets.base import Dataset
from curate.types import Run

from .session import Session
from .setup import prepare

SECTIONS = ("model", "method")
"""What decides it, beside method and data."""


def check_able(session: Session, run: Run, dataset: Dataset, tried: set[str]) -> None:
    """Make the network of a planned training and let its method take it, without weights, steps or devices.

    Args:
        dataset: what the run is to be trained on.
        tried: methods with their settings that can begin; the run's are added.

    Raises:
        CurateError: the method cannot be used with these data or settings.
    """
    settings = {name: run.config[name] for name in SECTIONS}
    key = json.dumps([run.method, dataset.data_id(), settings], sort_keys=True, default=str)
    if key in tried:
        return
    alone = replace(session, runtime=replace(session.runtime, team=None, device="cpu"))
    fresh = {**run.config, "train": {**run.config["train"], "start": "scratch"}}
    prepare(alone, replace(run, parent=None, config=fresh), dataset)
    tried.add(key)
