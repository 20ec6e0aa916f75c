"""Mean, spread, paired differences and verdicts, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.comparison.summary import (
    BETTER,
    EVEN,
    MISSING,
    NO_CONTROL,
    REFERENCE,
    UNJUDGED,
    WORSE,
    Cell,
    difference,
    missing_controls,
    spread,
    summarize,
)

FUSED = ("fused", "accuracy")


def cells(label: str, *accuracies: float | None, method: str = "", control: bool = False, **more: object) -> list[Cell]:
    """A cell a seed; None is one without a result."""
    return [
        Cell(
            "c", "toy", label, method or label, control, str(more.get("twin", "")), seed,
            run_id=None if a is None else f"{label}-{seed}",
            reason="it diverged" if a is None else "",
            modalities=() if a is None else ("audio", "visual"),
            values={} if a is None else {FUSED: a, ("audio", "accuracy"): a / 2},
            epochs=None if a is None else int(str(more.get("epochs", 10))),
            seconds=None if a is None else float(str(more.get("seconds", 2.0))) * (1 + seed),
            gap=None if a is None else 0.1 * (1 + seed),
            memory=None if a is None or "memory" not in more else float(str(more["memory"])) * (1 + seed),
        )
        for seed, a in enumerate(accuracies)
    ]  # fmt: skip


JOINT = cells("joint", 0.50, 0.60, 0.70, control=True)
WARM = cells("warmup", 0.60, 0.70, 0.80, control=True)


def line(*more: Cell, index: int = -1):
    return summarize([*JOINT, *WARM, *more])[index]


def test_a_spread_by_hand() -> None:
    found = spread([1.0, 2.0, 6.0])
    assert found is not None
    assert (found.mean, found.count) == (3.0, 3) and found.sd == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    one = spread([4.0])
    assert one is not None and (one.mean, one.sd, one.count) == (4.0, None, 1)
    assert spread([]) is None


def test_the_interval_of_three_seeds_by_hand() -> None:
    """d = 0.01, 0.02, 0.03: mean 0.02, sd 0.01, t(0.975, 2) = 4.302653: half 4.302653 * 0.01 / sqrt(3) = 0.024841."""
    found = difference({0: 0.51, 1: 0.62, 2: 0.73}, {0: 0.50, 1: 0.60, 2: 0.70})
    assert found is not None and found.low is not None and found.high is not None
    assert found.mean == pytest.approx(0.02)
    assert (found.low, found.high) == (pytest.approx(0.02 - 0.0248414, abs=1e-6), pytest.approx(0.0448414, abs=1e-6))
    assert found.verdict == EVEN and found.text == "+2.0 [-0.5, +4.5]"


def test_the_interval_of_two_seeds_by_hand() -> None:
    """d = 0.01, 0.03: sd 0.0141421, t(0.975, 1) = 12.7062, half 12.7062 * 0.0141421 / sqrt(2) = 0.127062."""
    found = difference({0: 0.51, 1: 0.63}, {0: 0.50, 1: 0.60})
    assert found is not None and found.high == pytest.approx(0.02 + 0.127062, abs=1e-6)


def test_seeds_that_happen_to_agree_prove_little() -> None:
    """Twice +0.1 points: sd 0, taken as 0.005: half 12.7062 * 0.005 / sqrt(2) = 0.044923."""
    found = difference({0: 0.501, 1: 0.601}, {0: 0.5, 1: 0.6})
    assert found is not None and found.verdict == EVEN
    assert (found.low, found.high) == (pytest.approx(0.001 - 0.044923, abs=1e-6), pytest.approx(0.045923, abs=1e-6))


def test_differences_are_paired_by_seed_and_only_by_seed() -> None:
    found = difference({0: 0.9, 1: 0.6, 5: 0.1}, {1: 0.5, 0: 0.8, 7: 0.0})
    assert found is not None and found.by_seed == {0: pytest.approx(0.1), 1: pytest.approx(0.1)}
    assert difference({0: 0.9}, {1: 0.5}) is None


def test_of_one_seed_nothing_is_claimed() -> None:
    found = difference({0: 0.9}, {0: 0.1})
    assert found is not None and (found.low, found.high, found.verdict) == (None, None, UNJUDGED)
    assert found.text == "+80.0"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.65, 0.751, 0.852), BETTER),
        ((0.55, 0.651, 0.752), WORSE),
        ((0.65, 0.66, 0.90), EVEN),
        ((0.60, 0.70, 0.80), EVEN),
        ((0.65,), UNJUDGED),
    ],
)
def test_the_verdict_is_against_the_warm_up_continued(values, verdict) -> None:
    found = line(*cells("new", *values))
    assert found.verdict == verdict
    assert found.joint is not None and found.joint.mean == pytest.approx(
        sum(v - j for v, j in zip(values, (0.5, 0.6, 0.7), strict=False)) / len(values)
    )


def test_a_method_that_beats_joint_training_alone_is_not_called_better() -> None:
    """Ahead of joint by 5 points on every seed, behind the warm-up continued by 5."""
    found = line(*cells("new", 0.55, 0.651, 0.752))
    assert found.joint is not None and found.joint.verdict == BETTER and found.verdict == WORSE


def test_controls_are_judged_and_the_reference_is_not() -> None:
    joint, warm = summarize([*JOINT, *WARM])
    assert (joint.verdict, warm.verdict) == (WORSE, REFERENCE)
    assert joint.joint is None and warm.continued is None


def test_without_the_fair_control_the_verdict_says_so() -> None:
    new = cells("new", 0.65, 0.751, 0.852)
    assert summarize([*JOINT, *new])[-1].verdict == "better (against joint only)"
    assert summarize(new)[-1].verdict == NO_CONTROL
    assert missing_controls(summarize([*JOINT, *new]), ("joint", "warmup")) == [("toy", "warmup")]
    settings_changed = cells("warmup (optim.lr=1)", 0.1, 0.2, 0.3, method="warmup")
    assert summarize([*settings_changed, *new])[-1].verdict == NO_CONTROL
    assert missing_controls(summarize([*JOINT, *settings_changed]), ("joint", "warmup")) == [("toy", "warmup")]
    failed = cells("warmup", None, None, None, control=True)
    assert missing_controls(summarize([*JOINT, *failed]), ("joint", "warmup")) == [("toy", "warmup")]


def test_a_seed_without_a_result_is_left_out_and_told() -> None:
    found = line(*cells("new", 0.65, None, 0.852))
    assert found.seeds == (0, 2) and found.remark == "seed 1: it diverged" and found.values[FUSED].count == 2
    assert found.continued is not None and set(found.continued.by_seed) == {0, 2}
    first, second, third, fourth = cells("new", None, None, 0.65, None)
    told = line(first, replace(second, reason="it was stopped"), third, fourth).remark
    assert told == "seed 0, 3: it diverged; seed 1: it was stopped"
    gone = line(*cells("new", None, None))
    assert (gone.verdict, gone.remark, gone.values, gone.epochs) == (MISSING, "it diverged", {}, None)
    assert gone.modalities == ("audio", "visual"), "known from the others, so that columns stay"


def test_memory_is_relative_to_joint_training_of_the_same_seed() -> None:
    """(1 + seed) cancels: 3e6 over 2e6 bytes in every seed; unknown where joint's is."""
    joint, more = cells("joint", 0.5, 0.6, control=True, memory=2e6), cells("x", 0.5, 0.6, memory=3e6)
    found = summarize([*joint, *more])[-1].memory
    assert found is not None and (found.mean, found.sd) == (pytest.approx(1.5), pytest.approx(0.0))
    assert summarize([*JOINT, *more])[-1].memory is None


def test_time_is_relative_to_joint_training_of_the_same_seed() -> None:
    """Seconds 2, 4, 6 of joint and 3, 6, 9: 1.5 on every seed, whatever else the machine was doing."""
    found = line(*cells("new", 0.5, 0.5, 0.5, seconds=3.0))
    assert found.time is not None and (found.time.mean, found.time.sd) == (pytest.approx(1.5), pytest.approx(0.0))
    assert found.gap is not None and found.gap.mean == pytest.approx(0.2)


def test_another_number_of_epochs_is_told() -> None:
    assert line(*cells("new", 0.5, 0.5, epochs=12)).remark == "12 epochs in all, joint training has 10"
    assert line(*cells("new", 0.5, 0.5)).remark == ""


def test_a_subset_is_told_beside_its_random_control() -> None:
    subset = cells("subset", 0.61, 0.72, 0.83, twin="subset, random")
    twin = cells("subset, random", 0.60, 0.70, 0.80, method="subset", control=True)
    found = line(*subset, *twin, index=-2)
    assert found.remark == "against subset, random: +2.0 [-0.5, +4.5]"
    assert line(*subset).remark == "its control was not measured"


def test_data_sets_are_kept_apart() -> None:
    from dataclasses import replace

    other = [replace(c, dataset="other", values={FUSED: 0.1}) for c in [*JOINT, *WARM]]
    lines = summarize([*JOINT, *WARM, *other])
    assert [(x.dataset, x.label) for x in lines] == [
        ("toy", "joint"), ("toy", "warmup"), ("other", "joint"), ("other", "warmup")
    ]  # fmt: skip
    assert lines[0].continued is not None and lines[0].continued.mean == pytest.approx(-0.1)
    assert lines[2].continued is not None and lines[2].continued.mean == 0


values = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8)


@given(values, st.floats(-0.5, 0.5))
def test_the_interval_holds_its_mean_mirrors_and_moves_with_the_values(pairs, shift) -> None:
    mine, other = ({i: p[k] for i, p in enumerate(pairs)} for k in (0, 1))
    here, there = difference(mine, other), difference(other, mine)
    moved = difference({s: v + shift for s, v in mine.items()}, other)
    for found in (here, there, moved):
        assert found is not None and found.low is not None and found.high is not None
        assert found.low <= found.mean <= found.high
    assert (here.low, here.high) == (pytest.approx(-there.high), pytest.approx(-there.low))
    assert (moved.low, moved.high) == (
        pytest.approx(here.low + shift, abs=1e-6), pytest.approx(here.high + shift, abs=1e-6)
    )  # fmt: skip
