"""Every piece of advice on a made-up table, and the evidence it names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from curate.advice.conclusions import conclusions
from curate.advice.evidence import read_evidence
from curate.advice.held_out import HeldOut, differ
from curate.advice.recommend import IMPROVED, STUDY, recommend
from curate.comparison.summary import Cell, Line, summarize

from .conftest import PLAIN


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


def test_three_parts_always() -> None:
    for evidence in (PLAIN, replace(PLAIN, compared=lines(*CONTROLS)), replace(PLAIN, outcomes=("degenerate",))):
        found = recommend(evidence)
        assert [text.split(": ")[0] for text in found] == ["found", "try", "check"]
        assert all("\n" not in text for text in found[1:])
        first, *below = found[0].splitlines()
        assert evidence.run_id in first and [line.strip() for line in below][
            : len(conclusions(evidence))
        ] == conclusions(evidence)
        assert all(line.startswith("  ") for line in below)


def test_with_nothing_compared_the_study_is_named_for_every_claim() -> None:
    _, first, check = recommend(PLAIN)
    assert first.startswith("try: warmup first") and STUDY in first
    assert STUDY in check
    assert "`curate compare --run score-toy-1 --method adaptive --seeds 3`" in check
    assert "`--method pdmp`" in check and "lets audio lead" in check


def test_what_was_compared_goes_on_with_more_seeds_and_the_best_methods() -> None:
    ours = [(name, name, False, (v, v + 0.01, v + 0.02)) for name, v in zip("abcd", (0.6, 0.7, 0.65, 0.5), strict=True)]
    check = recommend(replace(PLAIN, compared=lines(*CONTROLS, *ours)))[2]
    assert "--method b --method c --method a --seeds 5`" in check
    once = recommend(replace(PLAIN, compared=lines(*CONTROLS, ("a", "a", False, (0.6,)))))[2]
    assert "--method a --seeds 3`" in once


def test_of_a_few_samples_it_is_not_told_who_leads() -> None:
    for count, who in ((19, ""), (20, "visual")):
        held = HeldOut("val", count, {"audio": 0.0, "visual": 1.0, "fused": 1.0})
        assert replace(PLAIN, held_out=held).leading == who


def test_where_nothing_leads_nothing_is_said_of_who_should() -> None:
    even = HeldOut("val", 200, {"audio": 0.75, "visual": 0.74, "fused": 0.85})
    assert "pdmp" not in recommend(replace(PLAIN, held_out=even))[2]


def test_what_is_found_is_what_score_says_strongest_signal_first() -> None:
    found = recommend(PLAIN)[0]
    assert [text.split(": ")[0] for text in conclusions(PLAIN)] == ["broken", "lead", "balance"]
    assert all(text in found for text in conclusions(PLAIN))
    lead = conclusions(PLAIN)[1]
    assert "audio leads, right on 200 validation samples: audio 75%, visual 45%, fused 85%" in lead
    assert "ahead: audio on 70%, visual on 30%" in lead and "carried by: audio 18%, visual 2%" in lead


def test_many_wrong_labels_come_before_methods() -> None:
    """Few ones do not. Where there is no model to train they are named too, with how to list them."""
    sure = replace(PLAIN, denied=60)
    _, first, check = recommend(sure)
    assert "`curate improve --run score-toy-1`" in first and IMPROVED in first and "--method trim " in check
    for other in ({"denied": 40}, {"denied": None}):
        assert not any("improve" in text for text in recommend(replace(sure, **other)))
    listed = "`curate improve --run score-toy-1 -o labels.csv`"
    saved = replace(sure, has_model=False)
    assert "60 are probably wrong (6.0%)" in recommend(saved)[1] and listed in recommend(saved)[1]
    assert "curate select --where" in recommend(saved)[1] and IMPROVED not in str(recommend(saved))
    few = recommend(replace(saved, denied=40))
    assert "improve" not in few[1] and listed in few[2] and "improve" not in str(recommend(replace(saved, denied=0)))


def test_a_method_that_was_ahead_here_comes_first_with_its_numbers() -> None:
    compared = lines(
        *CONTROLS, ("other", "lfm", False, (0.63, 0.731, 0.832)), ("new", "iprm", False, (0.65, 0.751, 0.852))
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


HEART = replace(
    PLAIN,
    accuracy={"audio": 0.97, "visual": 0.99, "fused": 1.0},
    held_out=HeldOut("val", 100, {"audio": 0.59, "visual": 0.29, "fused": 0.6}),
    ahead={"audio": 0.46, "visual": 0.54},
)


def test_the_one_ahead_on_most_samples_that_does_not_lead_has_that_explained() -> None:
    """No modality leads on samples not trained on, and one is ahead on all of the others: it knows these by heart."""

    def lead(**changes: Any) -> str:
        return next(text for text in conclusions(replace(PLAIN, **changes)) if text.startswith("lead:"))

    even = HeldOut("val", 200, {"audio": 0.9, "visual": 0.9, "fused": 0.95})
    for right, why in (
        (1.0, "in training, where audio is right on 100% and may know"),
        (0.9, "not by how often it is"),
    ):
        own = {"audio": right, "visual": 0.9, "fused": 1.0}
        told = lead(held_out=even, accuracy=own, ahead={"audio": 1.0, "visual": 0.0})
        assert "no modality clearly leads" in told and "ahead, by the probability of the label" in told
        assert why in told and ": audio on 100%, visual on 0%" in told
        assert "sample by sample ahead: audio on 60%" in lead(held_out=even, ahead={"audio": 0.6, "visual": 0.4})
    assert "audio leads" in lead() and "sample by sample ahead: audio on 70%" in lead()


def test_what_is_known_by_heart_is_said_first_and_dominance_is_judged_by_held_out_samples() -> None:
    assert HEART.by_heart == ("audio", "visual") and HEART.leading == "audio"
    first, _, lead, _ = conclusions(HEART)
    assert first.startswith("by heart:") and "audio 97% and 59%, visual 99% and 29%" in first and "--folds 5" in first
    assert "audio leads, right on 100 validation samples: audio 59%, visual 29%" in lead
    assert "54%" not in lead, "nothing is read out of gaps of samples known by heart"
    assert "known by heart" in recommend(HEART)[1] and "no imbalance" not in " ".join(recommend(HEART))


def test_out_of_fold_the_scored_samples_are_the_judge() -> None:
    folded = replace(HEART, folds=5, in_sample=False, accuracy={"audio": 0.6, "visual": 0.3, "fused": 0.7})
    assert folded.by_heart == folded.apart == ()
    assert "right on 1000 samples, out of fold: audio 60%, visual 30%" in conclusions(folded)[1]
    decided = replace(folded, was_by_heart="audio 97% and 59%")
    assert conclusions(decided)[0].startswith("memory:") and "audio 97% and 59%" in conclusions(decided)[0]


def test_nothing_is_said_to_be_known_by_heart_on_slight_grounds() -> None:
    assert replace(HEART, held_out=HeldOut("val", 19, HEART.held_out.accuracy)).by_heart == (), "too few samples"
    close = HeldOut("val", 10_000, {"audio": 0.83, "visual": 0.85, "fused": 1.0})
    assert replace(HEART, held_out=close).apart == (), "0.14 below"
    half = replace(HEART, accuracy={"audio": 0.75, "visual": 0.5}, held_out=HeldOut("val", 100, {"audio": 0.5}))
    assert half.apart == ("audio",) and half.by_heart == () and conclusions(half)[0].startswith("memory:")
    # Standard error of 0.5 at 25 samples is 0.1: 0.15 are within two of it.
    assert not differ(0.69, 0.5, 25) and differ(0.71, 0.5, 25)
    assert not differ(0.64, 0.5, 10_000) and differ(0.66, 0.5, 10_000), "0.15"
    assert not differ(1.0, 0.0, 19) and differ(1.0, 0.0, 20)
    assert half.apart and replace(half, folds=5).apart == (), "no sample was trained on by the model that scored it"


def test_a_lead_needs_more_than_two_standard_errors() -> None:
    def leading(audio: float, visual: float, samples: int) -> str:
        return replace(PLAIN, held_out=HeldOut("val", samples, {"audio": audio, "visual": visual})).leading

    # sqrt(2 * 0.25 / 200) = 0.05
    assert leading(0.55, 0.46, 200) == "" and leading(0.56, 0.45, 200) == "audio" and leading(0.4, 0.6, 200) == "visual"
    assert leading(0.9, 0.9, 10**6) == "" and leading(1.0, 0.9, 0) == ""


def test_without_held_out_samples_nobody_is_called_the_leader() -> None:
    alone = replace(PLAIN, held_out=None)
    assert alone.leading == "" and "no other are known: audio 80%, visual 50%" in conclusions(alone)[1]


def test_a_modality_near_chance_is_a_matter_of_data() -> None:
    weak = replace(PLAIN, held_out=HeldOut("val", 200, {"audio": 0.8, "visual": 0.12, "fused": 0.8}))
    assert recommend(weak)[1].startswith("try: look at the visual data before any method")
    assert any("visual hardly more often than by guessing (10%)" in text for text in conclusions(weak))
    both_bad = replace(PLAIN, held_out=HeldOut("val", 200, {"audio": 0.2, "visual": 0.12, "fused": 0.2}))
    assert "look at" not in recommend(both_bad)[1], "where nothing is learnt yet it may be the training"


@pytest.mark.parametrize("outcome", ["one_component", "degenerate", "too_few"])
def test_without_an_imbalanced_group_posteriors_are_not_the_way(outcome: str) -> None:
    assert "next to nothing to read" in recommend(replace(PLAIN, outcomes=(outcome,)))[1]


@pytest.mark.parametrize(
    ("changes", "tried", "compared"),
    [
        ({"size": 0.05}, "warmup (a loss for each modality", "--method warmup --seeds"),
        ({"size": 0.05, "broken": {"visual": 0.1}}, "usable beside warmup", "--method usable --seeds"),
        (
            {"accuracy": {"audio": 1.0, "visual": 1.0, "fused": 1.0}, "broken": {"visual": 0.1}},
            "warmup with averaged weights (optim.ema=0.99)",
            "--method warmup:optim.ema=0.99 --seeds",
        ),
    ],
)
def test_what_is_to_be_tried_first_is_what_the_comparison_measures(changes, tried, compared) -> None:
    _, first, check = recommend(replace(PLAIN, **changes))
    assert first.startswith(f"try: {tried}") and compared in check


def test_small_gaps_say_little() -> None:
    found, first, _ = recommend(replace(PLAIN, size=0.05))
    assert "gaps this small say little" in found and "next to nothing to read" in first


def test_saved_predictions_have_no_model_to_train() -> None:
    check = recommend(replace(PLAIN, has_model=False))[2]
    assert "saved predictions" in check and "curate select -o" in check
    assert "curate compare" not in check and "curate train" not in check


def test_the_evidence_is_what_the_table_holds(scored_table) -> None:
    found = read_evidence(scored_table)
    scored = scored_table.rounds.read("score-toy-1")
    gaps, p = scored.gaps.prob[:, 0], 1 - scored.p_balanced[:, 0]
    assert found.samples == len(gaps) == 60
    assert found.size == pytest.approx(abs(gaps).mean())
    shares = {"audio": (gaps > 0).mean(), "visual": (gaps < 0).mean()}
    assert dict(found.ahead) == {m: pytest.approx(v) for m, v in shares.items()}
    carried = {"audio": ((gaps > 0) & (p > 0.5)).mean(), "visual": ((gaps < 0) & (p > 0.5)).mean()}
    assert dict(found.carried) == {m: pytest.approx(v) for m, v in carried.items()}
    assert found.imbalanced == pytest.approx((p > 0.5).mean())
    assert found.outcomes == tuple(f.outcome for f in scored.fits)
    accuracy = scored_table.query("SELECT modality, accuracy FROM by_modality")[1]
    assert dict(found.accuracy) == {m: pytest.approx(v) for m, v in accuracy}
    assert found.compared == () and len(recommend(found)) == 3


def test_the_table_shows_the_newest_run_of_each_data_set(scored_table) -> None:
    assert read_evidence(scored_table).shown == "alone"
    own = scored_table.runs.find("score-toy-1")
    for dataset, shown in (("other", "among"), (own.dataset, "not")):
        scored_table.runs.start(replace(own, run_id=f"score-{dataset}-2", dataset=dataset))
        scored_table.runs.finish(f"score-{dataset}-2", "done")
        assert read_evidence(scored_table, "score-toy-1").shown == shown


def test_without_a_test_split_no_command_is_named_that_needs_one() -> None:
    plain, wrong = replace(PLAIN, tested=False), replace(PLAIN, tested=False, denied=100)
    for evidence in (plain, wrong):
        said = "\n".join(recommend(evidence))
        assert "curate compare" not in said and "curate improve" not in said and "test split" in said
    assert "curate select --where" in recommend(wrong)[1] and "curate compare" in recommend(PLAIN)[2]
