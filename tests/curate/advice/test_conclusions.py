"""What is said of broken groups, swapped clips and labels, on a made-up table."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from curate.advice.conclusions import conclusions
from curate.advice.evidence import DAMAGE, EITHER
from curate.advice.held_out import HeldOut
from curate.advice.recommend import STUDY, recommend
from curate.scores.swaps import HARD, NOBODY_READS, READS_FEW, WRONG_LABELS

from .conftest import PLAIN


def test_broken_groups_are_told_with_what_to_do() -> None:
    broken = replace(PLAIN, broken={"visual": 0.3}, verdicts={"audio": "no broken group found", "visual": "30% ..."})
    assert "curate sql" in conclusions(broken)[0] and "curate sql" not in conclusions(PLAIN)[0]
    assert recommend(broken)[1].startswith("try: usable beside warmup") and STUDY in recommend(broken)[1]


TOLD = {
    "broken": {"visual": 0.3},
    "verdicts": {"audio": "no broken group found", "visual": "30% ..."},
    "swapped": {"audio": 61},
    "denied": 97,
}


def asked(e) -> list[str]:
    """The commands that list what is found."""
    return [command for text in conclusions(e) for command in re.findall("look at them: `([^`]*)`", text)]


def test_what_is_found_is_looked_up_in_the_run_that_it_was_found_in() -> None:
    """`samples` shows the newest scored run of each data set; the commands must not show those of others."""
    for claims in (TOLD, {"denied": 0, "against": 50}):
        alone = asked(replace(PLAIN, **claims))
        among = asked(replace(PLAIN, **claims, shown="among"))
        older = asked(replace(PLAIN, **claims, shown="not"))
        assert len(alone) == len(among) == len(older) == (3 if claims is TOLD else 1)
        assert all("FROM samples" in command and "run_id" not in command for command in alone)
        assert all("FROM samples WHERE run_id = 'score-toy-1' AND (" in command for command in among)
        assert all(command.startswith("curate export --run score-toy-1 --where") for command in older)


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
