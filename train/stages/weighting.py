"""Usability at test time: unimodal logits are weighted by it before they are summed; with controls.

No label of the weighted samples is used, and no weight is trained.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from curate.errors import CurateError
from curate.scores import usability
from curate.scores.metrics import METRICS
from curate.scores.references import load
from curate.types import FUSED, Floats, Predictions, Run

from .appearance import appearance
from .assess import references
from .session import Session
from .setup import LAST, prepare

SUM = 1e-4
"""Largest allowed difference between the fused probabilities and those of the sum of the unimodal logits."""


def usability_of(session: Session, scored: Run, split: str) -> Floats:
    """(N, M) usability in [0, 1] of a split's samples, ascending by id, by the scored run's warm model; label-free.

    Raises:
        CurateError: it is the split that was scored, or the run was not assessed.
    """
    if split == "train":
        raise CurateError(
            "weights are for samples that no model was trained on, not for split train",
            "use --split val or test; of the training samples `samples` has usability_<modality>",
        )
    path = references(session, scored)
    if not path.exists():
        raise CurateError(
            f"nothing is known of usability in {scored.run_id}", "score again, without score.dynamics=false"
        )
    job = prepare(session, scored)
    job.load_weights(job.folder / LAST)
    seen = appearance(job.trainer, job.data, job.samples(split))
    known = load(path)
    held = np.arange(len(next(iter(seen.values())))) if split == "val" else None
    return np.stack([known[m].of(seen[m], held) for m in scored.modalities], axis=1)


def weighted_metrics(said: Predictions, weights: Floats, seed: int) -> dict[str, Mapping[str, float]]:
    """{how the fusion is weighted: {metric: value}}: not at all, by usability, and by its two controls.

    `shuffled` has the same weights on other samples, `constant` their mean on every sample. A real gain must need the
    right weight on the right sample, so it must be larger than theirs.

    Args:
        weights: (N, M) in [0, 1], rows as the samples of `said`.
        seed: of the permutation.

    Raises:
        CurateError: the fused logits are not the sum of the unimodal ones, so they cannot be weighted.
    """
    alone = {m: said.probs[m] for m in said.modalities}
    apart = np.abs(usability.weighted_fusion(alone, np.ones_like(weights)) - said.probs[FUSED]).max()
    if apart > SUM:
        raise CurateError(
            f"the fused prediction is not the sum of the unimodal logits: probabilities differ by up to {apart:.2g}",
            "--weighting is for model.fusion=concat or sum without heads of a method's own, e.g. joint, warmup, usable",
        )
    others = np.random.default_rng(seed).permutation(len(weights))
    mean = np.broadcast_to(weights.mean(axis=0), weights.shape)
    by = {"usability": weights, "shuffled": weights[others], "constant": mean}
    fused = {"none": said.probs[FUSED]} | {how: usability.weighted_fusion(alone, w) for how, w in by.items()}
    return {how: {k: metric(p, said.labels) for k, metric in METRICS.items()} for how, p in fused.items()}
