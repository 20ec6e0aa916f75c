"""What the mixture is fitted on, from configuration to table and back: |gap|, means over epochs, logarithms, tails.

Letters: N samples, M modalities, K classes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curate.advice.describe import describe_round
from curate.errors import CurateError
from curate.scores import gap, mixture, posteriors
from curate.scores.scoring import MixtureConfig, fit_gaps, fit_round
from curate.store.store import Store
from curate.types import FUSED, Predictions, Round

PAPER = MixtureConfig(family="gaussian")


def tailed(modalities: tuple[str, ...] = ("audio", "visual"), n: int = 400, seed: int = 0) -> Predictions:
    """Two classes; the first modality alone knows a fifth of the samples, the second alone another fifth."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    group = np.array(["both", "both", "both", "first", "second"])[np.arange(n) // 2 % 5]
    probs = {}
    for position, m in enumerate(modalities):
        lost = (group == "second") if position == 0 else (group == "first")
        p = np.clip(np.where(lost, 0.2, 0.85) + rng.normal(0, 0.05, n), 0.01, 0.99)
        probs[m] = np.where(np.arange(2) == labels[:, None], p[:, None], 1 - p[:, None])
    probs[FUSED] = np.mean(list(probs.values()), axis=0)
    ids = np.array([f"s{i:03d}" for i in range(n)])
    return Predictions(ids, labels, ("ant", "bee"), modalities, probs, np.ones(n, dtype=bool))


def stored(table: Store, scoring, p: Predictions, found: Round, config: MixtureConfig, run_id: str = "score-toy-1"):
    """A finished run with that round; read back."""
    run = scoring.run(run_id, modalities=p.modalities, classes=p.classes, gap_kind=config.gap)
    scoring.data(table, run, p)
    table.runs.start(run)
    table.rounds.write(run_id, 0, p, found.gaps, found.fits, found.p_balanced, config.gap, found.p_ahead)
    table.runs.finish(run_id, "done")
    return run, table.rounds.read(run_id)


@pytest.mark.parametrize("kind", ["prob", "kl"])
def test_the_papers_form_sees_the_gap_as_it_stands(kind):
    p = tailed()
    found = fit_round(p, MixtureConfig(gap=kind, family="gaussian"))
    assert found.gaps.fitted is None and found.p_ahead is None
    x = gap.modality_gap(p).of(kind)[:, 0]
    expected = mixture.fit(x, "gaussian", scale=gap.gap_scale(kind, 2))
    np.testing.assert_array_equal(found.p_balanced[:, 0], posteriors.p_balanced(expected, x))


def test_the_size_alone_finds_both_tails():
    p = tailed()
    found = fit_round(p, MixtureConfig(input="absolute"))
    np.testing.assert_array_equal(found.gaps.fitted, np.abs(found.gaps.prob))
    assert found.gaps.input == "absolute" and found.fits[0].outcome != "two_tailed"
    swapped = fit_round(Predictions(p.sample_ids, p.labels, p.classes, p.modalities[::-1], p.probs),
                        MixtureConfig(input="absolute"))  # fmt: skip
    np.testing.assert_array_equal(found.p_balanced, swapped.p_balanced)
    apart = np.abs(found.gaps.prob[:, 0]) > 0.4
    assert (found.p_balanced[apart] < 0.01).all() and (found.p_balanced[~apart] > 0.99).all()


@pytest.mark.parametrize("kind", ["log_prob", "log_odds"])
def test_logarithmic_gaps_are_fitted_and_the_papers_gaps_kept(kind):
    p = tailed()
    found = fit_round(p, MixtureConfig(gap=kind, components=3))
    np.testing.assert_array_equal(found.gaps.fitted, gap.signed_gap(kind, gap.known(p)))
    np.testing.assert_array_equal(found.gaps.prob, gap.modality_gap(p).prob)
    assert len(found.fits[0].weights) == 3
    first, second = found.p_ahead[:, 0].T
    assert (first[found.gaps.prob[:, 0] > 0.4] > 0.9).all() and (second[found.gaps.prob[:, 0] < -0.4] > 0.9).all()


def test_an_average_is_what_the_mixture_sees_and_its_size_that_of_the_mean():
    p = tailed()
    mean = gap.mean_gap("prob", [gap.known(tailed(seed=s)) for s in (1, 2, 0)])
    signed = fit_round(p, MixtureConfig(average="warmup", family="gaussian"), mean)
    np.testing.assert_array_equal(signed.gaps.fitted, mean)
    np.testing.assert_array_equal(signed.gaps.prob, gap.modality_gap(p).prob)
    expected = posteriors.p_balanced(mixture.fit(mean[:, 0], "gaussian"), mean[:, 0])
    np.testing.assert_array_equal(signed.p_balanced[:, 0], expected)
    sized = fit_round(p, MixtureConfig(average="warmup", input="absolute"), mean)
    np.testing.assert_array_equal(sized.gaps.fitted, np.abs(mean))
    for config, given in ((MixtureConfig(average="warmup", family="gaussian"), None), (PAPER, mean)):
        with pytest.raises(ValueError, match="averaged"):
            fit_round(p, config, given)


@pytest.mark.parametrize(
    "config",
    [
        MixtureConfig(components=3),
        MixtureConfig(components=3, gap="log_odds"),
        MixtureConfig(input="absolute", gap="kl"),
        PAPER,
    ],
    ids=["tails", "tails of odds", "size", "paper"],
)
@pytest.mark.parametrize("modalities", [("audio", "visual"), ("text", "audio", "visual")], ids=len)
def test_a_round_comes_back_as_it_was_written(scoring, tmp_path, config, modalities):
    p = tailed(modalities)
    found = fit_round(p, config)
    _, again = stored(Store(tmp_path / "t.duckdb"), scoring, p, found, config)
    assert again.gaps.pairs == found.gaps.pairs
    assert (again.gaps.input, again.gaps.average) == (found.gaps.input, found.gaps.average)
    np.testing.assert_array_equal(again.gaps.seen(config.gap), found.gaps.seen(config.gap))
    assert (again.gaps.fitted is None) == (found.gaps.fitted is None)
    for ours, theirs in zip(again.fits, found.fits, strict=True):
        np.testing.assert_array_equal(ours.locs, theirs.locs)
        assert (ours.rule, ours.balanced, ours.outcome) == (theirs.rule, theirs.balanced, theirs.outcome)
    if found.p_ahead is None:
        assert again.p_ahead is None
    else:
        np.testing.assert_array_equal(again.p_ahead, found.p_ahead)


def test_the_views_show_each_direction_by_its_modality(scoring, tmp_path):
    p, table, config = tailed(), Store(tmp_path / "t.duckdb"), MixtureConfig(components=3)
    found = fit_round(p, config)
    stored(table, scoring, p, found, config)
    _, rows = table.query(
        "SELECT p_ahead_audio, p_ahead_visual, p_imbalanced, in_sample FROM samples WHERE gap IS NOT NULL "
        "ORDER BY sample_id"
    )
    shown = np.array([r[:3] for r in rows])
    np.testing.assert_array_equal(shown[:, :2], found.p_ahead[:, 0])
    np.testing.assert_allclose(shown[:, 0] + shown[:, 1], shown[:, 2], atol=1e-9)
    assert all(r[3] is True for r in rows)
    _, rows = table.query("SELECT p_first, p_second, fitted FROM history ORDER BY sample_id")
    np.testing.assert_array_equal([r[:2] for r in rows], found.p_ahead[:, 0])
    assert {r[2] for r in rows} == {None}, "the probability gap as it stands"


def test_of_three_modalities_a_direction_is_the_largest_over_its_pairs(scoring, tmp_path):
    p, table, config = tailed(("text", "audio", "visual")), Store(tmp_path / "t.duckdb"), MixtureConfig(components=3)
    found = fit_round(p, config)
    three = [len(f.weights) == 3 for f in found.fits]
    assert three == [True, True, False], "audio and visual fail on the same samples"
    _, again = stored(table, scoring, p, found, config)
    np.testing.assert_array_equal(np.isnan(again.p_ahead).any(axis=(0, 2)), [False, False, True])
    _, rows = table.query(
        "SELECT p_ahead_text, p_ahead_audio, p_ahead_visual FROM samples WHERE gap IS NOT NULL ORDER BY sample_id"
    )
    a = found.p_ahead
    expected = np.stack([np.maximum(a[:, 0, 0], a[:, 1, 0]), a[:, 0, 1], a[:, 1, 1]], axis=1)
    np.testing.assert_array_equal(np.array(rows), expected)


def test_without_three_components_there_is_no_direction_and_what_is_unknown_is_null(scoring, tmp_path):
    p, table = replace(tailed(), in_sample=None), Store(tmp_path / "t.duckdb")
    stored(table, scoring, p, fit_round(p, PAPER), PAPER)
    assert not any(name.startswith("p_ahead") for name in table.query("SELECT * FROM samples")[0])
    assert table.query("SELECT DISTINCT p_first, p_second FROM posterior")[1] == [(None, None)]
    assert table.query("SELECT DISTINCT in_sample FROM prediction")[1] == [(None,)]
    assert table.query("SELECT DISTINCT in_sample FROM samples")[1] == [(None,)]


def test_some_samples_can_be_in_sample_and_others_not(scoring, tmp_path):
    p, table = tailed(), Store(tmp_path / "t.duckdb")
    p = replace(p, in_sample=np.arange(len(p.labels)) % 3 == 0)
    stored(table, scoring, p, fit_round(p, PAPER), PAPER)
    _, rows = table.query("SELECT in_sample FROM samples WHERE gap IS NOT NULL ORDER BY sample_id")
    assert [v for (v,) in rows] == p.in_sample.tolist()


def test_dynamics_come_back_epoch_by_epoch_with_entropies(scoring, tmp_path):
    table, epochs = Store(tmp_path / "t.duckdb"), [tailed(seed=s) for s in range(3)]
    run = scoring.run("score-toy-1", classes=("ant", "bee"))
    scoring.data(table, run, epochs[0])
    table.runs.start(run)
    for number, p in enumerate(epochs, start=1):
        table.dynamics.write(run.run_id, number, p)
    found = list(table.dynamics.read(run.run_id))
    assert len(found) == 3
    for ours, p in zip(found, epochs, strict=True):
        theirs = gap.known(p)
        assert ours.modalities == theirs.modalities
        for name in ("sample_ids", "p_true", "entropy", "correct"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    _, rows = table.query("SELECT mean_gap FROM gap_dynamics ORDER BY sample_id")
    np.testing.assert_allclose(gap.mean_gap("prob", found)[:, 0], [v for (v,) in rows], atol=1e-12)
    assert list(table.dynamics.read("nobody")) == []


def test_a_scored_run_in_words(scoring, tmp_path):
    p, table, config = tailed(), Store(tmp_path / "t.duckdb"), MixtureConfig(components=3)
    run, found = stored(table, scoring, p, fit_round(p, config), config)
    text = "\n".join(describe_round(run, found))
    for words in (
        "mixture of the prob gap audio - visual: gaussian (ok)",
        "  visual ahead weight 0.2",
        "  balanced     weight 0.6",
        "  audio ahead  weight 0.2",
        "  audio ahead with p > 0.5 on 20.0%; visual ahead with p > 0.5 on 20.0%",
    ):
        assert words in text, text
    assert [what for what, _ in table.rounds.mixture_rows(run.run_id)] == [
        "round 0, audio|visual, visual ahead",
        "round 0, audio|visual, balanced",
        "round 0, audio|visual, audio ahead",
    ]
    sized = MixtureConfig(input="absolute", gap="log_prob")
    run, found = stored(table, scoring, p, fit_round(p, sized), sized, "score-toy-2")
    lines = describe_round(run, found)
    assert "mixture of the |log_prob gap audio - visual|: gaussian" in lines[0]
    assert "audio ahead on 5" in lines[3] or "audio ahead on 4" in lines[3], "by the sign, not by the size"
    assert all(value.startswith("gaussian on |log_prob gap|: ") for _, value in table.rounds.mixture_rows(run.run_id))


def test_that_one_bell_is_as_good_is_said_once(scoring, tmp_path):
    from curate.advice.conclusions import conclusions
    from curate.advice.evidence import read_evidence

    p, table, config = tailed(), Store(tmp_path / "t.duckdb"), MixtureConfig()
    noise = np.random.default_rng(0).standard_t(4, (2, len(p.labels))).clip(-4, 4) * 0.1
    first = np.where(p.labels == 0, 0.5 + noise, 0.5 - noise)  # (modality, sample): probability of the first class
    probs = {m: np.stack([v, 1 - v], axis=1) for m, v in zip(p.modalities, first, strict=True)}
    p = replace(p, probs={**probs, FUSED: sum(probs.values()) / 2})
    run, found = stored(table, scoring, p, fit_round(p, config), config)
    assert found.fits[0].outcome == "one_bell"
    told = [*conclusions(read_evidence(table, run.run_id, found)), *describe_round(run, found)]
    assert sum("one bell" in line for line in told) == 1


def test_memorised_is_measured_on_what_was_fitted():
    p = tailed()
    sure = np.where(np.arange(2) == p.labels[:, None], 0.999, 0.001)
    known = replace(p, probs={m: sure + np.array([[0, 0]]) for m in p.probs})
    jitter = np.random.default_rng(0).uniform(0, 1e-3, len(p.labels))
    known.probs["audio"][:] += np.where(np.arange(2) == p.labels[:, None], -1, 1) * jitter[:, None]
    assert fit_round(known, MixtureConfig(input="absolute", check="none")).fits[0].outcome == "memorised"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"components": 3, "input": "absolute"}, "no left tail"),
        ({"components": 3, "posterior": "monotone"}, "two components"),
    ],
)
def test_what_does_not_go_together_is_refused(values, words):
    with pytest.raises(CurateError, match=words):
        MixtureConfig(**values)


def test_gaps_alone_are_fitted_as_they_were_seen():
    p = tailed()
    found = fit_round(p, MixtureConfig(input="absolute"))
    again = fit_gaps(found.gaps, MixtureConfig(input="absolute", family="student-t"), 2)
    x = np.abs(found.gaps.prob[:, 0])
    np.testing.assert_array_equal(again.p_balanced[:, 0], posteriors.p_balanced(mixture.fit(x, "student-t"), x))
