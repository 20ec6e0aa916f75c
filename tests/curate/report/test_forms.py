"""The report of a mixture that saw something else than the paper's gap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curate.report import build, figures
from curate.report.facts import axis_limit, planted_scores, read
from curate.report.texts import explain
from curate.scores import gap, mixture
from curate.scores.scoring import MixtureConfig, fit_round
from curate.store.store import Store
from curate.types import FUSED, Predictions

PAIR = ("audio", "visual")


def tailed(n: int = 300) -> Predictions:
    """Audio alone knows a fifth of the samples, the picture alone another fifth."""
    rng = np.random.default_rng(0)
    labels, group = np.arange(n) % 3, np.arange(n) // 3 % 5
    probs = {}
    for m, lost in zip(PAIR, (group == 4, group == 3), strict=True):
        p = np.clip(np.where(lost, 0.2, 0.85) + rng.normal(0, 0.05, n), 0.01, 0.99)
        probs[m] = np.where(np.arange(3) == labels[:, None], p[:, None], (1 - p[:, None]) / 2)
    probs[FUSED] = (probs["audio"] + probs["visual"]) / 2
    return Predictions(np.array([f"s{i:03d}" for i in range(n)]), labels, ("a", "b", "c"), PAIR, probs)


def written(scoring, folder: Path, config: MixtureConfig) -> Store:
    p, table = tailed(), Store(folder / "t.duckdb")
    averaged = gap.mean_gap(config.gap, [gap.known(p)]) if config.average == "warmup" else None
    found = fit_round(p, config, averaged)
    run = scoring.run("score-toy-1", classes=p.classes, gap_kind=config.gap, config={"score": {"input": config.input}})
    scoring.data(table, run, p)
    table.runs.start(run)
    table.rounds.write(run.run_id, 0, p, found.gaps, found.fits, found.p_balanced, config.gap, found.p_ahead)
    table.runs.finish(run.run_id, "done")
    child = scoring.run("adaptive-toy-1", kind="train", method="adaptive", parent=run.run_id, gap_kind=config.gap,
                        config={"score": {"input": config.input}}, classes=p.classes)  # fmt: skip
    table.runs.start(child)
    for number in (0, 1):
        table.rounds.write(
            child.run_id, number, None, found.gaps, found.fits, found.p_balanced, config.gap, found.p_ahead
        )
    return table


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (MixtureConfig(components=3), ("A mixture of three", "between the two tails", "the tail of either modality")),
        pytest.param(MixtureConfig(input="absolute"), ("the sizes of all gaps", "|prob gap|"), marks=pytest.mark.long),
        pytest.param(
            MixtureConfig(gap="log_odds", average="warmup"),
            ("log odds that it gives", "mean over the epochs"),
            marks=pytest.mark.long,
        ),
        (MixtureConfig(gap="log_prob", components=3), ("logarithm of the probability", "log_prob gap")),
    ],
    ids=["tails", "size", "averaged odds", "tails of logarithms"],
)
@pytest.mark.long
def test_the_page_says_what_was_fitted(scoring, tmp_path, config, words):
    text = build(written(scoring, tmp_path, config), None, tmp_path, tmp_path).read_text(encoding="utf-8")
    for word in words:
        assert word in text
    numbers = pd.read_csv(tmp_path / "score-toy-1/figures/gap-audio-visual.csv")
    assert ((numbers["gap_to"] - numbers["gap_from"]) * numbers["density"]).sum() == pytest.approx(1)
    assert (numbers["gap_from"].min() == 0) == (config.input == "absolute")
    assert sum(name.startswith("component_") for name in numbers) == config.components
    if config.components == 3:
        assert '<td class="left">visual ahead</td>' in text


def test_posteriors_of_both_directions_are_drawn(scoring, tmp_path):
    fit = mixture.fit(gap.modality_gap(tailed()).prob[:, 0], components=3)
    data = figures.posterior_curve(np.zeros(9), fit, "prob", PAIR).data
    np.testing.assert_allclose(data.p_balanced + data.p_ahead_audio + data.p_ahead_visual, 1, atol=1e-12)
    assert data.p_ahead_audio.iloc[-1] > 0.99 and data.p_ahead_visual.iloc[0] > 0.99


def test_the_size_of_a_gap_has_one_tail_and_no_direction():
    x = np.abs(gap.modality_gap(tailed()).prob[:, 0])
    form = figures.Form("absolute", "last", 1.0)
    axes = figures.gap_histogram(x, mixture.fit(x, "gaussian"), "prob", PAIR, form=form).figure.axes[0]
    assert axes.get_xlim() == (0, 1) and "|gap|" in axes.get_xlabel() and "←" not in axes.get_xlabel()
    assert [t.get_text() for t in axes.texts] == ["40% above +0.3"]
    assert figures.imbalanced_ranges(mixture.fit(x, "gaussian"), 1.0, form)[0][0] >= 0


def test_an_axis_reaches_as_far_as_the_gaps_where_they_are_unbounded_in_practice():
    assert axis_limit("prob", 3, 0.2) == 1 and axis_limit("kl", 3, 0.2) == np.log(3)
    assert axis_limit("log_odds", 3, 0.2) == 4 and axis_limit("log_odds", 3, 10) == pytest.approx(10.2)
    assert axis_limit("log_odds", 3, 99) == gap.gap_limit("log_odds", 3)


def test_planted_truth_is_measured_on_what_was_fitted_and_on_the_sign(scoring, tmp_path):
    facts = read(written(scoring, tmp_path, MixtureConfig(gap="log_prob", input="absolute")), None)
    names = [name for name, *_ in planted_scores(facts)]
    assert names == ["|gap|", "|log_prob gap|", "p_imbalanced", "signed gap"]


def test_every_warning_about_three_components_is_explained():
    rng = np.random.default_rng(0)
    worlds = [
        np.concatenate([rng.normal(-0.25, 0.4, 500), rng.normal(0, 0.02, 400), rng.normal(0.5, 0.03, 300)]),
        np.concatenate([rng.normal(0, 0.1, 700), rng.normal(0.6, 0.1, 300)]),
        np.concatenate([rng.normal(0.1, 0.02, 500), rng.normal(0.5, 0.05, 300)]),
        rng.normal(0.1, 0.2, 600),
    ]
    fits = [mixture.fit(x, components=3, check=check) for x in worlds for check in ("bic", "none")]
    warnings = [w for fit in fits for w in fit.warnings]
    for start in ("crossed tails", "two populations", "the gaps do not fall", "one population"):
        assert any(w.startswith(start) for w in warnings), start
    assert all(explain(w) for w in warnings)
