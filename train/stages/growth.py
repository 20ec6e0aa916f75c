"""New samples of a data set are scored by the network that scored the old ones, which keep their scores."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from curate import config as settings
from curate.datasets import find as find_dataset
from curate.files.lock import claimed
from curate.predictions.growth import missing, note, write_grown
from curate.scores.scoring import versions
from curate.train.loop import checkpoint
from curate.train.loop.engine import predict
from curate.types import Run

from .assess import references
from .session import Workplace, prepare_trainer


def score_missing(work: Workplace, scored: Run, root: Path | None) -> Run:
    """Score what a data set holds now and a run has not scored, as a new run beside it, with copies of the old scores.

    Args:
        root: where the data set lies now; None = where it lay.

    Returns:
        The new run; the old one where nothing is missing.

    Raises:
        CurateError: classes, modalities or labels of scored samples have changed.
    """
    kind = find_dataset(scored.dataset)
    place = root.resolve() if root else Path(scored.root) if scored.root else None
    dataset = kind(place, settings.build(kind.Options, scored.config["data"], "data"))
    cache = work.open_cache(dataset)
    run_id = work.table.new_run_id(f"score-{scored.dataset}", work.runs_folder)
    run = replace(
        scored,
        run_id=run_id,
        data_id=cache.data_id,
        root=str(dataset.root) if dataset.root else None,
        modalities=dataset.modalities,
        classes=dataset.classes,
        versions=versions(),
        folder=str(work.runs_folder / run_id),
        checkpoint_sha256=None,
    )
    with claimed(work.folder(run)):
        trainer, data = prepare_trainer(work, run, dataset, cache)
        labels = {str(i): dataset.classes[k] for i, k in zip(data.fit.sample_ids, data.fit.labels, strict=True)}
        new = missing(work.table, scored, labels)
        if not len(new):
            return scored
        source, copy = work.folder(scored) / "last.pt", work.folder(run) / "last.pt"
        checkpoint.load_model(trainer.model, checkpoint.read(source, trainer.device), str(source))
        wanted = np.isin(data.fit.sample_ids, new)
        work.progress(f"{run_id} scoring", 0, 1, "scoring")
        predictions = predict(trainer, data, data.fit.subset(wanted))
        work.progress(f"{run_id} scoring", 1, 1, "scoring")
        shutil.copyfile(source, copy)
        if (known := references(work, scored)).exists():
            shutil.copyfile(known, references(work, run))
        # Its rows first: one that is killed leaves no unfinished run, which --resume would warm up and fit again.
        write_grown(work.table, scored, run, data.fit.sample_ids[~wanted], predictions)
        work.table.start_run(replace(run, note=note(len(new), scored)))
        work.table.finish_run(run_id, "done", checkpoint.sha256(copy))
    return work.table.find_run(run_id)
