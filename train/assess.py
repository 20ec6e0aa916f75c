"""Usability of a scored run: what the warm-up said epoch by epoch, pooled over samples that look alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from curate import usability
from curate.gap import true_class_probability
from curate.types import Run
from curate.usability import Evidence

from .appearance import appearance, is_deep
from .data import RunData
from .engine import Trainer, predict
from .workplace import Workplace

REFERENCES = "usability.npz"


def references(work: Workplace, run: Run) -> Path:
    """Where a scored run keeps what new samples are compared with."""
    return work.folder(run) / REFERENCES


def assess(work: Workplace, run: Run, trainer: Trainer, data: RunData) -> None:
    """Judge every modality on every training sample, and keep it; nothing where the epochs were not kept.

    The claim that a group is broken is checked on the validation samples, which the model was not trained on.
    """
    known = work.table.evidence(run.run_id)
    if known is None:
        return
    ids, p_true, log_margin = known
    assert np.array_equal(ids, data.fit.sample_ids)
    label = f"{run.run_id} usability"
    work.progress(label, 0, 1, "")
    seen, held = appearance(trainer, data, data.fit), appearance(trainer, data, data.val)
    said = predict(trainer, data, data.val)
    evidence = {
        m: Evidence(
            p_true[:, j],
            seen[m],
            true_class_probability(said.probs[m], said.labels),
            held[m],
            is_deep(trainer.model.encoders.get_submodule(m)),
        )
        for j, m in enumerate(run.modalities)
    }
    found = usability.assess(ids, evidence, len(run.classes), seed=run.seed)
    usability.save(references(work, run), found.references)
    work.table.write_usability(run.run_id, found, usability.contradiction(log_margin))
    work.progress(label, 1, 1, "")
