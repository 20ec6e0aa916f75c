"""Usability of a scored run: the warm-up's predictions epoch by epoch, pooled over samples that look alike."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.advice.evidence import read_evidence
from curate.errors import counted
from curate.scores import labels, usability
from curate.scores.bounds import WrongBounds, decider, limited, read_at_least, wrong_among
from curate.scores.gap import true_class_probability
from curate.scores.guard import Labels
from curate.scores.metrics import accuracy
from curate.scores.preferences import Preferences
from curate.scores.references import BANK, save
from curate.scores.together import parts_of
from curate.scores.usability import Evidence, Usability
from curate.train.data.samples import Samples
from curate.train.loop.engine import predict
from curate.types import Floats, Predictions, Run

from .appearance import appearance, is_deep, looks, patterns
from .session import Session
from .setup import Job

REFERENCES = "usability.npz"


def references(session: Session, run: Run) -> Path:
    """The file in which a scored run keeps the references that new samples are compared with."""
    return session.folder(run) / REFERENCES


@dataclass(frozen=True)
class Measured:
    """Usability of the training samples, and what it was measured by.

    Attributes:
        sample_ids: (N,).
        log_margin: (N, M + 1) of their labels, averaged over the warm-up's epochs; the last by the fusion.
        held: predictions for the validation samples.
        evidence: {modality: what it is judged by}.
        found: what came of it.
    """

    sample_ids: NDArray[np.str_]
    log_margin: Floats
    held: Predictions
    evidence: Mapping[str, Evidence]
    found: Usability

    @property
    def decider(self) -> str:
        """By whom labels are judged, see `bounds.decider`."""
        return decider(self.held)


def measure(job: Job) -> Measured | None:
    """Measure the usability of every modality on every training sample; None if no predictions per epoch were kept.

    Whether a group is broken is checked on the validation samples, which the model was not trained on.
    """
    run, data = job.run, job.data
    known = job.store.dynamics.means(run.run_id)
    if known is None:
        return None
    ids, p_true, log_margin = known
    assert np.array_equal(ids, data.fit.sample_ids)
    job.progress("usability", 0, 1)
    held = predict(job.trainer, data, data.val)
    evidence = gather(job, p_true, held)
    started = time.perf_counter()
    found = usability.assess(ids, evidence, len(run.classes), seed=run.seed)
    seconds, bank = time.perf_counter() - started, min(len(ids), BANK)
    job.session.message(f"usability: look-alikes of {counted(len(ids), 'sample')} sought among {bank}, {seconds:.1f} s")
    job.progress("usability", 1, 1)
    return Measured(ids, log_margin, held, evidence, found)


def assess(job: Job, measured: Measured | None = None) -> None:
    """Store the usability of every modality on every training sample, and which labels are wrong and clips swapped; do
    nothing if no predictions per epoch were kept.

    Args:
        measured: by the epochs that are stored; None: not yet.
    """
    run, measured = job.run, measured or measure(job)
    if measured is None:
        return
    save(references(job.session, run), measured.found.references)
    said, denied = _said(job, measured), None
    if said is not None:
        wrong = _wrong_labels(job, said, measured)
        job.store.epochs.write(run.run_id, job.trainer.epoch, [("val", measured.decider, "wrong_labels", wrong.least)])
        denied = _denied(job, said, measured, wrong, read_evidence(job.store, run.run_id).reads)
    job.store.usability.write(run.run_id, measured.found, usability.contradiction(measured.log_margin), denied)


def labels_unjudged(job: Job, measured: Measured) -> bool:
    """Whether labels would not be judged though the fusion reads the class: it denies more than validation samples
    leave room for. These may be labelled better than the training samples, which out of fold tell it themselves.
    """
    held, said = measured.held, _said(job, measured)
    if said is None:
        return False
    wrong = _wrong_labels(job, said, measured)
    reads = read_at_least(accuracy(held.probs[measured.decider], held.labels), wrong.least)
    unknown = np.isnan(_denied(job, said, measured, wrong, reads).p_mislabelled).all()
    return reads >= labels.READS and bool(unknown)


def _said(job: Job, measured: Measured) -> Preferences | None:
    """What the warm-up preferred; None if no predictions per epoch were kept."""
    return job.store.dynamics.preferences(job.run.run_id, len(measured.held.labels), measured.decider)


def _wrong_labels(job: Job, said: Preferences, measured: Measured) -> WrongBounds:
    """Bounds of the share of wrong labels: by validation samples, or out of fold by the samples themselves."""
    given, found = job.data.fit.labels, measured.found
    if job.run.folds:
        shown = labels.own_bounds(said, given, found.p_broken, job.run.seed, tuple(found.looks.values()), _parts(job))
    else:
        shown = wrong_among(measured.held, measured.decider)
    return limited(shown, (e.pattern for e in measured.evidence.values()), given, job.run.seed)


def _denied(job: Job, said: Preferences, measured: Measured, wrong: WrongBounds, reads: float) -> labels.Denied:
    """Which labels are wrong, and which clips are swapped; see `labels.judge`."""
    given, found = job.data.fit.labels, measured.found
    seen, looked = [e.appearance for e in measured.evidence.values()], tuple(found.looks.values())
    vouches, copies = labels.vouched(seen, given), labels.contradicted(seen, given)
    parts = _parts(job) if job.run.folds else None
    return labels.judge(said, given, found.p_broken, reads, job.run.seed, vouches, wrong, looked, copies, parts)


def _parts(job: Job) -> NDArray[np.int64]:
    """The groups of the training samples by class, see `together.parts_of`."""
    groups, samples = {s.sample_id: s.group for s in job.dataset.samples}, job.data.fit
    return parts_of(samples.labels, [groups[i] for i in samples.sample_ids.tolist()])


def gather(job: Job, p_true: Floats, held: Predictions) -> dict[str, Evidence]:
    """{modality: what it is judged by}: the warm-up's predictions, and what samples look like.

    Args:
        p_true: (N, M) of the training samples, averaged over the warm-up's epochs.
        held: of the validation samples.
    """
    run, trainer, data = job.run, job.trainer, job.data
    seen, unseen = appearance(trainer, data, data.fit), appearance(trainer, data, data.val)
    labels = Labels(data.fit.labels, held.labels, run.classes)
    look = {m: looks(data.fit, data.val, m) for m in run.modalities}
    return {
        m: Evidence(
            p_true[:, j],
            seen[m],
            true_class_probability(held.probs[m], held.labels),
            unseen[m],
            is_deep(trainer.model.encoders.get_submodule(m)),
            labels,
            patterns(data.fit, m),
            None if isinstance(of := look[m], str) else of,
            held.probs[m].argmax(axis=1) == held.labels,
            of if isinstance(of, str) else "",
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
        session.message(
            f"{counted(int((found < 0).sum()), 'sample was', 'samples were')} "
            f"not assessed by {scored.run_id}; they count as whole"
        )
    p_broken = np.where((found < 0)[:, None], 0.0, known[found])
    if control == "shuffled":
        p_broken = p_broken[np.random.default_rng(seed).permutation(len(p_broken))]
    return samples.judged(p_broken)
