"""Usability of a modality on a sample: the pooled recognition of its look-alikes. Not part of the papers. Pure.

A gap shows which modality is *ahead* on a sample. Whether a modality is *broken* there is estimated from its
look-alikes: how well the model recognises other samples that look (or sound) like it. Pooling over them removes what is
peculiar to the sample, which is the largest part of the gap.

Letters: N samples, M modalities, K classes, D appearance statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

from .groups import Mask, completed, copied, crossing, flat, shortcuts
from .guard import DEEP, HARDLY_READ, RATIO, UNHELD, Guard, Labels, broken, cuts, empty
from .rare import FEW, MIXED, RARE, as_others, lowest, rare_group, rare_parts, reader
from .references import BANK, Looks, Reference, look_alikes, unseen

TOP = 0.7
"""A sample at or above this quantile of pooled recognition counts as fully usable."""
READ = 0.2
"""Vectors and texts are judged by their look if so much of what is above chance is recognised of held-out samples: what
is hard for a model that reads little looks like a group as well."""


@dataclass(frozen=True)
class Usability:
    """Usability of every modality on every training sample.

    Attributes:
        sample_ids: (N,) strings.
        modalities: M names.
        recognition: (N, M) how well look-alikes are recognised, in [0, 1], see `Reference.recognition`.
        usability: (N, M) in [0, 1]; higher = more usable.
        p_broken: (N, M) guarded probability of being broken; all 0 for a modality without a broken group.
        guards: one per modality.
        references: {modality: reference, with which new samples are compared}.
        looks: {modality: how its training samples look, and what they show}.
        kinds: what a sample is besides broken, (N, M) each: `rare`, in a group that has a look of its own and is
            readable by itself; `weak`, of a class that is hardly recognised as a whole; `shortcut`, of a part of its
            class that its look gives away. {}: not asked, where no labels are known.
    """

    sample_ids: NDArray[np.str_]
    modalities: tuple[str, ...]
    recognition: Floats
    usability: Floats
    p_broken: Floats
    guards: tuple[Guard, ...]
    references: Mapping[str, Reference]
    looks: Mapping[str, Looks] = field(default_factory=dict)
    kinds: Mapping[str, Mask] = field(default_factory=dict)

    @property
    def imbalance(self) -> Floats:
        """(N,) ranking score in [0, 1]: some modalities usable and some not; higher = more imbalanced."""
        return some_not_all(self.usability)

    @property
    def p_imbalanced(self) -> Floats:
        """(N,) guarded probability that some modalities are broken and some are not."""
        return some_not_all(1 - self.p_broken)


@dataclass(frozen=True)
class Evidence:
    """A model's predictions by one modality, and the appearance of the samples.

    Attributes:
        p_true: (N,) probability of the true class of each training sample, averaged over the warm-up's epochs.
        appearance: (N, D) low-level statistics of each training sample.
        held_p_true: (H,) probability of the true class of samples that were not trained on.
        held_appearance: (H, D) low-level statistics of these samples.
        deep: the appearance consists of deep features: look-alikes are then similar in content and in how well they
            were memorised, the guard is not reliable, and no claim is made.
        labels: of the training and the held-out samples; None: what a group is besides broken is not asked.
        pattern: (N, P) coarse content of each training sample, see `groups.readable`, or None. Never what a trained
            model makes of it, which tells the class of what is known by heart.
        look: (N, S) and (H, S) how training and held-out samples look as a whole, where the appearance consists of deep
            features: vectors computed beforehand, see `vectors`, and texts, see `wordings`. Claims are made by it.
            None: not known.
        held_right: (H,) whether the model is right on the held-out samples; None: not known.
        unlooked: why no claim is made of deep features without `look`, in words.
    """

    p_true: Floats
    appearance: Floats
    held_p_true: Floats
    held_appearance: Floats
    deep: bool = False
    labels: Labels | None = None
    pattern: Floats | None = None
    look: tuple[Floats, Floats] | None = None
    held_right: Mask | None = None
    unlooked: str = DEEP


def assess(
    sample_ids: NDArray[np.str_], evidence: Mapping[str, Evidence], classes: int, *, seed: int = 0, bank: int = BANK
) -> Usability:
    """Usability of every modality on every training sample.

    Args:
        sample_ids: (N,), at least two.
        evidence: {modality: its evidence}, rows in the order of the ids.
        classes: K.
        seed: of the random bank, and of the samples that a rare group is compared with.
        bank: greatest number of samples among which look-alikes are searched.
    """
    recognition, judged, references, looks = [], [], {}, {}
    for modality, e in evidence.items():
        reference, q = _pooled(e, classes, seed, bank)
        before = reference.usability(q)
        if e.deep:
            found = _ranked(e, reference, q, before, classes, seed, bank)
        else:
            found = _by_look(e, reference, q, before, classes, seed)
        if (changed := found.usable != before).any():
            reference = replace(reference, grouped=changed, settled=found.usable)
        recognition.append(q)
        judged.append(found)
        references[modality], looks[modality] = reference, _looks(e, reference, seed, bank)
    usable, p, guards, rare, weak, given = zip(*judged, strict=True)
    kinds = {"rare": rare, "weak": weak, "shortcut": given} if all(e.labels for e in evidence.values()) else {}
    return Usability(
        sample_ids,
        tuple(evidence),
        np.stack(recognition, axis=1),
        np.stack(usable, axis=1),
        np.stack(p, axis=1),
        guards,
        references,
        looks,
        {kind: np.stack(masks, axis=1) for kind, masks in kinds.items()},
    )


class _Judged(NamedTuple):
    """What is found of a modality: (N,) usability and probability of being broken, the guard, and (N,) what is rare,
    weak, and given away by its look."""

    usable: Floats
    p_broken: Floats
    guard: Guard
    rare: Mask
    weak: Mask
    shortcut: Mask


def _looks(e: Evidence, reference: Reference, seed: int, bank: int) -> Looks:
    """How the training samples of a modality look, and what they show."""
    content, shows = (e.appearance, reference.look_alikes) if e.deep else (e.pattern, None)
    if not e.deep and e.pattern is not None:
        shows = look_alikes(e.pattern, seed, bank)
    if e.look is not None:
        return Looks(look_alikes(e.look[0], seed, bank), e.look[0], shows, content)
    return Looks(None if e.deep else reference.look_alikes, e.appearance, shows, content)


def _pooled(e: Evidence, classes: int, seed: int, bank: int) -> tuple[Reference, Floats]:
    """The reference of a modality, and the (N,) pooled recognition of its training samples."""
    alike = look_alikes(e.appearance, seed, bank, deep=e.deep)
    reference = Reference(alike, np.asarray(e.p_true, dtype=np.float64), 1 / classes, 1.0)
    if not e.deep:
        reference = replace(reference, unseen=unseen(alike, reference.p_true, e.held_appearance, e.held_p_true))
    q = reference.recognition(e.appearance, np.arange(len(e.appearance)))
    return replace(reference, top=float(np.quantile(q, TOP))), q


def _by_look(e: Evidence, reference: Reference, q: Floats, usable: Floats, classes: int, seed: int) -> _Judged:
    """A rare group that others could replace is as usable as they are; what is given away by its look, or shows
    nothing, is not usable."""
    p, guard, rare = _grouped(e, reference, q, classes, seed)
    usable = as_others(usable, q, rare)
    if e.labels is not None and e.pattern is not None and len(e.held_p_true):
        nothing = flat(e.pattern)
        p, guard = empty(guard, p, nothing, q, e.held_p_true, e.labels.seen)
        usable = np.where(nothing & (p > 0.5), 0.0, usable)
    return _explained(e.labels, usable, p, guard, rare, reference.look_alikes.project(e.appearance))


def _ranked(
    e: Evidence, reference: Reference, q: Floats, usable: Floats, classes: int, seed: int, bank: int
) -> _Judged:
    """As `_by_look`, where look-alikes are no evidence: but what is merely rare is as usable as the others, and what is
    broken by the look of its vectors or texts, or given away by it, is not usable. Where these are hardly read, copies
    alone are judged.

    A group by looks that the model has half learnt may be one half whole: of it, what is not recognised less by deep
    features too is not broken, unless it is a copy.
    """
    p, guard, rare = np.zeros(len(q)), Guard(False, withheld=True), np.zeros(len(q), dtype=bool)
    low = lowest(cuts(q, _held(e, reference)), len(q))
    if e.labels is not None and e.pattern is not None:
        read, places = reader(e.pattern, e.labels.seen, seed), reference.look_alikes.project(e.appearance)
        rare = rare_parts(low, places, read, seed)
    if e.look is None:
        return _explained(None, as_others(usable, q, rare), p, replace(guard, why=e.unlooked), rare)
    own = replace(e, appearance=e.look[0], held_appearance=e.look[1], deep=False, look=None)
    its_reference, its_q = _pooled(own, classes, seed, bank)
    copies = copied(places := its_reference.look_alikes.project(own.appearance))
    if not len(e.held_p_true) or e.held_p_true.mean() - 1 / classes < READ * (1 - 1 / classes):
        guard = replace(guard, why=HARDLY_READ if len(e.held_p_true) else UNHELD)
    else:
        p, guard, its_rare = _grouped(own, its_reference, its_q, classes, seed)
        rare = rare | its_rare
        if guard.ratio is not None and guard.ratio >= RATIO and low.any():
            p = np.where(low | copies, p, 0.0)
    if e.labels is not None and len(e.held_p_true):
        p, guard = empty(guard, p, copies, its_q, e.held_p_true, e.labels.seen)
    p, usable = np.where(rare, 0.0, p), as_others(usable, q, rare)
    usable = np.where(p > 0.5, np.minimum(usable, 1 - p), usable)
    return _explained(e.labels, usable, p, _counted(guard, p), rare, places)


def _grouped(e: Evidence, reference: Reference, q: Floats, classes: int, seed: int) -> tuple[Floats, Guard, Mask]:
    """(N,) probability of being broken, the guard, once it is known what a low group is, and (N,) what is rare."""
    held, places, rare = _held(e, reference), reference.look_alikes.project(e.appearance), np.zeros(len(q), dtype=bool)
    if e.labels is None:
        return *broken(q, held, e.held_p_true, classes), rare
    pattern, every = e.pattern, list(cuts(q, held))
    if pattern is None:
        return *broken(q, held, e.held_p_true, classes, e.labels, held_right=e.held_right), rare
    read = reader(pattern, e.labels.seen, seed)

    def readable_alone(group: Mask) -> bool:
        found = read(group)
        if found is not None and found.unreadable:
            return False
        if crossing(places, group) > MIXED:  # neither shown to be unreadable nor of a look of its own
            return True
        if group.mean() > RARE:  # the model met it often enough
            return False
        found = read(completed(places, group))
        return bool(group.sum() < FEW) or (found is not None and found.tells)

    def lost(group: Mask) -> bool:
        found = read(group)
        return found is not None and found.lost

    p, guard = broken(q, held, e.held_p_true, classes, e.labels, readable_alone, lost, e.held_right)
    low = p > 0.5 if guard.found else lowest(every, len(q))
    rare = rare_group(every, places, read, e.held_p_true - 1 / classes) | rare_parts(low, places, read, seed)
    p = np.where(rare, 0.0, p)
    return p, _counted(guard, p), rare


def _counted(guard: Guard, p: Floats) -> Guard:
    """The guard with the share of what is left of a broken group; without any there is none."""
    share = float((p > 0.5).mean())
    return replace(guard, found=guard.found and share > 0, share=share) if guard.found else guard


def _explained(
    labels: Labels | None, usable: Floats, p: Floats, guard: Guard, rare: Mask, places: Floats | None = None
) -> _Judged:
    """With the classes that have a shortcut, if places in the space of appearance are known: what is given away by its
    look is not usable as far as its purity goes, see `groups.shortcuts`."""
    guard = replace(guard, rare=float(rare.mean()))
    weak, given = np.zeros((2, len(usable)), dtype=bool)
    if labels is not None:
        weak = np.array([name in guard.weak for name in labels.names])[labels.seen]
        if places is not None:
            short = shortcuts(places, labels.seen, len(labels.names))
            given, named = short.given_away, tuple(labels.names[c] for c in np.flatnonzero(short.classes).tolist())
            guard = replace(guard, shortcuts=named)
            usable = np.where(given, usable * (1 - short.purity), usable)
    return _Judged(usable, p, guard, rare, weak, given)


def _held(e: Evidence, reference: Reference) -> Floats:
    """(H,) recognition of the held-out samples."""
    members = np.arange(len(e.held_appearance))
    return reference.recognition(e.held_appearance, held=members) if len(members) else np.empty(0)


def some_not_all(good: Floats) -> Floats:
    """From (N, M) probabilities that a modality is good, the (N,) probability that some are good and some are not.

    1 - prod(g) - prod(1 - g), with the modalities taken as independent; for two, g_a (1 - g_v) + g_v (1 - g_a).
    """
    result: Floats = np.clip(1 - good.prod(axis=1) - (1 - good).prod(axis=1), 0, 1)
    return result


def contradiction(log_margin: Floats) -> Floats:
    """How much a prediction contradicts the label, in [0, 1], higher = more; above 1/2 it prefers another class.

    sigmoid(-m). It finds what usability does not detect: during learning a modality prefers another class on swapped
    pairs and wrong labels. It ranks; which labels are wrong and which clips are swapped is judged in `labels`.

    Args:
        log_margin: m, any shape: `gap.log_margin`, averaged over the warm-up's epochs.
    """
    return 1 / (1 + np.exp(log_margin))


def weighted_fusion(probs: Mapping[str, Floats], usability: Floats) -> Floats:
    """Fused probabilities with each modality weighted by its usability on the sample: (N, K), rows adding to one.

    softmax(sum_m r_m log p_m). For a model whose fused logits are the sum of its unimodal ones, this is the fusion with
    weighted logits, and with r = 1 the fusion itself.

    Args:
        probs: {modality: (N, K)} in the order of the columns of `usability`.
        usability: (N, M) in [0, 1].
    """
    logs = [np.log(np.maximum(p, np.finfo(float).tiny)) for p in probs.values()]
    logits = sum(r[:, None] * log for r, log in zip(usability.T, logs, strict=True))
    logits = logits - logits.max(axis=1, keepdims=True)
    fused = np.exp(logits)
    result: Floats = fused / fused.sum(axis=1, keepdims=True)
    return result
