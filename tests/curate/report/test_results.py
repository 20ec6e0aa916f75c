"""The comparison with fair baselines, by hand."""

import pandas as pd
import pytest

from curate.report import results
from curate.types import Run

PARENT = "score-x-1"


def _run(run_id: str, method: str, seed: int = 0, note: str | None = None, **config: object) -> Run:
    return Run(
        run_id=run_id,
        kind="train",
        method=method,
        dataset="x",
        data_id="x-1",
        root=None,
        parent=PARENT,
        seed=seed,
        modalities=("audio", "visual"),
        classes=("a", "b"),
        gap_kind="prob",
        family="gaussian",
        config={"method": {"seed": seed, **config}},
        versions={},
        folder="f",
        status="done",
        note=note,
    )


def _compare(*measured: tuple[Run, float], epochs: dict[str, int] | None = None) -> list[results.Row]:
    frame = pd.DataFrame(
        [(r.run_id, "fused", "accuracy", v) for r, v in measured], columns=["run_id", "modality", "metric", "value"]
    )
    runs = [r for r, _ in measured]
    return results.compare(frame, runs, epochs or {r.run_id: 16 for r in runs}, PARENT)


def _row(rows: list[results.Row], title: str) -> results.Row:
    (row,) = (r for r in rows if r.title == title)
    return row


def test_mean_spread_and_difference_seed_by_seed():
    rows = _compare(
        (_run("w0", "warmup", 0), 0.80),
        (_run("w1", "warmup", 1), 0.90),
        (_run("a0", "adaptive", 0), 0.82),
        (_run("a1", "adaptive", 1), 0.91),
    )
    row = _row(rows, "adaptive")
    assert row.values["fused", "accuracy"].mean == pytest.approx(0.865)
    assert row.values["fused", "accuracy"].sd == pytest.approx(0.09 / 2**0.5)
    half = 12.7062 * 0.005  # Student's t of one degree times sqrt(0.5) / sqrt(2) points, the spread of 2 and 1
    found = row.difference
    assert (found.mean, found.low, found.high) == pytest.approx((0.015, 0.015 - half, 0.015 + half), abs=1e-6)
    assert _row(rows, "warmup").difference is None


def test_only_seeds_that_both_were_trained_with_are_compared():
    warm = (_run("w0", "warmup", 0), 0.80)
    assert _row(_compare(warm, (_run("a1", "adaptive", 1), 0.82)), "adaptive").difference is None
    rows = _compare(warm, (_run("a0", "adaptive", 0), 0.81), (_run("a1", "adaptive", 1), 0.90))
    assert _row(rows, "adaptive").difference.by_seed == {0: pytest.approx(0.01)}


def test_order_and_missing_baselines():
    rows = _compare(
        (_run("s1", "subset", note="random subset"), 0.7),
        (_run("s0", "subset", note="best"), 0.7),
        (_run("z", "zeta"), 0.7),
        (_run("i", "iprm"), 0.7),
        (_run("a", "adaptive"), 0.7),
    )
    assert [r.title for r in rows] == [
        "joint",
        "warmup",
        "unimodal",
        "adaptive",
        "iprm",
        "subset (best)",
        "subset (random subset)",
        "zeta",
    ]
    assert [r.command for r in rows[:3]] == [f"curate train --method {m} --run {PARENT}" for m in results.BASELINES]
    assert not any(r.command for r in rows[3:])


def test_a_subset_without_its_control_is_told():
    rows = _compare((_run("s", "subset", note="best"), 0.7))
    assert _row(rows, "subset (random subset)").command
    assert "no statement" in results.verdicts(rows, PARENT)[0]


def test_the_scored_run_is_the_stopped_warm_up_and_no_reference():
    rows = _compare((_run(PARENT, "warmup"), 0.6), (_run("a", "adaptive"), 0.7))
    assert _row(rows, results.STOPPED).run_ids == (PARENT,)
    assert _row(rows, "warmup").command and _row(rows, "adaptive").difference is None


def test_other_settings_are_other_rows():
    rows = _compare(
        (_run("a", "adaptive", lr=0.1, size=3), 0.7),
        (_run("b", "adaptive", lr=0.2, size=3), 0.8),
        (_run("c", "adaptive", 1, lr=0.2, size=3), 0.8),
    )
    adaptive = [r for r in rows if r.method == "adaptive"]
    assert [(r.settings, len(r.run_ids)) for r in adaptive] == [("method.lr=0.1", 1), ("method.lr=0.2", 2)]


def test_another_length_is_marked():
    runs = [_run("w", "warmup"), _run("a", "adaptive"), _run("j", "joint")]
    rows = _compare(*((r, 0.7) for r in runs), epochs={"w": 16, "a": 12, "j": 16})
    assert not _row(rows, "adaptive").same_length and _row(rows, "joint").same_length


def test_one_seed_is_not_judged_however_far_it_is_ahead():
    rows = _compare((_run("w", "warmup"), 0.80), (_run("a", "adaptive"), 0.95), (_run("j", "joint"), 0.9))
    (sentence,) = results.verdicts(rows, PARENT)
    assert "+15.0 points" in sentence and "not judged" in sentence and "ahead" not in sentence
    assert f"`curate compare --run {PARENT} --method adaptive`" in sentence


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ((2, 3, 4), "is ahead"),
        ((-2, -3, -4), "is behind"),
        ((-1, 3, 4), "shows no difference"),  # 2 +- 4.303 sqrt(7 / 3)
        ((1, 1, 1), "shows no difference"),  # 1 +- 4.303 * 0.5 / sqrt(3): seeds that agree by chance
    ],
)
def test_seeds_are_judged_by_the_interval_of_their_differences(points: tuple[int, ...], said: str):
    rows = _compare(
        *((_run(f"w{s}", "warmup", s), 0.80 + 0.01 * s) for s in range(3)),
        *((_run(f"a{s}", "adaptive", s), 0.80 + 0.01 * (s + d)) for s, d in enumerate(points)),
    )
    assert f"adaptive {said}: " in results.verdicts(rows, PARENT)[0]


def test_a_subset_is_told_against_its_own_control():
    def subset(run_id: str, threshold: float, control: str = "none") -> Run:
        note = "random subset" if control == "random" else None
        return _run(run_id, "subset", note=note, threshold=threshold, control=control, selection="")

    rows = _compare(
        (_run("w", "warmup"), 0.80),
        (subset("s", 0.5), 0.78),
        (subset("t", 0.9), 0.70),
        (subset("r", 0.5, "random"), 0.79),
    )
    first, second = results.verdicts(rows, PARENT)
    assert "-2.0 points" in first and "random subset of the same size: -1.0 points" in first
    assert "was not measured" in second
    commands = [r.command for r in rows if r.method == "subset" and not r.run_ids]
    assert commands == [
        f"curate train --method subset --run {PARENT} --set method.control=random --set method.threshold=0.9"
    ]


def test_usable_is_told_against_shuffled_usability():
    def usable(run_id: str, mode: str, control: str = "none") -> Run:
        note = "shuffled usability" if control == "shuffled" else None
        return _run(run_id, "usable", note=note, mode=mode, control=control)

    rows = _compare(
        (_run("w", "warmup"), 0.80),
        (usable("s", "skip"), 0.83),
        (usable("t", "soften"), 0.83),
        (usable("r", "skip", "shuffled"), 0.79),
    )
    first, second = results.verdicts(rows, PARENT)
    assert "+3.0 points" in first and "Against shuffled usability: +4.0 points" in first
    assert "shuffled usability, was not measured" in second
    commands = [r.command for r in rows if r.method == "usable" and not r.run_ids]
    assert commands == [
        f"curate train --method usable --run {PARENT} --set method.control=shuffled --set method.mode=soften"
    ]
