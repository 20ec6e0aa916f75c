"""Cells of a comparison to one line per method: mean, spread, paired differences with interval, a verdict. Pure.

Differences are paired by seed: both methods had the same data, split and warm start. The interval is Student's, for n
paired differences d: mean(d) +- t(0.975, n - 1) sd(d) / sqrt(n). One seed has no interval, so nothing is claimed from
it. Departure: where sd(d) is less than `FLOOR`, `FLOOR` is used: accuracies are counts, and seeds that happen to agree
would otherwise give an interval of no width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

from curate.types import FUSED

from .plan import CONTINUED, JOINT, is_tuned

CONFIDENCE = 0.95
FLOOR = 0.005
"""Least standard deviation of a paired difference, as a share. Chosen, not measured: single runs that differed only in
the order of their batches had a spread of 0.5 to 1.1 points on one data set, of spoken digits; for paired differences
nothing was measured."""
ACCURACY = (FUSED, "accuracy")
BETTER, WORSE, EVEN, UNJUDGED = "better", "worse", "no difference shown", "one seed, not judged"
REFERENCE, MISSING, NO_CONTROL = "reference", "missing", "not judged, no control"


@dataclass(frozen=True)
class Cell:
    """One method with its settings on one data set with one seed.

    Attributes:
        comparison, dataset, label, method, control, twin, seed: what was asked for, see `plan.Row`.
        run_id: the run with the results, or None.
        reason: why there are none; '' otherwise.
        modalities: in declared order.
        values: {(modality or "fused", metric): test value in 0..1}.
        epochs: in all, warm-up included.
        seconds: mean wall-clock time of an epoch of the method, s.
        gap: mean |probability gap| of the training samples after the last epoch, 0..1.
        memory: the most that a step of the method needed, bytes; None where it was not counted.
    """

    comparison: str
    dataset: str
    label: str
    method: str
    control: bool
    twin: str
    seed: int
    run_id: str | None = None
    reason: str = ""
    modalities: tuple[str, ...] = ()
    values: Mapping[tuple[str, str], float] = field(default_factory=dict)
    epochs: int | None = None
    seconds: float | None = None
    gap: float | None = None
    memory: float | None = None


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (None for one value) of `count` values."""

    mean: float
    sd: float | None
    count: int


@dataclass(frozen=True)
class Difference:
    """A paired difference in fused accuracy, as a share: positive = the method is ahead.

    Attributes:
        mean: over seeds.
        low, high: ends of the confidence interval; None with one seed.
        by_seed: {seed: difference}.
    """

    mean: float
    low: float | None
    high: float | None
    by_seed: Mapping[int, float]

    @property
    def verdict(self) -> str:
        """Whether the interval leaves zero out, and on which side."""
        if self.low is None or self.high is None:
            return UNJUDGED
        return BETTER if self.low > 0 else WORSE if self.high < 0 else EVEN

    @property
    def text(self) -> str:
        """In points, with its interval: `+1.2 [-0.3, +2.7]`."""
        mean = f"{100 * self.mean:+.1f}"
        if self.low is None or self.high is None:
            return mean
        return f"{mean} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


@dataclass(frozen=True)
class Line:
    """The result of a comparison for one method with its settings on one data set.

    Attributes:
        dataset, label, method, control: see `Cell`.
        seeds: with a result, ascending.
        run_ids: of these seeds.
        modalities: in declared order.
        values: {(modality or "fused", metric): spread over seeds, in 0..1}.
        epochs: in all, warm-up included; None where seeds differ.
        joint, continued: difference to plain joint training, and to the warm-up continued.
        own: (label, difference) to a control of its own, where it has one that was measured.
        time: time of an epoch relative to joint training, paired by seed.
        seconds: time of an epoch, s.
        gap: mean |gap| of the training samples at the end, 0..1.
        verdict: against the warm-up continued; where that is missing, against joint training, and marked so.
        remark: anything else to know: seeds without a result and why, another number of epochs, its own control.
        kept: share of the training data that it trained on, 0..1; None where that is not known.
        memory: of a step relative to joint training, paired by seed.
    """

    dataset: str
    label: str
    method: str
    control: bool
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...]
    modalities: tuple[str, ...]
    values: Mapping[tuple[str, str], Spread]
    epochs: int | None
    joint: Difference | None
    continued: Difference | None
    own: tuple[str, Difference] | None
    time: Spread | None
    seconds: Spread | None
    gap: Spread | None
    verdict: str
    remark: str
    kept: Spread | None = None
    memory: Spread | None = None


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and standard deviation of the values; None if there are none."""
    found = list(values)
    return Spread(mean(found), stdev(found) if len(found) > 1 else None, len(found)) if found else None


def difference(mine: Mapping[int, float], other: Mapping[int, float]) -> Difference | None:
    """The paired difference of {seed: value}, over the seeds that both have; None without one."""
    paired = {seed: mine[seed] - other[seed] for seed in sorted(mine) if seed in other}
    found = spread(paired.values())
    if found is None:
        return None
    return _with_interval(found, found.mean, paired)


def against(ours: Spread, number: float) -> Difference:
    """What the mean is ahead of a single number, such as a paper's; the interval is that of our mean alone."""
    return _with_interval(ours, ours.mean - number, {})


def _with_interval(found: Spread, value: float, by_seed: Mapping[int, float]) -> Difference:
    """A difference with Student's interval for the spread of `found`; without one for one seed."""
    if found.sd is None:
        return Difference(value, None, None, by_seed)
    from scipy.special import stdtrit  # Student's quantile; imported late, since only comparisons need scipy

    half = float(stdtrit(found.count - 1, (1 + CONFIDENCE) / 2)) * max(found.sd, FLOOR) / found.count**0.5
    return Difference(value, value - half, value + half, by_seed)


def summarize(cells: Sequence[Cell]) -> list[Line]:
    """A line for each method and setting, data sets and lines in the order of the cells."""
    lines = []
    for dataset in dict.fromkeys(c.dataset for c in cells):
        rows: dict[str, list[Cell]] = {}
        for cell in cells:
            if cell.dataset == dataset:
                rows.setdefault(cell.label, []).append(cell)
        lines += [_line(group, rows) for group in rows.values()]
    return lines


def missing_controls(lines: Sequence[Line], wanted: Sequence[str]) -> list[tuple[str, str]]:
    """(data set, method) of the controls among `wanted` that have no result."""
    found = {(line.dataset, line.method) for line in lines if line.control and line.seeds}
    datasets = dict.fromkeys(line.dataset for line in lines)
    return [(d, m) for d in datasets for m in wanted if (d, m) not in found]


def _line(group: Sequence[Cell], rows: Mapping[str, Sequence[Cell]]) -> Line:
    head, done = group[0], sorted((c for c in group if c.run_id), key=lambda c: c.seed)
    joint, continued = (_control(rows, method, is_tuned(head.label)) for method in (JOINT, CONTINUED))
    to_joint = None if group is joint else difference(_accuracy(done), _accuracy(joint))
    to_continued = None if group is continued else difference(_accuracy(done), _accuracy(continued))
    own = difference(_accuracy(done), _accuracy(rows[head.twin])) if head.twin in rows else None
    keys = dict.fromkeys(key for c in done for key in c.values)
    lengths = {c.epochs for c in done}
    return Line(
        dataset=head.dataset,
        label=head.label,
        method=head.method,
        control=head.control,
        seeds=tuple(c.seed for c in done),
        run_ids=tuple(c.run_id for c in done if c.run_id),
        modalities=next((c.modalities for cells in rows.values() for c in cells if c.modalities), ()),
        values={k: s for k in keys if (s := spread(c.values[k] for c in done if k in c.values))},
        epochs=lengths.pop() if len(lengths) == 1 else None,
        joint=to_joint,
        continued=to_continued,
        own=None if own is None else (head.twin, own),
        time=_relative(done, joint, lambda c: c.seconds),
        memory=_relative(done, joint, lambda c: c.memory),
        seconds=spread(c.seconds for c in done if c.seconds is not None),
        gap=spread(c.gap for c in done if c.gap is not None),
        verdict=_verdict(done, group is continued, to_joint, to_continued),
        remark="; ".join(_remarks(group, done, joint, own)),
    )


def _control(rows: Mapping[str, Sequence[Cell]], method: str, tuned: bool) -> Sequence[Cell]:
    """The cells of a control; for a tuned row those of the tuned control, where it was tuned too."""
    found = [g for g in rows.values() if g[0].control and g[0].method == method]
    return next((g for g in found if is_tuned(g[0].label) == tuned), found[0] if found else ())


def _accuracy(cells: Iterable[Cell]) -> dict[int, float]:
    return {c.seed: c.values[ACCURACY] for c in cells if ACCURACY in c.values}


def _relative(cells: Iterable[Cell], joint: Iterable[Cell], cost: Callable[[Cell], float | None]) -> Spread | None:
    """A cost in multiples of that of joint training."""
    base = {c.seed: known for c in joint if (known := cost(c))}
    return spread(own / base[c.seed] for c in cells if (own := cost(c)) is not None and c.seed in base)


def _verdict(done: Sequence[Cell], is_reference: bool, joint: Difference | None, continued: Difference | None) -> str:
    if not done:
        return MISSING
    if is_reference:
        return REFERENCE
    if continued is not None:
        return continued.verdict
    return NO_CONTROL if joint is None else f"{joint.verdict} (against joint only)"


def _remarks(
    group: Sequence[Cell], done: Sequence[Cell], joint: Sequence[Cell], own: Difference | None
) -> Iterable[str]:
    absent = [c for c in group if not c.run_id]
    for reason in dict.fromkeys(c.reason for c in absent):
        seeds = ", ".join(str(c.seed) for c in absent if c.reason == reason)
        yield reason if not done else f"seed {seeds}: {reason}"
    expected = {c.epochs for c in joint if c.run_id}
    if joint and (other := sorted({c.epochs for c in done if c.epochs} - expected)) and expected:
        yield f"{', '.join(map(str, other))} epochs in all, joint training has {expected.pop()}"
    if group[0].twin:
        yield "its control was not measured" if own is None else f"against {group[0].twin}: {own.text}"
