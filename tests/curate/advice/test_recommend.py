"""Every piece of advice on a made-up table, and the evidence it names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from curate.advice.conclusions import conclusions
from curate.advice.evidence import DAMAGE, EITHER, Evidence, read_evidence
from curate.advice.held_out import HeldOut, differ
from curate.advice.recommend import IMPROVED, STUDY, recommend
from curate.comparison.summary import Cell, Line, summarize
from curate.scores.swaps import HARD, NOBODY_READS, READS_FEW, WRONG_LABELS

PLAIN = Evidence(
    dataset="toy",
    run_id="score-toy-1",
    modalities=("audio", "visual"),
    classes=10,
    samples=1000,
    size=0.35,
    imbalanced=0.2,
    accuracy={"audio": 0.8, "visual": 0.5, "fused": 0.9},
    outcomes=("ok",),
    ahead={"audio": 0.7, "visual": 0.3},
    carried={"audio": 0.18, "visual": 0.02},
    held_out=HeldOut("val", 200, {"audio": 0.75, "visual": 0.45, "fused": 0.85}),
    verdicts={"audio": "no broken group found", "visual": "no broken group found"},
    posterior="a scale of |gap|",
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


def test_broken_groups_are_told_with_what_to_do() -> None:
    broken = replace(PLAIN, broken={"visual": 0.3}, verdicts={"audio": "no broken group found", "visual": "30% ..."})
    assert "curate sql" in conclusions(broken)[0] and "curate sql" not in conclusions(PLAIN)[0]
    assert recommend(broken)[1].startswith("try: usable beside warmup") and STUDY in recommend(broken)[1]


def test_wrong_labels_are_a_finding_of_their_own() -> None:
    assert not any(text.startswith("labels") for text in conclusions(replace(PLAIN, denied=0)))
    known = replace(PLAIN, denied=97, held_out=HeldOut("val", 200, {"fused": 0.96}))
    (found,) = [text for text in conclusions(known) if text.startswith("labels: ")]
    assert "97 probably wrong (9.7%)" in found and "p_mislabelled > 0.5" in found and "hard" not in found
    assert found in recommend(known)[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"accuracy": {"fused": 0.59}}, True),
        ({"accuracy": {"fused": 0.61}}, False),
        ({"accuracy": {"fused": 0.45}, "denied": 300}, False),  # 45 of 70 %
        ({"accuracy": {"fused": 0.40}, "denied": 300}, True),
        ({"accuracy": {"fused": 0.3}, "folds": 5}, False),  # not of samples that it was trained on
        ({"accuracy": {"fused": 0.3}, "in_sample": None}, False),
    ],
)
def test_a_model_that_has_learnt_little_is_the_first_thing_said(changes, said) -> None:
    first = conclusions(replace(PLAIN, held_out=None, **changes))[0]
    assert first.startswith("learnt: ") == said and ("--epochs" in first) == said
    other = replace(PLAIN, held_out=None, has_model=False, **changes)
    assert "--epochs" not in conclusions(other)[0]


def test_labels_are_not_judged_where_more_are_denied_than_can_be_wrong() -> None:
    read = HeldOut("val", 200, {"audio": 0.75, "visual": 0.45, "fused": 0.85})
    for changes, cure in (({}, True), ({"folds": 5}, False), ({"has_model": False}, False)):
        told = conclusions(replace(PLAIN, withheld=True, held_out=read, **changes))
        (found,) = [t for t in told if t.startswith("labels: ")]
        assert "not judged" in found and "denies more of them" in found and ("--folds 5" in found) == cure


def test_wrong_held_out_labels_are_told_where_none_is_found_in_training() -> None:
    held = HeldOut("val", 200, {"fused": 0.85}, 0.12)
    (found,) = [t for t in conclusions(replace(PLAIN, denied=0, held_out=held)) if t.startswith("labels: ")]
    assert "at least 12%" in found and "--folds 5" in found
    (found,) = [t for t in conclusions(replace(PLAIN, denied=0, held_out=held, folds=5)) if t.startswith("labels: ")]
    assert "--folds" not in found
    by_heart = {"held_out": replace(held, accuracy={"audio": 0.5, "visual": 0.45, "fused": 0.55})}  # 0.8 in training
    for nothing in ({"held_out": replace(held, wrong=0.0)}, {"denied": None}, by_heart):
        told = conclusions(replace(PLAIN, **{"denied": 0, "held_out": held} | nothing))
        assert not any(text.startswith("labels: ") for text in told)


def test_swapped_clips_are_a_finding_of_each_modality() -> None:
    assert not any(text.startswith("swapped") for text in conclusions(PLAIN))
    known = replace(PLAIN, swapped={"audio": 61, "visual": 20}, denied=97)
    (found,) = [text for text in conclusions(known) if text.startswith("swapped: ")]
    assert "61 of audio (6.1%), 20 of visual (2.0%)" in found and "contradicts <> ''" in found
    topics = [text.split(": ")[0] for text in conclusions(known)]
    assert topics.index("broken") < topics.index("swapped") < topics.index("labels")
    assert found in recommend(known)[0]


def test_the_command_lists_whatever_is_said_of_groups() -> None:
    known = {"verdicts": {"audio": "no broken group found"}, "broken": {}}
    for changes, asked in (
        ({"kinds": ("rare",)}, "SELECT sample_id, label_name, rare FROM samples WHERE rare <> ''"),
        ({"kinds": ("weak",), "broken": {"audio": 0.1}}, "broken, weak FROM samples WHERE broken <> '' OR weak <> ''"),
        ({}, None),
    ):
        (found,) = [t for t in conclusions(replace(PLAIN, **{**known, **changes})) if t.startswith("broken: ")]
        assert ("curate sql" in found) == (asked is not None) and (asked or "") in found


def test_what_was_not_judged_for_swaps_is_said_there_and_beside_wrong_labels() -> None:
    known = replace(PLAIN, unread={"visual": "why"}, denied=97)
    swapped, labels = (t for t in conclusions(known) if t.startswith(("swapped: ", "labels: ")))
    assert swapped == "swapped: not judged of visual: why" and "which visual cannot tell" in labels
    (found,) = [t for t in conclusions(replace(known, swapped={"audio": 61})) if t.startswith("swapped: ")]
    assert "61 of audio" in found and found.count("not judged of visual") == 1
    both = conclusions(replace(known, unread={"audio": "why", "visual": "why"}))
    assert "which audio and visual cannot tell" in str(both) and "swapped: not judged of audio and visual: why" in both
    predicted = conclusions(replace(known, unread={"audio": DAMAGE, "visual": DAMAGE}))
    assert "cannot tell" not in str(predicted), "what one denies and the other prefers is called no wrong label"
    other = replace(known, unread={"audio": "this", "visual": "that"})
    assert "swapped: not judged of audio: this; not judged of visual: that" in conclusions(other)


def test_what_was_not_judged_of_several_modalities_speaks_of_several() -> None:
    """Of three as of one, and how the classes count is said: most labels may be preferred of a frequent class."""
    for why in (READS_FEW, NOBODY_READS, WRONG_LABELS, HARD, EITHER, DAMAGE):
        unread = dict.fromkeys(("lidar", "radar", "thermal"), why)
        assert f"swapped: not judged of lidar, radar and thermal: {why}" in conclusions(replace(PLAIN, unread=unread))
        assert not {"it", "they"} & set(why.split())
    assert all(why.endswith("classes counting as equally frequent") for why in (READS_FEW, NOBODY_READS))


def test_denied_labels_of_which_none_is_claimed_are_told_and_two_confused_classes_named() -> None:
    known = replace(PLAIN, denied=0, against=50, samples=1000, confused=("hen", "rook", 46, 204))
    (found,) = [text for text in conclusions(known) if text.startswith("labels: ")]
    assert "denies 50 (5.0%)" in found and "46 of the 204 of hen and rook as each other" in found
    for fewer in ((19, 60), (40, 200)):  # too few, and not more than a fifth
        assert "hen" not in str(conclusions(replace(known, confused=("hen", "rook", *fewer))))
    assert "46 of the 204" in str(conclusions(replace(known, withheld=True, denied=None)))
    assert "46 of the 204" not in str(conclusions(replace(known, denied=60)))
    for silent in ({"against": 0}, {"denied": None}):
        assert not any(text.startswith("labels: ") for text in conclusions(replace(known, **silent)))


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


def test_labels_are_not_judged_by_a_fusion_that_reads_too_few_unseen_samples() -> None:
    def told(right: float, denied: int | None) -> str:
        held = HeldOut("val", 200, {"audio": 0.2, "visual": 0.2, "fused": right})
        known = replace(PLAIN, denied=denied, withheld=denied is None, held_out=held)
        return next(text for text in conclusions(known) if text.startswith("labels"))

    assert "not judged" in told(0.59, None) and "59%" in told(0.59, None)
    assert "97 probably wrong" in told(0.6, 97) and "wrong on 40%" in told(0.6, 97)


def test_labels_that_are_judged_by_one_modality_are_said_to_be() -> None:
    held = HeldOut("val", 200, {"audio": 0.9, "visual": 0.1, "fused": 0.5}, 0.0, "audio")
    (found,) = [t for t in conclusions(replace(PLAIN, denied=97, held_out=held)) if t.startswith("labels")]
    assert "since the prediction by audio preferred" in found and "more often than the fusion" in found
    (found,) = [t for t in conclusions(replace(PLAIN, withheld=True, held_out=held)) if t.startswith("labels")]
    assert "not judged: audio denies more of them" in found and "contradiction_audio ranks them" in found
    few = replace(held, accuracy={**held.accuracy, "audio": 0.55})
    assert "audio is right on only 55%" in str(conclusions(replace(PLAIN, withheld=True, held_out=few)))


def test_what_is_read_is_counted_among_held_out_samples_whose_label_is_right() -> None:
    """Right on half, and at least a quarter of the held-out labels are wrong: two in three are read."""
    held = HeldOut("val", 200, {"audio": 0.2, "visual": 0.2, "fused": 0.5}, 0.25)
    known = replace(PLAIN, denied=97, held_out=held)
    assert known.reads == pytest.approx(2 / 3) and known.judges_labels
    assert any(
        "on 33% of the samples that it was not trained on and whose label is right" in t for t in conclusions(known)
    )
    poor = replace(PLAIN, denied=None, withheld=True, held_out=replace(held, wrong=0.1))
    assert any("right on only 56% of the samples that it was not trained on and whose" in t for t in conclusions(poor))
    assert replace(known, folds=5, accuracy={"fused": 0.6}).reads == pytest.approx(0.8)


@pytest.mark.parametrize(("right", "denied", "hard"), [(0.9, 199, True), (0.9, 201, False), (0.99, 19, True)])
def test_denied_labels_may_be_hard_if_held_out_errors_are_half_as_many(right: float, denied: int, hard: bool) -> None:
    held = HeldOut("val", 200, {"audio": right, "visual": right, "fused": right})
    found = next(t for t in conclusions(replace(PLAIN, denied=denied, held_out=held)) if t.startswith("labels"))
    assert ("or hard: " in found) == hard


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
