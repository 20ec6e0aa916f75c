"""Predictions to a round: which mixture options reach the fit, and what the predictions themselves give away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curate.errors import CurateError
from curate.scores.gap import modality_gap
from curate.scores.posteriors import monotone_limits, p_balanced
from curate.scores.scoring import MixtureConfig, fit_gaps, fit_round
from curate.types import FUSED, Predictions


def predicted(first: np.ndarray, second: np.ndarray) -> Predictions:
    """Two modalities that give the labelled one of two classes these probabilities."""
    n = len(first)
    probs = {
        m: np.stack([1 - p, p], axis=1)
        for m, p in (("audio", first), ("visual", second), (FUSED, (first + second) / 2))
    }
    ids = np.array([f"s{i:04d}" for i in range(n)])
    return Predictions(ids, np.ones(n, dtype=np.int64), ("no", "yes"), ("audio", "visual"), probs)


def uneven() -> Predictions:
    """Gaps of a balanced group and of a wide one, in which audio knows more."""
    rng = np.random.default_rng(0)
    second = np.concatenate([rng.normal(0.9, 0.02, 200), rng.normal(0.5, 0.15, 200)]).clip(0, 1)
    return predicted(np.full(400, 0.9), second)


def test_memorised_is_seen_from_the_predictions_and_keeps_two_components():
    rng = np.random.default_rng(0)
    by_heart = predicted(1 - rng.uniform(0, 0.01, 300), 1 - np.r_[rng.uniform(0, 0.01, 250), rng.uniform(0, 0.3, 50)])
    found = fit_round(by_heart, MixtureConfig(family="gaussian"))
    assert found.fits[0].outcome == "memorised" and len(found.fits[0].weights) == 2
    blind = fit_gaps(modality_gap(by_heart), MixtureConfig(family="gaussian"), 2)
    assert blind.fits[0].outcome != "memorised"
    np.testing.assert_array_equal(found.p_balanced, blind.p_balanced)
    # The same gaps, but both modalities are wrong.
    wrong = predicted(*(by_heart.probs[m][:, 0] for m in ("audio", "visual")))
    assert fit_round(wrong, MixtureConfig(family="gaussian")).fits[0].outcome != "memorised"


def test_uneven_predictions_are_not_memorised():
    assert fit_round(uneven(), MixtureConfig(family="gaussian")).fits[0].outcome in ("ok", "rule_conflict")


def test_the_check_is_one_option_away():
    rng = np.random.default_rng(0)
    alike = predicted(rng.normal(0.5, 0.1, 500).clip(0, 1), np.full(500, 0.5))
    assert fit_round(alike, MixtureConfig(family="gaussian")).fits[0].outcome == "one_component"
    assert len(fit_round(alike, MixtureConfig(check="none")).fits[0].weights) == 2


def test_a_monotone_posterior_is_one_option_away_and_survives_the_table(scored_table, scoring):
    p, config = uneven(), MixtureConfig(posterior="monotone")
    literal, monotone = fit_round(p, MixtureConfig(family="gaussian")), fit_round(p, config)
    fitted = monotone.fits[0]
    assert fitted.limits == monotone_limits(literal.fits[0]) and np.isfinite(fitted.limits).any()
    assert (monotone.p_balanced != literal.p_balanced).any()
    order = np.argsort(monotone.gaps.prob[:, 0])
    assert (np.diff(monotone.p_balanced[order, 0]) <= 1e-12).all()

    run = replace(scoring.run("other"), config={"score": {"posterior": "monotone"}})
    scored_table.runs.start(run)
    scored_table.rounds.write("other", 0, p, monotone.gaps, monotone.fits, monotone.p_balanced, "prob")
    again = scored_table.rounds.read("other")
    assert again.fits[0].limits == fitted.limits and again.fits[0].outcome == fitted.outcome
    np.testing.assert_array_equal(p_balanced(again.fits[0], again.gaps.prob[:, 0]), again.p_balanced[:, 0])
    assert scored_table.rounds.read("score-toy-1").fits[0].limits == (-np.inf, np.inf)


def test_a_useless_dof_is_refused():
    with pytest.raises(CurateError, match="dof"):
        MixtureConfig(dof=0)
