"""Every piece of advice on a made-up table, and the evidence it names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from curate.comparison.summary import Cell, Line, summarize
from curate.recommend import STUDY, Evidence, read_evidence, recommend

PLAIN = Evidence(
    dataset="toy",
    run_id="score-toy-1",
    modalities=("audio", "visual"),
    classes=10,
    samples=1000,
    size=0.35,
    tails=(0.4, 0.02),
    imbalanced=0.2,
    accuracy={"audio": 0.8, "visual": 0.5, "fused": 0.9},
    outcomes=("ok",),
)


def lines(*rows: tuple[str, str, bool, tuple[float, ...]], twin: str = "") -> tuple[Line, ...]:
    cells = [
        Cell("c", "toy", label, method, control, twin if label == "subset" else "", seed, f"{label}-{seed}",
             modalities=("audio",), values={("fused", "accuracy"): v})
        for label, method, control, values in rows
        for seed, v in enumerate(values)
    ]  # fmt: skip
    return tuple(summarize(cells))


CONTROLS = [
    ("joint", "joint", True, (0.5, 0.6, 0.7)),
    ("warmup", "warmup", True, (0.6, 0.7, 0.8)),
    ("unimodal", "unimodal", True, (0.5, 0.6, 0.7)),
]


def test_three_lines_always() -> None:
    for evidence in (PLAIN, replace(PLAIN, compared=lines(*CONTROLS)), replace(PLAIN, outcomes=("degenerate",))):
        found = recommend(evidence)
        assert [text.split(": ")[0] for text in found] == ["found", "try", "check"]
        assert all("\n" not in text for text in found)


def test_with_nothing_compared_the_study_is_named_for_every_claim() -> None:
    found, first, check = recommend(PLAIN)
    assert "40% carried by audio, 2% by visual" in found and "audio 80%, visual 50%, fused 90%" in found
    assert first.startswith("try: warmup first") and STUDY in first
    assert STUDY in check and "curate compare --dataset toy" in check


def test_both_tails_are_told() -> None:
    assert "one tail only" in recommend(replace(PLAIN, tails=(0.4, 0.2)))[0]
    assert "one tail only" not in recommend(PLAIN)[0]


def test_broken_groups_are_told() -> None:
    assert "broken" not in recommend(PLAIN)[0]
    found, first, _ = recommend(replace(PLAIN, broken=("audio", "visual")))
    assert "; a broken group of audio and of visual" in found
    assert first.startswith("try: usable beside warmup") and STUDY in first


def test_a_method_that_was_ahead_here_comes_first_with_its_numbers() -> None:
    compared = lines(
        *CONTROLS, ("new", "iprm", False, (0.65, 0.751, 0.852)), ("other", "lfm", False, (0.63, 0.731, 0.832))
    )
    first = recommend(replace(PLAIN, compared=compared))[1]
    assert first.startswith("try: new, ahead of the warm-up continued here: +5.1 [") and "3 seeds" in first
    assert first.endswith("1 more were ahead too") and STUDY not in first


def test_where_nothing_was_ahead_here_the_warm_up_is_continued() -> None:
    compared = lines(*CONTROLS, ("new", "iprm", False, (0.65, 0.66, 0.9)), ("bad", "lfm", False, (0.5, 0.601, 0.702)))
    first = recommend(replace(PLAIN, compared=compared))[1]
    assert first.startswith("try: warmup, ") and "of 2 compared here none was better" in first
    assert first.endswith("worse were bad")


def test_one_seed_proves_nothing() -> None:
    compared = lines(*[(a, b, c, v[:1]) for a, b, c, v in CONTROLS], ("new", "iprm", False, (0.9,)))
    _, first, check = recommend(replace(PLAIN, compared=compared))
    assert "new" not in first and STUDY in first
    assert check.startswith("check: one seed says nothing")


def test_missing_controls_are_asked_for() -> None:
    compared = lines(*CONTROLS[:2], ("new", "iprm", False, (0.65, 0.66, 0.9)))
    assert recommend(replace(PLAIN, compared=compared))[2].startswith("check: unimodal are missing here")


def test_a_subset_that_lost_to_chance_here_is_named() -> None:
    rows = (
        *CONTROLS,
        ("subset", "subset", False, (0.6, 0.7, 0.9)),
        ("subset, random", "subset", True, (0.6, 0.8, 0.8)),
    )
    check = recommend(replace(PLAIN, compared=lines(*rows, twin="subset, random")))[2]
    assert "subset: not ahead of the same at random" in check and STUDY not in check


def test_training_samples_known_by_heart_are_to_be_scored_earlier() -> None:
    found, first, _ = recommend(replace(PLAIN, accuracy={"audio": 0.999, "visual": 0.99, "fused": 1.0}))
    assert "known by heart" in found and "--epochs" in first


def test_a_modality_near_chance_is_a_matter_of_data() -> None:
    first = recommend(replace(PLAIN, accuracy={"audio": 0.8, "visual": 0.12, "fused": 0.8}))[1]
    assert first.startswith("try: look at the visual data before any method: it is right on 12%")
    both_bad = recommend(replace(PLAIN, accuracy={"audio": 0.2, "visual": 0.12, "fused": 0.2}))[1]
    assert "look at" not in both_bad, "where nothing is learnt yet it may be the training"


@pytest.mark.parametrize("outcome", ["one_component", "degenerate", "too_few"])
def test_without_an_imbalanced_group_posteriors_are_not_the_way(outcome: str) -> None:
    found, first, _ = recommend(replace(PLAIN, outcomes=(outcome,)))
    assert outcome in found and "next to nothing to read" in first


def test_small_gaps_say_little() -> None:
    found, first, _ = recommend(replace(PLAIN, size=0.05))
    assert "gaps this small say little" in found and "next to nothing to read" in first


def test_saved_predictions_have_no_model_to_train() -> None:
    assert "saved predictions" in recommend(replace(PLAIN, has_model=False))[2]


def test_the_evidence_is_what_the_table_holds(scored_table) -> None:
    found = read_evidence(scored_table)
    scored = scored_table.read_round("score-toy-1")
    gaps, p = scored.gaps.prob[:, 0], 1 - scored.p_balanced[:, 0]
    assert found.samples == len(gaps) == 60
    assert found.size == pytest.approx(abs(gaps).mean())
    assert found.tails == (pytest.approx((gaps > 0.3).mean()), pytest.approx((gaps < -0.3).mean()))
    assert found.imbalanced == pytest.approx((p > 0.5).mean())
    assert found.outcomes == tuple(f.outcome for f in scored.fits)
    accuracy = scored_table.query("SELECT modality, accuracy FROM by_modality")[1]
    assert dict(found.accuracy) == {m: pytest.approx(v) for m, v in accuracy}
    assert found.compared == () and len(recommend(found)) == 3
