"""Scores new samples of a data set with the network that scored the old ones; these keep their scores."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from curate import config
from curate.datasets import find as find_dataset
from curate.files.remote import located
from curate.predictions.growth import missing, note, refuse_unlike, write_grown
from curate.scores.scoring import versions
from curate.train.loop import checkpoint
from curate.train.loop.engine import predict
from curate.types import Run

from .assess import references
from .recording import partial_predictions
from .session import Session
from .setup import LAST, prepare


def score_missing(session: Session, scored: Run, root: Path | None) -> Run:
    """Score the samples of a data set that a run has not scored, as a new run with copies of the old scores.

    Args:
        root: the data set's folder now; None = the same as before.

    Returns:
        The new run; the old one if nothing is missing.

    Raises:
        CurateError: classes, modalities or labels of scored samples have changed, or gaps are means over epochs.
    """
    kind = find_dataset(scored.dataset)
    place = root.resolve() if root else located(scored.root) if scored.root else None
    dataset = kind(place, config.build(kind.Options, scored.config["data"], "data"))
    refuse_unlike(scored, dataset.classes, dataset.modalities)
    run_id = session.store.runs.new_id(f"score-{scored.dataset}", session.runs_folder)
    planned = replace(
        scored,
        run_id=run_id,
        data_id=dataset.data_id(),
        root=str(dataset.root) if dataset.root else None,
        modalities=dataset.modalities,
        classes=dataset.classes,
        versions=versions(),
        folder=str(session.runs_folder / run_id),
        checkpoint_sha256=None,
    )
    with session.working(planned, new=True) as run:
        job = prepare(session, run, dataset)
        data = job.data
        labels = {str(i): dataset.classes[k] for i, k in zip(data.fit.sample_ids, data.fit.labels, strict=True)}
        new = missing(session.store, scored, labels)
        if not len(new):
            if run.data_id != scored.data_id:
                session.message(
                    f"{scored.dataset} has changed since {scored.run_id} scored it, though no sample is new: what was "
                    "replaced keeps its score, and nothing trains from this run; without --only-missing all are scored"
                )
            return scored
        source, copy = session.folder(scored) / LAST, session.folder(run) / LAST
        job.load_weights(source)
        wanted = np.isin(data.fit.sample_ids, new)
        job.progress("scoring", 0, 1, "scoring")
        predictions = predict(job.trainer, data, data.fit.subset(wanted))
        job.progress("scoring", 1, 1, "scoring")
        shutil.copyfile(source, copy)
        if (known := references(session, scored)).exists():
            shutil.copyfile(known, references(session, run))
        # The run's rows come first. If the process is killed, there is no unfinished run, which --resume would warm up
        # and fit again.
        kept = data.fit.sample_ids[~wanted]
        write_grown(session.store, scored, run, kept, predictions, partial_predictions(job))
        session.store.runs.start(replace(run, note=note(len(new), scored)))
        session.store.runs.finish(run.run_id, "done", checkpoint.sha256(copy))
    return session.store.runs.find(run_id)
