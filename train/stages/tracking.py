"""Trackers: where a run's epochs and pictures may go beside the table.

Each is given the same three things: the settings, the numbers of every epoch, and at the end the pictures of the
report. Nothing goes over a network unless the tracker's own environment says so, such as WANDB_MODE=online or
MLFLOW_TRACKING_URI.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from curate.errors import CurateError, first_line
from curate.types import Run

LOG = logging.getLogger(__name__)
UNUSUAL = re.compile(r"[^\w\-./]")
"""What some tracker takes in no name."""
PROJECT = "curate"
"""The project, or experiment, of all runs, in trackers that have such."""


class Tracker(Protocol):
    """One run in a tracker."""

    def numbers(self, epoch: int, values: Mapping[str, float]) -> None:
        """Log the numbers of an epoch, counted from 1."""

    def picture(self, name: str, picture: Image.Image) -> None:
        """Log a picture of the finished run."""

    def close(self, done: bool) -> None:
        """End the run; `done` is False if it was interrupted or failed."""


class TensorBoard:
    """Event files in the run's folder: `tensorboard --logdir curate.runs`."""

    def __init__(self, run: Run, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(folder / "tensorboard"))
        self.epoch = 0
        self.writer.add_text("settings", "\n".join(f"    {k} = {v}" for k, v in _settings(run).items()))

    def numbers(self, epoch: int, values: Mapping[str, float]) -> None:
        """Log scalars."""
        self.epoch = epoch
        for name, value in values.items():
            self.writer.add_scalar(name, value, epoch)

    def picture(self, name: str, picture: Image.Image) -> None:
        """Log an image."""
        self.writer.add_image(name, np.asarray(picture), self.epoch, dataformats="HWC")

    def close(self, done: bool) -> None:
        """Write what is left."""
        self.writer.close()


class MLflow:
    """A run of the experiment `curate`, at MLFLOW_TRACKING_URI, or in a folder `mlruns` beside the runs' folders."""

    def __init__(self, run: Run, folder: Path) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        if (where := os.environ.get("MLFLOW_TRACKING_URI")) is None:
            where = (folder.parent / "mlruns").resolve().as_uri()
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a data base needs the whole of mlflow
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=where)
        known = self.client.get_experiment_by_name(PROJECT)
        experiment = known.experiment_id if known else self.client.create_experiment(PROJECT)
        found = self.client.search_runs([experiment], f"attributes.run_name = '{run.run_id}'")
        new = not found
        self.run = found[0] if found else self.client.create_run(experiment, run_name=run.run_id)
        self.id = self.run.info.run_id
        for name, value in _settings(run).items() if new else ():
            self.client.log_param(self.id, name, value)

    def numbers(self, epoch: int, values: Mapping[str, float]) -> None:
        """Log metrics."""
        for name, value in values.items():
            self.client.log_metric(self.id, name, value, step=epoch)

    def picture(self, name: str, picture: Image.Image) -> None:
        """Log an artifact."""
        self.client.log_image(self.id, picture, artifact_file=f"{name}.png")

    def close(self, done: bool) -> None:
        """End the run."""
        self.client.set_terminated(self.id, "FINISHED" if done else "KILLED")


class Wandb:
    """A run of the project `curate`, kept in the run's folder; WANDB_MODE=online sends it."""

    def __init__(self, run: Run, folder: Path) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        self.image = wandb.Image
        self.epoch = 0
        self.run: Any = wandb.init(
            project=PROJECT,
            id=run.run_id,
            name=run.run_id,
            dir=folder,
            config=_settings(run),
            mode="online" if os.environ.get("WANDB_MODE") == "online" else "offline",
            resume="allow",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def numbers(self, epoch: int, values: Mapping[str, float]) -> None:
        """Log a row of the history."""
        self.epoch = epoch
        self.run.log(dict(values), step=epoch)

    def picture(self, name: str, picture: Image.Image) -> None:
        """Log an image."""
        self.run.log({name: self.image(picture)}, step=self.epoch)

    def close(self, done: bool) -> None:
        """End the run."""
        self.run.finish(exit_code=0 if done else 1)


class Trackio:
    """A run of the project `curate` in trackio's own folder, which TRACKIO_DIR names."""

    def __init__(self, run: Run, folder: Path) -> None:
        import trackio

        self.image = trackio.Image
        self.finish: Callable[[], None] = trackio.finish  # its Run.finish would be repeated, loudly, at the exit
        self.run: Any = trackio.init(
            project=PROJECT,
            name=run.run_id,
            config=_settings(run),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def numbers(self, epoch: int, values: Mapping[str, float]) -> None:
        """Log a row of the history."""
        self.run.log(dict(values), step=epoch)

    def picture(self, name: str, picture: Image.Image) -> None:
        """Log an image."""
        self.run.log({name: self.image(picture)})

    def close(self, done: bool) -> None:
        """End the run."""
        self.finish()


KINDS: Mapping[str, tuple[str, Callable[[Run, Path], Tracker]]] = {
    "tensorboard": ("tensorboard", TensorBoard),
    "mlflow": ("mlflow", MLflow),
    "wandb": ("wandb", Wandb),
    "trackio": ("trackio", Trackio),
}
"""{name: its package, its class}."""


class Tracking:
    """What a session tells a tracker, one run after the other; nothing if there is none.

    A tracker that fails is left out from then on, with a warning: a training never ends because of it.

    Args:
        name: a key of `KINDS`, or None.

    Raises:
        CurateError: its package is not installed.
    """

    def __init__(self, name: str | None = None) -> None:
        if name is not None and find_spec(KINDS[name][0]) is None:
            raise CurateError(
                f"--track {name} needs a package that is not installed", f"pip install 'curate-mm[{name}]'"
            )
        self.name = name
        self.tracker: Tracker | None = None

    def begin(self, run: Run, folder: Path) -> None:
        """Begin a run, or go on with it."""
        if self.name is not None:
            folder.mkdir(parents=True, exist_ok=True)
            kind = KINDS[self.name][1]
            self._try(lambda: setattr(self, "tracker", kind(run, folder)))

    def epoch(self, epoch: int, values: list[tuple[str, str, str, float]]) -> None:
        """Log an epoch's (split, modality, metric, value) as `split/modality/metric`, unusual signs as dots."""
        if (tracker := self.tracker) is not None:
            named = {UNUSUAL.sub(".", f"{split}/{m}/{metric}"): value for split, m, metric, value in values}
            self._try(lambda: tracker.numbers(epoch, named))

    def end(self, pictures: Callable[[], Mapping[str, bytes]] | None) -> None:
        """Log the pictures, {name: PNG}, and end the run; None if it was interrupted or failed."""
        if (tracker := self.tracker) is None:
            return
        if pictures is not None:
            self._try(lambda: _log_all(tracker, pictures()))
        self._try(lambda: tracker.close(pictures is not None))
        self.tracker = None

    def _try(self, do: Callable[[], None]) -> None:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # standard output is for the command's result
                do()
        except Exception as error:  # whatever a tracker raises
            LOG.warning("warning: %s failed and is left out from now on: %s", self.name, first_line(error))
            self.name = self.tracker = None


def _log_all(tracker: Tracker, pictures: Mapping[str, bytes]) -> None:
    for name, content in pictures.items():
        tracker.picture(name, Image.open(io.BytesIO(content)).convert("RGB"))


def _settings(run: Run) -> dict[str, Any]:
    """A run's settings and what identifies it, in one level."""
    own = {"method": run.method, "dataset": run.dataset, "seed": run.seed, "parent": run.parent or ""}
    sections = {name: values for name, values in run.config.items() if isinstance(values, Mapping)}
    return own | {f"{name}.{key}": value for name, values in sections.items() for key, value in values.items()}
