"""Usability of a modality on a sample: the pooled recognition of its look-alikes. Not part of the papers. Pure.

A gap shows which modality is *ahead* on a sample. Whether a modality is *broken* there is estimated from its
look-alikes: how well the model recognises other samples that look (or sound) like it. Pooling over them removes what is
peculiar to the sample, which is the largest part of the gap.

Letters: N samples, M modalities, K classes, D appearance statistics, B bank members, k neighbours, d <= 20 axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

from .groups import Mask, apart, readable, shortcuts
from .guard import SEPARATION, SMALLEST, Cut, Guard, Labels, broken, cuts

AXES = 20
"""Number of principal axes of appearance in which neighbours are searched."""
BANK = 20_000
"""Up to this number all samples are searched; of more, a random bank of this size."""
TOP = 0.7
"""A sample at or above this quantile of pooled recognition counts as fully usable."""
RARE = 0.1
"""A low group of at most this share of the samples is asked whether it is merely rare."""
DENIED = 0.5
"""A fused contradiction above which a label is called probably wrong: over the epochs another class was preferred."""


@dataclass(frozen=True)
class LookAlikes:
    """The space in which look-alikes are searched: appearance, standardised and projected on its principal axes.

    Attributes:
        centre, spread: (D,) of the samples it was made from.
        axes: (D, d).
        members: (B,) indices of those samples that are in the bank, ascending.
        bank: (B, d) their projections.
    """

    centre: Floats
    spread: Floats
    axes: Floats
    members: NDArray[np.int64]
    bank: Floats

    @property
    def neighbours(self) -> int:
        """Number of look-alikes over which recognition is pooled, round(sqrt B)."""
        return max(1, min(round(float(np.sqrt(len(self.bank)))), len(self.bank) - 1))

    def project(self, appearance: Floats) -> Floats:
        """(n, D) to (n, d)."""
        return (appearance - self.centre) / self.spread @ self.axes

    def nearest(self, appearance: Floats, samples: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """(n, D) to the (n, k) members nearest to each, as indices of the samples that the bank was made from.

        Args:
            samples: (n,) index of the sample in each row, which is not its own look-alike; None for new samples.
        """
        from sklearn.neighbors import NearestNeighbors

        k = self.neighbours
        search = NearestNeighbors(n_neighbors=k + (samples is not None), algorithm="brute").fit(self.bank)
        found = self.members[search.kneighbors(self.project(appearance), return_distance=False)]
        if samples is None:
            result: NDArray[np.int64] = found
            return result
        # The sample itself is sorted to the end, if it was found; then the last one is dropped: itself or the farthest.
        order = np.argsort(found == samples[:, None], axis=1, kind="stable")
        return np.take_along_axis(found, order, axis=1)[:, :k]


def look_alikes(appearance: Floats, seed: int = 0, bank: int = BANK) -> LookAlikes:
    """The bank of (N, D) appearance vectors, all of them or a random `bank`.

    Raises:
        ValueError: fewer than two samples, or a value is not finite.
    """
    x = np.asarray(appearance, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
        raise ValueError("appearance must be (N, D), N >= 2, and finite")
    centre, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 1e-9 * (np.abs(centre) + 1e-9), spread, np.inf)  # a constant feature has no weight
    z = (x - centre) / spread
    _, vectors = np.linalg.eigh(z.T @ z)
    axes = vectors[:, ::-1][:, :AXES]
    members = np.arange(len(x))
    if len(x) > bank:
        members = np.sort(np.random.default_rng(seed).permutation(len(x))[:bank])
    return LookAlikes(centre, spread, axes, members, z[members] @ axes)


@dataclass(frozen=True)
class Reference:
    """The data to compute the usability of a modality on a new sample, without its label.

    Attributes:
        look_alikes: of the training samples.
        p_true: (N,) of the samples that the bank was made from, averaged over the warm-up's epochs.
        chance, top: the pooled recognition that counts as usability 0 and 1: 1 / K, and the training samples' 70 %
            quantile.
        grouped: (N,) whether the usability of a sample comes from what its group is; () = of none.
        settled: (N,) usability of the samples that the bank was made from; () where none is grouped.
    """

    look_alikes: LookAlikes
    p_true: Floats
    chance: float
    top: float
    grouped: Mask = field(default_factory=lambda: np.zeros(0, dtype=bool))
    settled: Floats = field(default_factory=lambda: np.zeros(0))

    def of(self, appearance: Floats) -> Floats:
        """(n, D) appearance of new samples to their (n,) usability; higher = more usable.

        Where more than half of the look-alikes belong to a group that is rare or gives its class away, it is theirs.
        """
        near = self.look_alikes.nearest(appearance)
        usable = self.usability(self.p_true[near].mean(axis=1))
        if not self.grouped.any():
            return usable
        inside = self.grouped[near]
        theirs = np.where(inside, self.settled[near], 0.0).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
        return np.where(inside.mean(axis=1) > 0.5, theirs, usable)

    def recognition(self, appearance: Floats, samples: NDArray[np.int64] | None = None) -> Floats:
        """(n, D) appearance to (n,) mean p_true of the look-alikes; see `LookAlikes.nearest`."""
        result: Floats = self.p_true[self.look_alikes.nearest(appearance, samples)].mean(axis=1)
        return result

    def usability(self, recognition: Floats) -> Floats:
        """(n,) in [0, 1]; higher = more usable. All 1 if the training samples are recognised no better than by chance,
        because nothing is known yet."""
        if self.top <= self.chance:
            return np.ones_like(recognition)
        return np.clip((recognition - self.chance) / (self.top - self.chance), 0, 1)


@dataclass(frozen=True)
class Usability:
    """Usability of every modality on every training sample.

    Attributes:
        sample_ids: (N,) strings.
        modalities: M names.
        recognition: (N, M) mean p_true of the look-alikes, in [0, 1].
        usability: (N, M) in [0, 1]; higher = more usable.
        p_broken: (N, M) guarded probability of being broken; all 0 for a modality without a broken group.
        guards: one per modality.
        references: {modality: reference, with which new samples are compared}.
    """

    sample_ids: NDArray[np.str_]
    modalities: tuple[str, ...]
    recognition: Floats
    usability: Floats
    p_broken: Floats
    guards: tuple[Guard, ...]
    references: Mapping[str, Reference]

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
        pattern: (N, P) coarse content of each training sample, see `groups.readable`, or None.
    """

    p_true: Floats
    appearance: Floats
    held_p_true: Floats
    held_appearance: Floats
    deep: bool = False
    labels: Labels | None = None
    pattern: Floats | None = None


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
    everyone = np.arange(len(sample_ids))
    recognition, usability, p_broken, guards, references = [], [], [], [], {}
    for modality, e in evidence.items():
        alike = look_alikes(e.appearance, seed, bank)
        reference = Reference(alike, np.asarray(e.p_true, dtype=np.float64), 1 / classes, 1.0)
        q = reference.recognition(e.appearance, everyone)
        reference = replace(reference, top=float(np.quantile(q, TOP)))
        usable = reference.usability(q)
        if e.deep:
            p, guard = np.zeros(len(q)), Guard(False, withheld=True)
        else:
            before = usable
            usable, p, guard = _judged(e, reference, q, usable, classes, seed)
            if (changed := usable != before).any():
                reference = replace(reference, grouped=changed, settled=usable)
        recognition.append(q)
        usability.append(usable)
        p_broken.append(p)
        guards.append(guard)
        references[modality] = reference
    return Usability(
        sample_ids,
        tuple(evidence),
        np.stack(recognition, axis=1),
        np.stack(usability, axis=1),
        np.stack(p_broken, axis=1),
        tuple(guards),
        references,
    )


def _judged(
    e: Evidence, reference: Reference, q: Floats, usable: Floats, classes: int, seed: int
) -> tuple[Floats, Floats, Guard]:
    """(N,) usability and probability of being broken, and the guard, once it is known what a low group is.

    A rare group that others could replace is as usable as they are; what is given away by its look is not usable as
    far as its purity goes.
    """
    held = reference.recognition(e.held_appearance) if len(e.held_appearance) else np.empty(0)
    places = reference.look_alikes.project(e.appearance)
    if e.labels is None:
        return usable, *broken(q, held, e.held_p_true, classes)
    seen, pattern = e.labels.seen, e.pattern
    rare, readable_alone = np.zeros(len(q), dtype=bool), None
    if pattern is not None:
        rare = _rare(cuts(q, held), places, pattern, seen, seed)

        def readable_alone(group: Mask) -> bool:
            found = readable(pattern, seen, group, seed)
            return found is not None and found.by_itself

    p, guard = broken(q, held, e.held_p_true, classes, e.labels, readable_alone)
    short = shortcuts(places, seen, classes)
    named = tuple(e.labels.names[c] for c in np.flatnonzero(short.classes).tolist())
    guard = replace(guard, rare=max(guard.rare, float(rare.mean())), shortcuts=named)
    usable = np.where(short.given_away, usable * (1 - short.purity), _as_others(usable, q, rare))
    return usable, np.where(rare, 0.0, p), guard


def _rare(found: Iterable[Cut], places: Floats, pattern: Floats, labels: NDArray[np.int64], seed: int) -> Mask:
    """(N,) the largest low group that is small, looks like nothing else, and is read by itself as others are."""
    best = np.zeros(len(labels), dtype=bool)
    for cut in found:
        group = cut.low > 0.5
        if cut.separation <= SEPARATION or not max(SMALLEST, best.mean()) < group.mean() <= RARE:
            continue
        if apart(places, group):
            alone = readable(pattern, labels, group, seed)
            best = group if alone is not None and alone.as_others else best
    return best


def _as_others(usable: Floats, recognition: Floats, rare: Mask) -> Floats:
    """(N,) usability in which a rare group is spread as the others are, in the order of its own recognition."""
    if not rare.any() or rare.all():
        return usable
    order = np.argsort(np.argsort(recognition[rare], kind="stable"), kind="stable")
    out = usable.copy()
    out[rare] = np.quantile(usable[~rare], (order + 0.5) / len(order))
    return out


def some_not_all(good: Floats) -> Floats:
    """From (N, M) probabilities that a modality is good, the (N,) probability that some are good and some are not.

    1 - prod(g) - prod(1 - g), with the modalities taken as independent; for two, g_a (1 - g_v) + g_v (1 - g_a).
    """
    result: Floats = np.clip(1 - good.prod(axis=1) - (1 - good).prod(axis=1), 0, 1)
    return result


def contradiction(log_margin: Floats) -> Floats:
    """How much a prediction contradicts the label, in [0, 1], higher = more; above 1/2 it prefers another class.

    sigmoid(-m). It finds what usability does not detect: during learning a modality prefers another class on swapped
    pairs and wrong labels. Where the fused prediction does so (`DENIED`), the label itself is probably wrong.

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


def save(path: Path, references: Mapping[str, Reference]) -> None:
    """Save the references of new samples in one NPZ file; it is written completely or not at all."""
    arrays: dict[str, Any] = {}
    for modality, r in references.items():
        kept = {**vars(r.look_alikes), "p_true": r.p_true, "chance": r.chance, "top": r.top}
        kept |= {"grouped": r.grouped, "settled": r.settled}
        arrays |= {f"{modality}.{name}": value for name, value in kept.items()}
    part = path.with_suffix(".part.npz")
    np.savez(part, **arrays)
    part.replace(path)


def load(path: Path) -> dict[str, Reference]:
    """The inverse of `save`, {modality: reference}."""
    with np.load(path, allow_pickle=False) as arrays:
        parts: dict[str, dict[str, Any]] = {}
        for key in arrays.files:
            modality, _, name = key.rpartition(".")
            parts.setdefault(modality, {})[name] = arrays[key]
    return {
        m: Reference(
            LookAlikes(p["centre"], p["spread"], p["axes"], p["members"], p["bank"]),
            p["p_true"],
            float(p["chance"]),
            float(p["top"]),
            p.get("grouped", np.zeros(0, dtype=bool)),  # files of older versions have neither
            p.get("settled", np.zeros(0)),
        )
        for m, p in parts.items()
    }
