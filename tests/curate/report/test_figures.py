"""Figures: their numbers are what they show, and one drawing serves light, dark and many on a page."""

import numpy as np
import pytest

from curate.report import drawing, figures
from curate.scores import mixture, posteriors
from curate.types import MixtureFit

PAIR = ("audio", "visual")
RNG = np.random.default_rng(0)
GAPS = np.concatenate([RNG.normal(0, 0.1, 300), RNG.normal(0.6, 0.1, 100)]).clip(-1, 1)


def _fit(*components: tuple[float, float, float], balanced: int = 0) -> MixtureFit:
    weights, locs, scales = (np.array(v) for v in zip(*components, strict=True))
    return MixtureFit("gaussian", weights, locs, scales, np.full(len(weights), np.inf), balanced, "second_moment")


def test_histogram_integrates_to_one_and_holds_the_weighted_densities():
    fit = mixture.fit(GAPS, "gaussian")
    data = figures.gap_histogram(GAPS, fit, "prob", PAIR).data
    assert ((data["gap_to"] - data["gap_from"]) * data["density"]).sum() == pytest.approx(1)
    centres = ((data["gap_from"] + data["gap_to"]) / 2).to_numpy()
    np.testing.assert_allclose(data[["component_0", "component_1"]].T, posteriors.density(fit, centres))


def test_tail_shares_are_annotated():
    gaps = np.array([-0.5, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    figure = figures.gap_histogram(gaps, mixture.fit(gaps, "gaussian"), "prob", PAIR).figure
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == ["10% below -0.3", "50% above +0.3"]


def test_axes_name_unit_and_direction():
    axes = figures.gap_histogram(GAPS, mixture.fit(GAPS, "gaussian"), "kl", PAIR, limit=2.3).figure.axes[0]
    assert "nats" in axes.get_xlabel() and "visual carries" in axes.get_xlabel()
    assert axes.get_xlim() == (-2.3, 2.3)


def test_imbalanced_ranges_of_concentric_components_lie_on_both_sides():
    # Equal weights at 0, sd 0.1 and 0.4: densities cross where z^2 (1/s0^2 - 1/s1^2) / 2 = log(s1/s0).
    crossing = np.sqrt(2 * np.log(4) / (1 / 0.1**2 - 1 / 0.4**2))
    ranges = figures.imbalanced_ranges(_fit((0.5, 0.0, 0.1), (0.5, 0.0, 0.4)))
    np.testing.assert_allclose(ranges, [(-1, -crossing), (crossing, 1)], atol=0.003)


def test_posterior_need_not_be_monotone():
    fit = _fit((0.9, 0.1, 0.4), (0.1, 0.6, 0.1))
    curve = figures.posterior_curve(GAPS, fit, "prob", PAIR).data["p_balanced"].to_numpy()
    assert (np.diff(curve) < 0).any() and (np.diff(curve) > 0).any()


def test_one_component_draws_and_calls_nothing_imbalanced():
    fit = mixture.fit(np.zeros(50), "gaussian")
    assert fit.outcome == "degenerate"
    drawing.svg(figures.gap_histogram(np.zeros(50), fit, "prob", PAIR).figure)
    drawing.svg(figures.posterior_curve(np.zeros(50), fit, "prob", PAIR).figure)
    assert figures.imbalanced_ranges(fit) == []


def test_rounds_keep_first_and_last():
    fits = {n: _fit((0.5, 0.0, 0.1 + n / 100), (0.5, 0.5, 0.2)) for n in range(30)}
    data = figures.mixture_rounds(fits, "prob", PAIR).data
    rounds = data["round"].unique()
    assert len(rounds) == figures.MAX_ROUNDS and rounds[0] == 0 and rounds[-1] == 29


def test_curves_of_one_label_share_a_legend_entry_and_the_origin_is_no_data():
    epochs, values = np.array([3.0, 4.0]), np.array([0.5, 0.6])
    lines = [figures.Curve("x", epochs, values, run_id, origin=(2.0, 0.4)) for run_id in ("r0", "r1")]
    drawing = figures.curves(lines, "fused", "accuracy, %", ["x"])
    assert [t.get_text() for t in drawing.figure.legends[0].get_texts()] == ["x"]
    assert drawing.data["epoch"].tolist() == [3, 4, 3, 4] and drawing.data["value"].max() == 0.6


def test_inline_svg_follows_the_theme_and_keeps_ids_apart():
    text = drawing.svg(figures.gap_histogram(GAPS, mixture.fit(GAPS, "gaussian"), "prob", PAIR).figure)
    first, second = drawing.inline_svg(text, "one"), drawing.inline_svg(text, "two")
    assert "var(--blue)" in first and "var(--ink)" in first and drawing.BALANCED not in first
    ids = {part.split('"')[0] for part in first.split(' id="')[1:]}
    assert ids and all(i.startswith("one-") for i in ids)
    assert not ids & {part.split('"')[0] for part in second.split(' id="')[1:]}
    assert "metadata" not in first and "<image" not in first


def test_files_are_opaque():
    figure = figures.gap_histogram(GAPS, mixture.fit(GAPS, "gaussian"), "prob", PAIR).figure
    assert drawing.png(figure).startswith(b"\x89PNG")
    assert '<rect width="100%" height="100%" fill="white"/>' in drawing.on_white(drawing.svg(figure))
