"""The rounds of a training: gaps, mixtures and posteriors, scored between its epochs and then used by the loss."""

from __future__ import annotations

import numpy as np

from curate import config
from curate.errors import CurateError
from curate.scores.gap import loss_kind
from curate.scores.scoring import centres_of, fit_gaps, fit_round, with_input
from curate.train.loop.engine import predict
from curate.train.methods.method import Context
from curate.types import GapScores, Round, Run

from .recording import in_sample, write_round
from .session import Session
from .settings import ScoreConfig
from .setup import LAST, Job, prepare


def round_of(job: Job, parent: Run, number: int) -> Round:
    """Gaps, mixtures and posteriors of a round: from the table if they are there, else scored now and stored.

    Round 0 reads the scored run. A resumed run reuses, unchanged, the rounds that it has stored itself.

    Raises:
        CurateError: the scored samples are not the ones that are usable now.
    """
    run, store, fit = job.run, job.store, job.data.fit
    if number in store.rounds.numbers(run.run_id):
        return store.rounds.read(run.run_id, number)
    if number == 0:
        found, predictions = _from_scored(job, parent), None
    else:
        job.progress("scoring", number, job.trainer.method.rounds, "scoring")
        predictions = in_sample(predict(job.trainer, job.data, fit))
        found = fit_round(predictions, _later_rounds(job))
    if not np.array_equal(found.sample_ids, fit.sample_ids):
        raise CurateError(
            f"the scores of {parent.run_id} are of other samples than are usable now", "score again: `curate score`"
        )
    write_round(store, run, number, found, predictions)
    return found


def _from_scored(job: Job, parent: Run) -> Round:
    """The scored run's round, fitted again if the method has a gap or a family of its own."""
    run, config = job.run, _later_rounds(job)
    found = job.store.rounds.read(parent.run_id)
    gaps = found.gaps
    if run.gap_kind != parent.gap_kind:
        gaps = with_input(GapScores(gaps.sample_ids, gaps.pairs, gaps.prob, gaps.kl), config)
    if (run.gap_kind, run.family) != (parent.gap_kind, parent.family):
        found = fit_gaps(gaps, config, len(run.classes))
    return found


def context_of(found: Round, kind: str) -> Context:
    """The facts about a round, fitted to a gap of that kind, that a method is given; see `centres_of`."""
    centres = centres_of(found, kind)
    absolute = centres is not None and found.gaps.input == "absolute"
    return Context(found.fits, loss_kind(kind), centres, absolute)


def score_end(session: Session, run: Run) -> None:
    """Store gaps, mixtures and posteriors after a finished training as its last round.

    All training samples are scored, even after training on a subset. The weights after the last epoch are used: every
    method is scored after the same number of epochs. Nothing is done if a method of several rounds has already scored
    itself, or if the weights are gone.
    """
    last = session.folder(run) / LAST
    if max(session.store.rounds.numbers(run.run_id), default=0) > 0 or not last.exists():
        return
    job = prepare(session, run)
    job.load(last)
    predictions = in_sample(predict(job.trainer, job.data, job.data.fit))
    write_round(job.store, run, job.trainer.method.rounds, fit_round(predictions, _later_rounds(job)), predictions)


def _later_rounds(job: Job) -> ScoreConfig:
    """How a training run's own rounds are fitted. Only a warm-up's gaps are averaged over epochs; those of later
    rounds, and a gap of the method's own, are of one epoch."""
    own = {**job.run.config["score"], "gap": job.run.gap_kind, "family": job.run.family, "average": "last"}
    return config.build(ScoreConfig, own, "score")
