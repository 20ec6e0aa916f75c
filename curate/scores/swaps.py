"""Swapped clips: a modality denies a label that the others prefer. Not of the papers. Pure.

The margins of a modality, see `preferences`, are a mixture of two Gaussians of equal spread. Where a clip belongs to
another sample, its margin is that of another class, mirrored: as far below zero as those of right pairs lie above.

Letters: N samples, M modalities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

from .bounds import SIDED, UNKNOWN, WrongBounds
from .metrics import auroc
from .preferences import Preferences
from .references import Looks
from .two_groups import CLAIMED, SMALLEST, STEPS, TOLERANCE, Groups, total, two_groups, two_modes

PREFERS = 0.6
"""The clips of a modality are judged if it prefers the label of this share of its intact samples, and another too."""
SEPARATION, MIRRORED = 2.3, 0.8
"""The lower group counts if the means are further apart than so many spreads, and if a swapped clip is read as well as
any, as another class: its mean is below minus this share of the other mean."""
TYPICAL = 0.1
"""Clips are not swapped if the classes that they show instead clearly go with the labels further than this, see
`typical`; nor are they called so if they may, where the two groups are no modes: two Gaussians fit a tail as well."""
ORDINARY, ASKED = 2 / 3, 500
"""Nor if their look-alikes deny their labels too, more than those of others, by this AUROC; of so many of each."""
AMONG = 2 / 3
"""Nor if they are not among clips of the class that they show, as right ones are among those of theirs, see
`of_another_class`."""
VOUCHES = 0.35
"""Others tell a right label from a wrong one if they prefer the right ones by this many spreads."""
EQUAL = "over the warm-up, classes counting as equally frequent"
READS_FEW = f"the label is preferred there on fewer than {PREFERS:.0%} of the clips {EQUAL}"
NOBODY_READS = f"no other modality prefers the label on {PREFERS:.0%} of its clips {EQUAL}"
WRONG_LABELS = "wrong labels may explain as well what is denied there"
HARD = "what is denied there may be what is hard there"
"""Why it is not judged which clips are swapped: words that are true of one modality, and of several."""


@dataclass(frozen=True)
class Swaps:
    """What modalities show of other samples.

    Attributes:
        p: (N, M) probability that a clip is swapped; NaN in the columns that are not judged.
        elsewhere: (N, M) probability that a modality shows what is not there: swapped, or damage that is read so.
        unjudged: M reasons why it is not judged, '' where it is.
    """

    p: Floats
    elsewhere: Floats
    unjudged: tuple[str, ...]


def swapped(
    said: Preferences,
    labels: NDArray[np.int64],
    whole: NDArray[np.bool_],
    fitted: NDArray[np.int64],
    looks: Sequence[Looks | None] = (),
    wrong: WrongBounds = UNKNOWN,
) -> Swaps:
    """Which clips are swapped.

    A modality denies a label where its margin belongs to the lower group, if there is one. Such a clip is swapped if
    the other modalities prefer the label to what it shows, as they do elsewhere; if they do not, the label is wrong.
    It is claimed only where most of what the modality denies is so. Where less than half is, wrong labels are the
    simpler explanation; so they are where that is not clear, if held-out samples show that there are some, and perhaps
    as many as the modality denies; else neither is claimed. What the clips show instead must not go with the label,
    see `typical`, nor with how they look, see `ordinary`: damage may be read as another class; then the label is not
    wrong either. And their content must be that of another class, see `of_another_class`. A modality that reads few
    labels is not asked and vouches for none, nor do others that do not clearly prefer the rest of the labels.

    Args:
        said: at equal frequency.
        labels: (N,).
        whole: (N, M) whether nothing is claimed to be broken.
        fitted: the samples that mixtures are fitted to.
        looks: of each modality, how its samples look; None or (): unknown.
        wrong: share of wrong labels that held-out samples show, and its bounds.
    """
    p, elsewhere, reasons = np.zeros(whole.shape), np.zeros(whole.shape), [""] * whole.shape[1]
    asked = [
        m for m, intact in enumerate(whole.T) if (said.margin(m) > 0)[intact].sum() >= max(PREFERS * intact.sum(), 1)
    ]
    for m in range(whole.shape[1] if whole.shape[1] > 1 else 0):
        others = [o for o in asked if o != m]
        if m not in asked or not others:
            reasons[m] = NOBODY_READS if m in asked else READS_FEW
        else:
            look = looks[m] if looks else None
            elsewhere[:, m], claim, reasons[m] = _elsewhere(said, labels, whole, m, others, fitted, look, wrong)
            p[:, m] = elsewhere[:, m] * claim
        if reasons[m]:
            p[:, m] = np.nan
    return Swaps(p, elsewhere, tuple(reasons))


def _elsewhere(
    said: Preferences,
    labels: NDArray[np.int64],
    whole: NDArray[np.bool_],
    m: int,
    others: Sequence[int],
    fitted: NDArray[np.int64],
    looks: Looks | None,
    wrong: WrongBounds,
) -> tuple[Floats, bool, str]:
    """(N,) probability that a modality shows what is not there; whether its clips are those of other samples; and why
    that is not clear, '' if it is.

    It is 0 where that explains clearly less than half of what it denies, and where what is shown goes with the label.
    They are no swapped clips if it goes with how they look.
    """
    margin, intact = said.margin(m), whole[:, m]
    nothing = np.zeros(len(margin))
    found = two_groups(margin[fitted], intact[fitted].astype(float))
    if found is None or found.separation <= SEPARATION or found.low > -MIRRORED * found.high:
        return nothing, False, ""
    denies = found.lower(margin) * intact
    rest = np.sum([said.margin(o, m) * whole[:, o] for o in others], axis=0)
    shown: Floats = denies * (1 - _label_wrong(rest, denies, (1 - denies) * intact, fitted))
    mass, doubt = float(denies.sum()), SIDED * float(np.sqrt(0.25 / max(denies.sum(), 1)))
    share = float(shown.sum()) / mass
    if share + doubt <= 0.5 or shown.mean() <= SMALLEST:
        return nothing, False, ""
    modes = two_modes(found.share, found.separation)
    together, error = typical(labels, said.other[:, m], shown) or (np.nan, np.nan)
    if together - SIDED * error > TYPICAL:
        return nothing, False, ""
    if share - doubt <= 0.5:
        of_labels = wrong.least > 0 and denies.mean() <= wrong.accidents
        return nothing if of_labels else shown, False, WRONG_LABELS
    if np.isnan(together) and not modes:
        return nothing, False, ""
    if not modes and together + SIDED * error > TYPICAL:
        return shown, False, HARD
    if looks is not None and not ordinary(looks, denies, shown):
        return shown, False, ""
    clear = looks is None or of_another_class(looks, labels, said.other[:, m], shown)
    return shown, clear, "" if clear else HARD


def ordinary(looks: Looks, denies: Floats, swapped: Floats) -> bool:
    """Whether the clips that would be called swapped look as others do, of which the labels are denied no less often.

    A clip of another sample looks like any. Where the look-alikes of these clips deny their labels as well, it is what
    they look like that is read as another class: the AUROC of how often look-alikes deny, of these against the others,
    is above `ORDINARY`.

    Args:
        looks: of the modality.
        denies: (N,) probability that its margin belongs to the lower group.
        swapped: (N,) probability that the clip is another sample's.
    """
    claimed = swapped > CLAIMED
    groups = [np.flatnonzero(claimed), np.flatnonzero(~claimed)]
    asked = [_spaced(rows) for rows in groups]
    if not all(len(rows) for rows in asked):
        return True
    pooled = looks.pooled(denies, np.concatenate(asked))
    of_claimed = np.repeat([True, False], [len(rows) for rows in asked])
    return pooled is None or (auroc(pooled, of_claimed) or 0.0) <= ORDINARY


def of_another_class(looks: Looks, labels: NDArray[np.int64], shown: NDArray[np.int64], swapped: Floats) -> bool:
    """Whether the clips that would be called swapped show what those of another class do, by 1.645 standard errors.

    Clearly fewer of what is like them have their label than of all samples. And what is like them has the class shown
    not clearly less often than `AMONG` of how often what is like the others has their label, both above chance.

    A clip of another sample is among those of its class, where hardly any has this label. What is hard is between
    classes; and a class of several kinds has one that a model takes for another class, among others of that kind. Of
    another encoder or an upturned sensor clips are nowhere among the classes that they are taken for.

    Args:
        looks: of the modality.
        labels: (N,).
        shown: (N,) the class that is shown instead.
        swapped: (N,) probability that the clip is another sample's.

    Returns:
        True, too, where it is not known what the samples show.
    """
    claimed, rest = (_spaced(np.flatnonzero(rows)) for rows in (swapped > CLAIMED, swapped <= CLAIMED))
    own = looks.sharing(labels, labels, claimed) if len(claimed) > 1 else None
    theirs, right = looks.sharing(labels, shown, claimed), looks.sharing(labels, labels, rest)
    if own is None or theirs is None or right is None or not len(rest):
        return True
    share = np.bincount(labels, minlength=int(shown.max()) + 1) / len(labels)
    doubt = SIDED / np.sqrt(len(claimed))
    among = float((theirs - share[shown[claimed]]).mean() + doubt * theirs.std(ddof=1))
    apart = own.mean() + doubt * own.std(ddof=1) < share[labels[claimed]].mean()
    return bool(apart and among >= AMONG * (right - share[labels[rest]]).mean())


def _spaced(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `ASKED` of some samples, evenly."""
    chosen: NDArray[np.int64] = rows[np.linspace(0, len(rows) - 1, min(len(rows), ASKED)).astype(int)]
    return chosen


def typical(labels: NDArray[np.int64], shown: NDArray[np.int64], weights: Floats) -> tuple[float, float] | None:
    """How far the class that is shown instead of the label goes with the label, and the standard error of that.

    (a - e) / (1 - e), 0 as if drawn at random and 1 always: a is the weighted share of pairs of samples with the same
    label that show the same class, and e what is expected of clips of samples drawn at random among those with another
    label. A clip swapped at random has any class; a class that is taken for one other, or often labelled as one other,
    shows that one. It may be below 0. The error counts pairs as independent: sqrt(a (1 - a) / pairs) / (1 - e).

    Args:
        labels: (N,), of all samples.
        shown: (N,) the class that is shown instead.
        weights: (N,) probability that it is shown at all, in [0, 1].

    Returns:
        None where it cannot differ: of two classes, or where no label has two samples.
    """
    share = np.bincount(labels) / len(labels)
    drawn = (share @ share - share**2) / np.maximum((1 - share) ** 2, np.finfo(float).tiny)
    pairs = _pairs(labels, weights)
    count, by_chance = float(pairs.sum()), float(pairs @ drawn)
    if count - by_chance <= TOLERANCE:
        return None
    both = np.unique(labels * (int(shown.max()) + 1) + shown, return_inverse=True)[1]
    alike = float(_pairs(both, weights).sum())
    error = float(np.sqrt(max(alike * (count - alike), 0) / count))
    return (alike - by_chance) / (count - by_chance), error / (count - by_chance)


def _pairs(kinds: NDArray[np.int64], weights: Floats) -> Floats:
    """(K,) weight of the pairs of samples of each kind: (sum w)^2 / 2 - sum w^2 / 2."""
    result: Floats = (np.bincount(kinds, weights) ** 2 - np.bincount(kinds, weights**2)) / 2
    return result


def _label_wrong(rest: Floats, denies: Floats, others: Floats, fitted: NDArray[np.int64]) -> Floats:
    """(N,) probability that it is the label that is wrong where a modality denies it, by what the others prefer.

    1 where the others do not prefer the labels that it does not deny, clearly enough to vouch for any, see `VOUCHES`.

    How much they prefer a right label is known from the samples that are not denied: mean and spread. How much they
    prefer a wrong one, and its share, are fitted to the denied.

    Args:
        rest: (N,) how much the other modalities prefer the label to what the modality shows.
        denies, others: (N,) weights of the samples that it denies, and of those that it does not.
    """
    x, d, o = rest[fitted], denies[fitted], others[fitted]
    if o.sum() <= 0 or d.sum() <= 0:
        return np.ones_like(rest)
    high = total(o, x) / float(o.sum())
    spread = max(float(np.sqrt(total(o, (x - high) ** 2) / o.sum())), TOLERANCE)
    if high <= VOUCHES * spread:
        return np.ones_like(rest)
    found = Groups(0.5, min(0.0, high - 2 * spread), high, spread)
    for _ in range(STEPS):
        p, before = found.lower(x), found.low
        mass = total(d, p)
        if mass < TOLERANCE or float(d.sum()) - mass < TOLERANCE:
            return np.full(len(rest), float(mass > d.sum() / 2))
        found = found._replace(share=mass / float(d.sum()), low=min(total(d, p, x) / mass, high - spread))
        if abs(found.low - before) < TOLERANCE:
            break
    return found.lower(rest)
