"""Whether a modality has a broken group: one that is recognised apart from the rest, and that the model fails on. Pure.

Letters: N training samples, H held-out ones, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

from . import mixture
from .cells import Cells, gather
from .em import Components, climb, e_step
from .groups import Mask, agreement, weak_classes

LEVELS = (2, 3, 4)
"""Numbers of groups of recognition that are tried."""
SEPARATION = 2.0
"""Two groups are separate if Ashman's D exceeds this."""
RATIO = 0.25
"""A broken group keeps less than this share of the held-out recognition above chance, beside others of its classes."""
IMPAIRED = 0.6
"""So is one that keeps less than this share, if its content is shown to be lost, see `groups.Readable.lost`."""
RIGHT = 0.5
"""Nor is a group broken if the model is right on its held-out samples at least this share as often, above chance: of
pale pictures it may only be less sure."""
LEARNT = 0.1
"""Nothing is claimed where less than this share of what is above chance is recognised of the other held-out samples: a
modality that the model has not learnt to read fails on any group."""
MAJORITY, WELL = 0.5, 0.5
"""A group of more than the first share of the samples is broken only if more than the second is recognised of the
others: where a model has learnt a few samples, all the rest is such a group."""
SAME = 0.3
"""How many samples of its class all others count as, where a low sample is compared with others of its class."""
SMALLEST = 0.01
"""A group must have more than this share of the samples."""
FEWEST = 5
"""Fewest held-out samples on each side of a cut with which it is judged."""
RESOLUTION = 0.02
"""Recognition pooled over other samples is not the same to less than this. What looks exactly alike, as silence
does, is recognised exactly alike: a held-out sample is beside such a spike, not within its width, and belongs to it."""


UNJUDGED = "not judged: "
DEEP = "only deep features are known"
UNHELD = "no held-out sample has features"
HARDLY_READ = "the class is hardly read of held-out samples"
"""Why nothing is claimed; of vectors see `vectors`, of texts `wordings`. No semicolon is in them, which ends a reason
in a verdict."""


@dataclass(frozen=True)
class Guard:
    """Whether a modality has a broken group: one that is separate, and on which the model fails.

    Attributes:
        found: whether there is such a group.
        share: of the training samples in the low group, 0 if none was found.
        separation: Ashman's D of the two components at the cut, sqrt(2) (mu_1 - mu_0) / sqrt(s_0^2 + s_1^2).
        ratio: recognition of the low group's held-out samples divided by that of the high group's of the same classes,
            both above chance, plus one standard error; near 0 = broken, near 1 = as good as the rest. None if no cut
            has held-out samples of the same classes on both sides, or if the model has not learnt to read the modality.
        withheld: nothing was claimed.
        weak: classes that are hardly recognised as a whole: ambiguous, or damaged throughout.
        rare: share of the training samples that have a look of their own and are readable by themselves.
        shortcuts: classes of which most, or copies, are given away by their look, see `groups.shortcuts`.
        why: the reason for that, in words; it is part of the verdict, which alone is stored.
    """

    found: bool
    share: float = 0.0
    separation: float = 0.0
    ratio: float | None = None
    withheld: bool = False
    weak: tuple[str, ...] = ()
    rare: float = 0.0
    shortcuts: tuple[str, ...] = ()
    why: str = ""

    @property
    def verdict(self) -> str:
        """The result in words."""
        if self.withheld:
            text = f"{UNJUDGED}{self.why or DEEP}"
        else:
            text = f"{self.share:.0%} of the samples form a broken group" if self.found else "no broken group found"
        if self.weak:
            text += f"; weak on {_named(self.weak)}: hardly recognised there, and hardly any of these better"
        if self.rare:
            text += f"; {self.rare:.1%} have a look of their own and are readable by themselves: rare, not broken"
        if self.shortcuts:
            text += (
                f"; look alone gives away {_named(self.shortcuts)}, or a part: damage tied to a class, a shortcut, or "
                "a kind of its own by nature; it ranks last, so look at it (column shortcut)"
            )
        return text


def reason(verdict: str) -> str:
    """`Guard.why` of a verdict; '' of one that judges."""
    return verdict.removeprefix(UNJUDGED).partition("; ")[0] if verdict.startswith(UNJUDGED) else ""


def _named(classes: Sequence[str]) -> str:
    return f"class{'es' if len(classes) > 1 else ''} {', '.join(classes)}"


@dataclass(frozen=True)
class Labels:
    """Labels of the samples that a guard judges.

    Attributes:
        seen: (N,) class indices of the training samples.
        held: (H,) of the held-out ones.
        names: K class names.
    """

    seen: NDArray[np.int64]
    held: NDArray[np.int64]
    names: Sequence[str]


@dataclass(frozen=True)
class Cut:
    """A cut between two neighbouring components of a mixture of pooled recognition.

    Attributes:
        low: (N,) posterior of the components below, never rising with recognition.
        held: (H,) whether a held-out sample is below.
        nearest: (H,) whether it is in the component just below, where others are below that; None for the lowest cut.
        separation: Ashman's D of the components beside the cut.
        share: weight of the components below.
    """

    low: Floats
    held: Mask
    separation: float
    share: float
    nearest: Mask | None = None


def cuts(recognition: Floats, held_recognition: Floats) -> Iterator[Cut]:
    """Every cut of mixtures of two to four Gaussians; none of too few samples, or of equal ones."""
    cells = gather(recognition)
    if len(recognition) < mixture.MIN_SAMPLES or cells.variance < mixture.MIN_VARIANCE:
        return
    for count in LEVELS:
        found = _levels(cells, count)
        locs, scales, weights = (v[0] for v in (found.locs, found.scales, found.weights))
        wide = replace(found, scales=np.maximum(found.scales, RESOLUTION))
        under: Mask | None = None
        for cut in range(1, count):
            separation = float(np.sqrt(2) * (locs[cut] - locs[cut - 1]) / np.hypot(scales[cut], scales[cut - 1]))
            held = _below(wide, cut, held_recognition) > 0.5
            nearest: Mask | None = None if under is None else held & ~under
            yield Cut(_below(found, cut, recognition), held, separation, float(weights[:cut].sum()), nearest)
            under = held


def broken(
    recognition: Floats,
    held_recognition: Floats,
    held_p_true: Floats,
    classes: int,
    labels: Labels | None = None,
    readable: Callable[[Mask], bool] | None = None,
    lost: Callable[[Mask], bool] | None = None,
    held_right: Mask | None = None,
) -> tuple[Floats, Guard]:
    """Probability that a modality is broken on a sample, and the guard: without a broken group it is 0 everywhere.

    Mixtures of two to four Gaussians are fitted to the pooled recognition of the training samples, and cut between
    neighbouring components. A cut is valid if the components beside it are separate (`SEPARATION`) and if samples that
    the model was *not* trained on are hardly recognised below it, and in the component just below (`RATIO`), beside
    others of their classes: memorised training samples cannot hide a broken group then, and a group that only looks
    different, or as classes look that are hard, is not broken. Classes that are below some cut as a whole are left out
    of this (`groups.weak_classes`): nothing of them is recognised better, so that the class explains the group, and
    they are called weak. Nor is a rare group broken that may be readable. Of the valid cuts the one with the most
    samples below is used; without one, see `_half_learnt`, or nothing is broken.

    Args:
        recognition: (N,) pooled recognition of the training samples, in [0, 1].
        held_recognition: (H,) pooled recognition of held-out samples; their look-alikes are training samples.
        held_p_true: (H,) probability of the true class of the held-out samples themselves.
        classes: K.
        labels: of both; None judges no class by itself.
        readable: whether a group, an (N,) mask, may be rare and readable; None if that cannot be told.
        lost: whether the content of a group is shown to be lost; None if that cannot be told.
        held_right: (H,) whether the model is right on a held-out sample, see `RIGHT`; None: not asked.

    Returns:
        (N,) posterior of the components below the cut, never rising with recognition but for what is left out; guard.
    """
    q = np.asarray(recognition, dtype=np.float64)
    posterior, weak = np.zeros(len(q)), np.zeros(classes, dtype=bool)
    best = closest = Guard(False)
    every = [cut for cut in cuts(q, held_recognition) if cut.separation > SEPARATION]
    rest, held_rest = np.ones(len(q), dtype=bool), np.ones(len(held_p_true), dtype=bool)
    own = np.zeros(len(held_p_true), dtype=np.int64)  # as if all were of one class
    if labels is not None:
        own, weak = labels.held, _weak(every, labels, held_p_true, classes)
        rest, held_rest = ~weak[labels.seen], ~weak[labels.held]
    for cut in every:
        inside = (cut.low > 0.5) & rest
        share = float(inside.mean()) if weak.any() else cut.share
        learnt = WELL if share > MAJORITY else LEARNT
        ratio = _kept(cut.held[held_rest], held_p_true[held_rest], classes, own[held_rest], learnt)
        above = cut.nearest is None or _fails(cut.nearest, held_p_true, classes, own, ~cut.held)
        if ratio is None or share <= SMALLEST or not above:
            continue
        if closest.ratio is None or ratio < closest.ratio:
            closest = Guard(False, 0.0, cut.separation, ratio)
        wrong = held_right is None or not _unsure(cut.held[held_rest], held_right[held_rest], classes, own[held_rest])
        if wrong and ratio < RATIO and share > best.share and not (readable is not None and readable(inside)):
            best, posterior = Guard(True, share, cut.separation, ratio), np.where(rest, cut.low, 0.0)
    if not best.found and labels is not None and lost is not None:
        best, posterior = _half_learnt(every, labels, held_p_true, classes, weak, lost) or (best, posterior)
    names = tuple(labels.names[c] for c in np.flatnonzero(weak).tolist()) if labels else ()
    return posterior, replace(best if best.found else closest, weak=names)


def empty(
    guard: Guard, posterior: Floats, nothing: Mask, recognition: Floats, held_p_true: Floats, seen: NDArray[np.int64]
) -> tuple[Floats, Guard]:
    """(N,) probability of being broken, and the guard, where of some samples it is known that nothing is there.

    That they are alike takes the place of held-out samples, of which there may be few: no model can know more of them
    than how often their classes are the same, `agreement`. They are broken if that is less than `RATIO` of what is
    recognised of held-out samples, both above what is known without looking, and if the model recognises them less
    than `IMPAIRED`: there may be content that a coarse pattern does not show, and what is tied to a class tells it.

    Args:
        guard, posterior: as `broken` found them.
        nothing: (N,) such as have no content, see `groups.flat`.
        recognition, held_p_true: as in `broken`.
        seen: (N,) labels.
    """
    if not 1 < nothing.sum() < len(seen):
        return posterior, guard
    chance = float(((np.bincount(seen) / len(seen)) ** 2).sum())
    told, error = agreement(seen[nothing])
    read, low, high = float(held_p_true.mean()) - chance, recognition[nothing], recognition[~nothing]
    ratio = (told + error - chance) / read if read > LEARNT * (1 - chance) else 1.0
    if ratio >= RATIO or low.mean() - chance >= IMPAIRED * (high.mean() - chance):
        return posterior, guard
    p = np.where(nothing, 1.0, posterior)
    spread = np.hypot(max(low.std(), RESOLUTION), max(high.std(), RESOLUTION))
    separation = float(np.sqrt(2) * (high.mean() - low.mean()) / spread)
    found = guard if guard.found else replace(guard, found=True, withheld=False, separation=separation, ratio=ratio)
    return p, replace(found, share=float((p > 0.5).mean()))


def _weak(found: Sequence[Cut], labels: Labels, held_p_true: Floats, classes: int) -> Mask:
    """(K,) the most classes that one cut shows to be hardly recognised as a whole, half of all at most: where most are
    below, the few above them are given away.

    A cut within them shows nothing more: some of their samples are always recognised less than others.
    """
    weakest, together = np.zeros(classes, dtype=bool), np.zeros_like(labels.held)
    for cut in found:
        if _fails(cut.held, held_p_true, classes, together):
            weak = weak_classes(cut.low > 0.5, labels.seen, classes)
            weakest = weak if weakest.sum() < weak.sum() <= classes / 2 else weakest
    return weakest


def _half_learnt(
    found: Sequence[Cut],
    labels: Labels,
    held_p_true: Floats,
    classes: int,
    known: Mask,
    lost: Callable[[Mask], bool],
) -> tuple[Guard, Floats] | None:
    """Guard and posterior of the largest group of which the model may have learnt something, though it is broken.

    The lowest cut of a mixture is valid if less than `IMPAIRED` is kept below it, and the content there is lost. None
    is returned without one.

    Args:
        known: (K,) classes that are weak in any case.
    """
    for cut in sorted(found, key=lambda cut: -(cut.low > 0.5).mean()):
        if cut.nearest is not None:
            continue
        inside = cut.low > 0.5
        weak = known | weak_classes(inside, labels.seen, classes)
        rest, held_rest = ~weak[labels.seen], ~weak[labels.held]
        ratio = _kept(cut.held[held_rest], held_p_true[held_rest], classes, labels.held[held_rest])
        share = float((inside & rest).mean())
        if ratio is not None and ratio < IMPAIRED and share > SMALLEST and lost(inside & rest):
            return Guard(True, share, cut.separation, ratio), np.where(rest, cut.low, 0.0)
    return None


def _fails(low: Mask, p_true: Floats, classes: int, labels: NDArray[np.int64], high: Mask | None = None) -> bool:
    """Whether held-out samples below a cut are hardly recognised, by those of `high`, or by all others; see `_kept`."""
    of = slice(None) if high is None else low | high
    ratio = _kept(low[of], p_true[of], classes, labels[of])
    return ratio is not None and ratio < RATIO


def _unsure(low: Mask, right: Mask, classes: int, labels: NDArray[np.int64]) -> bool:
    """Whether the model is right on the held-out samples below a cut, `RIGHT` as often as on others; see `_kept`."""
    kept = _kept(low, right.astype(float), classes, labels)
    return kept is not None and kept >= RIGHT


def _levels(cells: Cells, count: int) -> Components:
    """A mixture (1, C) of `count` Gaussians, ascending by location: the best of three starts, at even quantiles, with a
    rare low component, and with a rare high one."""
    even = (np.arange(count) + 0.5) / count
    at = np.array([even, np.append(0.02, even[1:]), np.append(even[:-1], 0.98)])
    locs = cells.quantiles(at.ravel().tolist()).reshape(at.shape)
    sd = float(np.sqrt(cells.variance))
    first = Components(np.full(at.shape, 1 / count), locs, np.full(at.shape, sd / count), np.full(at.shape, np.inf))
    found, _, _ = climb(cells, first, mixture.MIN_VARIANCE, False, 1e-9, 500)
    order = np.argsort(found.locs[0], kind="stable")
    return Components(*(v[:, order] for v in (found.weights, found.locs, found.scales, found.dofs)))


def _below(levels: Components, cut: int, recognition: Floats) -> Floats:
    """(n,) posterior of the components below a cut; constant beyond the outermost locations, never rising."""
    x = np.clip(recognition, levels.locs[0, 0], levels.locs[0, -1])
    order = np.argsort(x, kind="stable")
    low = e_step(x[order], levels)[0][0][:cut].sum(axis=0)
    out = np.empty(len(x))
    out[order] = np.minimum.accumulate(np.minimum(low, 1.0))  # a sum of posteriors may round above 1
    return out


def _kept(low: Mask, p_true: Floats, classes: int, labels: NDArray[np.int64], learnt: float = LEARNT) -> float | None:
    """Recognition above chance of the low held-out samples divided by that of the others, plus one standard error: very
    few samples then lead to no claim. None if a side has too few, or if of the others no more than `learnt` is
    recognised, as a share of what is above chance, or if they are mostly of other classes.

    The others are those of the same class, for what is hard about a class is so for all of it. Where a class has few
    others, those of all classes count too, as `SAME` of its own would. A low group that nearly all of its classes are
    in has no others but those: that they are recognised better says how classes differ, not samples.

    Args:
        labels: (H,) of these samples; equal ones compare them with all others.
    """
    if min(low.sum(), (~low).sum()) < FEWEST:
        return None
    counts, sums = (np.bincount(labels[~low], w, classes) for w in (None, p_true[~low]))
    of_class = (sums + SAME * p_true[~low].mean()) / (counts + SAME)
    above, error = of_class[labels[low]].mean() - 1 / classes, p_true[low].std(ddof=1) / np.sqrt(low.sum())
    if (counts / (counts + SAME))[labels[low]].mean() < 0.5 or above <= learnt * (1 - 1 / classes):
        return None
    return float((p_true[low].mean() + error - 1 / classes) / above)
