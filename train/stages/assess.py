"""Usability of a scored run: the warm-up's predictions epoch by epoch, pooled over samples that look alike."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from curate.advice.evidence import read_evidence
from curate.scores import labels, usability
from curate.scores.bounds import limited, wrong_among, wrong_bounds
from curate.scores.gap import true_class_probability
from curate.scores.guard import Labels
from curate.scores.references import BANK, save
from curate.scores.usability import Evidence
from curate.train.data.samples import Samples
from curate.train.loop.engine import predict
from curate.types import FUSED, Floats, Predictions, Run

from .appearance import appearance, is_deep, looks, patterns
from .session import Session
from .setup import Job

REFERENCES = "usability.npz"


def references(session: Session, run: Run) -> Path:
    """The file in which a scored run keeps the references that new samples are compared with."""
    return session.folder(run) / REFERENCES


def assess(job: Job) -> None:
    """Assess every modality on every training sample, and store it; do nothing if no predictions per epoch were kept.

    Whether a group is broken is checked on the validation samples, which the model was not trained on.
    """
    run, data = job.run, job.data
    known = job.store.dynamics.means(run.run_id)
    if known is None:
        return
    ids, p_true, log_margin = known
    assert np.array_equal(ids, data.fit.sample_ids)
    job.progress("usability", 0, 1)
    held = predict(job.trainer, data, data.val)
    evidence = gather(job, p_true, held)
    started = time.perf_counter()
    found = usability.assess(ids, evidence, len(run.classes), seed=run.seed)
    seconds, bank = time.perf_counter() - started, min(len(ids), BANK)
    job.session.message(f"usability: look-alikes of {len(ids)} samples sought among {bank}, {seconds:.1f} s")
    save(references(job.session, run), found.references)
    said = job.store.dynamics.preferences(run.run_id, len(held.labels))
    denied = None
    if said is not None:
        patterns_of = (e.pattern for e in evidence.values())
        shown = wrong_bounds(*said.decided(data.fit.labels)) if run.folds else wrong_among(held)
        wrong = limited(shown, patterns_of, data.fit.labels, run.seed)
        job.store.epochs.write(run.run_id, job.trainer.epoch, [("val", FUSED, "wrong_labels", wrong.least)])
        reads = read_evidence(job.store, run.run_id).reads
        vouches = labels.vouched((e.appearance for e in evidence.values()), data.fit.labels)
        looked = tuple(found.looks.values())
        denied = labels.judge(said, data.fit.labels, found.p_broken, reads, run.seed, vouches, wrong, looked)
    job.store.usability.write(run.run_id, found, usability.contradiction(log_margin), denied)
    job.progress("usability", 1, 1)


def gather(job: Job, p_true: Floats, held: Predictions) -> dict[str, Evidence]:
    """{modality: what it is judged by}: the warm-up's predictions, and what samples look like.

    Args:
        p_true: (N, M) of the training samples, averaged over the warm-up's epochs.
        held: of the validation samples.
    """
    run, trainer, data = job.run, job.trainer, job.data
    seen, unseen = appearance(trainer, data, data.fit), appearance(trainer, data, data.val)
    labels = Labels(data.fit.labels, held.labels, run.classes)
    return {
        m: Evidence(
            p_true[:, j],
            seen[m],
            true_class_probability(held.probs[m], held.labels),
            unseen[m],
            is_deep(trainer.model.encoders.get_submodule(m)),
            labels,
            patterns(data.fit, m),
            looks(data.fit, data.val, m),
        )
        for j, m in enumerate(run.modalities)
    }


def judged(session: Session, scored: Run, samples: Samples, control: str, seed: int) -> Samples:
    """Training samples with their probabilities of being broken, from the table of a scored run.

    A sample that was not assessed there counts as not broken.

    Args:
        control: `shuffled` permutes the rows over the samples by the seed, all modalities of a sample together.

    Raises:
        CurateError: the run was not assessed.
    """
    ids, known = session.store.usability.p_broken(scored.run_id)
    if not known.any():
        session.message(f"no broken group was found in {scored.run_id}: this is the warm-up continued")
    row = {str(i): j for j, i in enumerate(ids)}
    found = np.array([row.get(str(i), -1) for i in samples.sample_ids])
    if (found < 0).any():
        session.message(f"{(found < 0).sum()} samples were not assessed by {scored.run_id}; they count as whole")
    p_broken = np.where((found < 0)[:, None], 0.0, known[found])
    if control == "shuffled":
        p_broken = p_broken[np.random.default_rng(seed).permutation(len(p_broken))]
    return samples.judged(p_broken)
