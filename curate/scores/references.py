"""Look-alikes of samples, and how well they are recognised: the reference that training and new samples have. Pure.

Letters: N training samples, H held-out ones, n others, D appearance statistics, B bank members, k neighbours, d <= 20
axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.blocks import slices
from curate.types import Floats

from .groups import SAME, Mask

AXES = 20
"""Number of principal axes of appearance in which neighbours are searched."""
REST = 4.0
"""How much the length of what the axes leave out counts beside a place on them, for deep features."""
BANK = 20_000
"""Up to this number all samples are searched; of more, a random bank of this size. Of so many the look-alikes are in
memory at once."""
FARTHER, CLOSE = 3.0, 5
"""What is so many times as far from a sample as the fifth nearest is not like it."""
FEWEST_HELD = 30
"""Fewest held-out samples from which is learnt what look-alikes say."""


@dataclass(frozen=True)
class LookAlikes:
    """The space in which look-alikes are searched: appearance, standardised and projected on its principal axes.

    Attributes:
        centre, spread: (D,) of the samples it was made from.
        axes: (D, d).
        members: (B,) indices of those samples that are in the bank, ascending.
        bank: (B, d) their projections.
        rest: how much the length of what the axes leave out counts; above 0 it is one more coordinate, the last.
    """

    centre: Floats
    spread: Floats
    axes: Floats
    members: NDArray[np.int64]
    bank: Floats
    rest: float = 0.0

    @property
    def neighbours(self) -> int:
        """Number of look-alikes over which recognition is pooled, round(sqrt B)."""
        return max(1, min(round(float(np.sqrt(len(self.bank)))), len(self.bank) - 1))

    def project(self, appearance: Floats) -> Floats:
        """(n, D) to (n, d), or (n, d + 1) where `rest` counts."""
        z = (appearance - self.centre) / self.spread
        places: Floats = z @ self.axes
        if not self.rest:
            return places
        lengths, on_axes = (np.einsum("ij,ij->i", values, values) for values in (z, places))
        return np.column_stack([places, self.rest * np.sqrt(np.maximum(lengths - on_axes, 0))])

    def nearest(self, appearance: Floats, samples: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """(n, D) to the (n, k) members nearest to each, as indices of the samples that the bank was made from.

        What lies more than `FARTHER` times as far as the `CLOSE`-th is no look-alike; the nearer ones are repeated in
        its place. A few black pictures are pooled with one another then, and not with dark ones.

        Args:
            samples: (n,) index of the sample in each row, which is not its own look-alike; None for new samples.
        """
        from sklearn.neighbors import NearestNeighbors

        k = self.neighbours
        search = NearestNeighbors(n_neighbors=k + (samples is not None), algorithm="brute").fit(self.bank)
        distances, rows = search.kneighbors(self.project(appearance))
        found = self.members[rows]
        if samples is not None:
            # The sample itself is sorted to the end, if it was found; then the last is dropped: itself or the farthest.
            order = np.argsort(found == samples[:, None], axis=1, kind="stable")
            found, distances = (np.take_along_axis(x, order, axis=1)[:, :k] for x in (found, distances))
        least = SAME * float(np.sqrt(self.bank.var(axis=0).sum()))
        farthest = FARTHER * np.maximum(distances[:, [min(CLOSE, k) - 1]], least)
        alike = (distances <= farthest).sum(axis=1, keepdims=True)
        result: NDArray[np.int64] = np.take_along_axis(found, np.arange(k) % alike, axis=1)
        return result

    def mean(self, quantity: Floats, appearance: Floats, samples: NDArray[np.int64] | None = None) -> Floats:
        """(n,) or (n, Q) mean of an (N,) or (N, Q) quantity over the look-alikes of each; see `nearest`."""
        own = [
            quantity[self.nearest(appearance[some], None if samples is None else samples[some])].mean(axis=1)
            for some in slices(len(appearance), BANK)
        ]
        return np.concatenate(own)


def look_alikes(appearance: Floats, seed: int = 0, bank: int = BANK, *, deep: bool = False) -> LookAlikes:
    """The bank of (N, D) appearance vectors, all of them or a random `bank`.

    Noise in many features is nowhere on the axes of what varies together: its place there is that of ordinary samples.
    Among deep features, whose axes leave much out, the length of the rest tells it apart.

    Args:
        deep: the vectors are deep features; `REST` then counts, if they have more than `AXES` numbers.

    Raises:
        ValueError: fewer than two samples, or a value is not finite.
    """
    x = np.asarray(appearance, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
        raise ValueError("appearance must be (N, D), N >= 2, and finite")
    centre, spread, axes = main_axes(x, AXES)
    members = np.arange(len(x))
    if len(x) > bank:
        members = np.sort(np.random.default_rng(seed).permutation(len(x))[:bank])
    rest = REST if deep and x.shape[1] > AXES else 0.0
    space = LookAlikes(centre, spread, axes, members, np.empty((0, axes.shape[1])), rest)
    return replace(space, bank=space.project(x[members]))


def main_axes(x: Floats, count: int) -> tuple[Floats, Floats, Floats]:
    """(D,) centre and spread of (N, D) vectors, and the (D, d) principal axes of what is standardised by them, d the
    smaller of D and `count`."""
    centre, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 1e-9 * (np.abs(centre) + 1e-9), spread, np.inf)  # a constant feature has no weight
    z = (x - centre) / spread
    _, vectors = np.linalg.eigh(z.T @ z)
    return centre, spread, vectors[:, ::-1][:, :count]


@dataclass(frozen=True)
class Looks:
    """How N training samples look, what they show, and which of them are alike.

    Attributes:
        look_alikes: of these samples; None where only deep features are known.
        values: (N, D) their appearance.
        shows: alike by coarse content, or by deep features; None: not known.
        content: (N, P) what these are alike by.
    """

    look_alikes: LookAlikes | None
    values: Floats
    shows: LookAlikes | None = None
    content: Floats | None = None

    def pooled(self, quantity: Floats, rows: NDArray[np.int64]) -> Floats | None:
        """(n,) mean of an (N,) quantity over the look-alikes of some samples, themselves left out; None: not known."""
        if self.look_alikes is None:
            return None
        return self.look_alikes.mean(quantity, self.values[rows], rows)

    def sharing(self, labels: NDArray[np.int64], asked: NDArray[np.int64], rows: NDArray[np.int64]) -> Floats | None:
        """(n,) share of those that show the same as some samples which have the label asked of these, 0..1;
        None: not known."""
        if self.shows is None or self.content is None:
            return None
        alike = self.shows.nearest(self.content[rows], rows)
        result: Floats = (labels[alike] == asked[rows, None]).mean(axis=1)
        return result


@dataclass(frozen=True)
class Unseen:
    """What held-out look-alikes add: samples that the model was not trained on, and so cannot know by heart.

    Attributes:
        look_alikes: of the held-out samples, in the space of the training samples.
        p_true: (H,) probability of their true class.
        weights: (2,) >= 0, of the training look-alikes and of the held-out ones.
        offset: is added; all three are a least-squares fit to `p_true` of the held-out samples themselves.
    """

    look_alikes: LookAlikes
    p_true: Floats
    weights: Floats
    offset: float

    def expected(self, seen: Floats, appearance: Floats, held: NDArray[np.int64] | None = None) -> Floats:
        """(n,) expected probability of the true class of unseen samples that look alike, in [0, 1].

        Args:
            seen: (n,) mean p_true of the training look-alikes.
            held: (n,) index of the held-out sample in each row; None for other samples.
        """
        others = self.look_alikes.mean(self.p_true, appearance, held)
        result: Floats = np.clip(self.offset + self.weights[0] * seen + self.weights[1] * others, 0, 1)
        return result


def unseen(alike: LookAlikes, p_true: Floats, held_appearance: Floats, held_p_true: Floats) -> Unseen | None:
    """How well look-alikes predict the recognition of held-out samples: a fit of weights that are not negative.

    A model that knows its training samples by heart recognises broken ones as well as others, or better; then its
    held-out look-alikes get the weight. Where they are few, and their mean says little, it is the training samples'.

    Returns:
        None where fewer than `FEWEST_HELD` are there, or look-alikes predict nothing.
    """
    from scipy.optimize import nnls

    count = len(held_p_true)
    if count < FEWEST_HELD:
        return None
    own = replace(alike, members=np.arange(count), bank=alike.project(held_appearance))
    seen = alike.mean(p_true, held_appearance)
    others = own.mean(held_p_true, held_appearance, np.arange(count))
    columns = np.stack([seen, others], axis=1)
    weights, _ = nnls(columns - columns.mean(axis=0), held_p_true - held_p_true.mean())
    if not weights.any():
        return None
    return Unseen(own, held_p_true, weights, float(held_p_true.mean() - columns.mean(axis=0) @ weights))


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
        unseen: what held-out look-alikes add; None without them.
    """

    look_alikes: LookAlikes
    p_true: Floats
    chance: float
    top: float
    grouped: Mask = field(default_factory=lambda: np.zeros(0, dtype=bool))
    settled: Floats = field(default_factory=lambda: np.zeros(0))
    unseen: Unseen | None = None

    def of(self, appearance: Floats, held: NDArray[np.int64] | None = None) -> Floats:
        """(n, D) appearance of new samples to their (n,) usability; higher = more usable.

        Where more than half of the look-alikes belong to a group that is rare or gives its class away, it is theirs.

        Args:
            held: (n,) indices, where these are the held-out samples of the scored run; their own labels then say
                nothing.
        """
        usable = self.usability(self.recognition(appearance, held=held))
        if not self.grouped.any():
            return usable
        both = np.stack([self.grouped, np.where(self.grouped, self.settled, 0.0)], axis=1)
        inside, theirs = self.look_alikes.mean(both, appearance).T
        return np.where(inside > 0.5, theirs / np.maximum(inside, 0.5), usable)

    def recognition(
        self,
        appearance: Floats,
        samples: NDArray[np.int64] | None = None,
        held: NDArray[np.int64] | None = None,
    ) -> Floats:
        """(n, D) appearance to (n,) how well such samples are recognised, in [0, 1]: what `unseen` expects of them, or
        without it the mean p_true of the training look-alikes; see `LookAlikes.nearest`.

        Args:
            samples, held: (n,) indices, where these are training or held-out samples.
        """
        seen = self.look_alikes.mean(self.p_true, appearance, samples)
        return seen if self.unseen is None else self.unseen.expected(seen, appearance, held)

    def usability(self, recognition: Floats) -> Floats:
        """(n,) in [0, 1]; higher = more usable. All 1 if the training samples are recognised no better than by chance,
        because nothing is known yet."""
        if self.top <= self.chance:
            return np.ones_like(recognition)
        return np.clip((recognition - self.chance) / (self.top - self.chance), 0, 1)


def save(path: Path, references: Mapping[str, Reference]) -> None:
    """Save the references of new samples in one NPZ file; it is written completely or not at all."""
    arrays: dict[str, Any] = {}
    for modality, r in references.items():
        kept = {**vars(r.look_alikes), "p_true": r.p_true, "chance": r.chance, "top": r.top}
        kept |= {"grouped": r.grouped, "settled": r.settled}
        if r.unseen is not None:
            kept |= {"held_bank": r.unseen.look_alikes.bank, "held_p_true": r.unseen.p_true}
            kept |= {"weights": r.unseen.weights, "offset": r.unseen.offset}
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
    return {m: _reference(p) for m, p in parts.items()}


def _reference(p: Mapping[str, Any]) -> Reference:
    """From arrays by name; files of older versions lack some."""
    rest = float(p["rest"]) if "rest" in p else 0.0
    alike = LookAlikes(p["centre"], p["spread"], p["axes"], p["members"], p["bank"], rest)
    found = Reference(alike, p["p_true"], float(p["chance"]), float(p["top"]))
    if "grouped" in p:
        found = replace(found, grouped=p["grouped"], settled=p["settled"])
    if "weights" in p:
        own = replace(alike, members=np.arange(len(p["held_bank"])), bank=p["held_bank"])
        found = replace(found, unseen=Unseen(own, p["held_p_true"], p["weights"], float(p["offset"])))
    return found
