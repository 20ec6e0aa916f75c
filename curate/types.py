"""Data passed between the parts: frozen dataclasses whose shapes are checked when they are made.

Letters: N samples, M modalities, K classes, P pairs of modalities = M (M - 1) / 2, C mixture components.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arguments import one_of
from .blocks import are_unique, every, take
from .render import printable

Floats = NDArray[np.float64]
FUSED = "fused"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One labelled item of a data set.

    Attributes:
        sample_id: stable and unique within the data set; the only join key.
        label: the class *name*.
        split: `train`, `val` or `test`.
        inputs: {modality: source of its medium}: a path relative to the data set's root, or for a text the text itself.
        group: the group that must not be in two splits (speaker, source video), or None.
        planted: modalities degraded on purpose, joined by '+' in declared order; '' none; None unknown.
        extra: other annotations, {name: text or number}: human votes, a second or corrected label.
    """

    sample_id: str
    label: str
    split: str
    inputs: Mapping[str, str]
    group: str | None = None
    planted: str | None = None
    extra: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """Something suspicious about a sample; it is only listed, the user decides.

    Attributes:
        kind: one of `datasets.checks.KINDS`.
        sample_id: the sample.
        detail: the other sample, and the modality.
    """

    kind: str
    sample_id: str
    detail: str


def _html(title: str, head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A table for a notebook; every text is escaped."""

    def line(cells: Sequence[object], tag: str) -> str:
        shown = (f"{c:.4g}" if isinstance(c, float) else printable(str(c)) for c in cells)
        return "<tr>" + "".join(f"<{tag}>{escape(c)}</{tag}>" for c in shown) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    caption = f"<caption>{escape(printable(title))}</caption>"
    return f"<table>{caption}<thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"


def modality_pairs(modalities: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """All P pairs in declared order: (a, v, t) gives (a, v), (a, t), (v, t)."""
    return tuple(itertools.combinations(modalities, 2))


def data_kind(dataset: str) -> str:
    """The kind of data that a data set's name begins with: `manifest` of `manifest.cars`, and of `manifest`."""
    return dataset.partition(".")[0]


def pair_name(pair: tuple[str, str]) -> str:
    """The name of a pair in the sample table, `first|second`."""
    return "|".join(pair)


def _adds_to_one(rows: Floats) -> NDArray[np.bool_]:
    """Whether each row does, which it does not where a number is not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        result: NDArray[np.bool_] = np.abs(rows.sum(axis=1) - 1) <= 1e-6
    return result


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of every modality and of the fusion, un-augmented and in eval mode.

    Attributes:
        sample_ids: (N,) strings, unique.
        labels: (N,) class indices into `classes`.
        classes: K class names.
        modalities: M names in declared order.
        probs: {modality or "fused": (N, K)} float64; rows add to one.
        in_sample: (N,) whether the model that predicted the sample was trained on it; None if that is unknown.
        fold: (N,) the fold, counted from 0, in which the sample was held out when it was predicted; None if nothing was
            held out.
    """

    sample_ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    modalities: tuple[str, ...]
    probs: Mapping[str, Floats]
    in_sample: NDArray[np.bool_] | None = None
    fold: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        n, k = len(self.sample_ids), len(self.classes)
        if self.fold is not None and (self.fold.shape != (n,) or self.fold.min(initial=0) < 0):
            raise ValueError(f"fold must be ({n},) numbers from 0")
        if not are_unique(self.sample_ids):
            raise ValueError("sample_ids are not unique")
        if self.labels.shape != (n,) or (n and not (self.labels.min() >= 0 and self.labels.max() < k)):
            raise ValueError(f"labels must be ({n},) indices below {k}")
        if set(self.probs) != {*self.modalities, FUSED}:
            raise ValueError(f"probs has {sorted(self.probs)}, expected the modalities and {FUSED!r}")
        if self.in_sample is not None and (self.in_sample.shape != (n,) or self.in_sample.dtype != np.bool_):
            raise ValueError(f"in_sample must be ({n},) booleans, or None")
        for name, p in self.probs.items():
            if p.shape != (n, k):
                raise ValueError(f"probs[{name!r}] is {p.shape}, expected {(n, k)}")
            if not every(_adds_to_one, p):
                raise ValueError(f"rows of probs[{name!r}] must be finite and add to one")

    def subset(self, keep: NDArray[np.bool_]) -> Predictions:
        """The samples of an (N,) mask."""
        probs = {m: take(p, keep) for m, p in self.probs.items()}
        return Predictions(take(self.sample_ids, keep), self.labels[keep], self.classes, self.modalities, probs)


@dataclass(frozen=True)
class Known:
    """How well each modality predicts each sample: the values from which every kind of gap is computed.

    Attributes:
        sample_ids: (N,) strings.
        modalities: M names in declared order.
        p_true: (N, M) probability of the labelled class, in [0, 1]; higher = better predicted.
        entropy: (N, M) of the prediction, nats; NaN where it was not stored.
        correct: (N, M) whether the predicted class is the labelled one.
        held_out: the models had not been trained on the samples, which therefore cannot be memorised.
    """

    sample_ids: NDArray[np.str_]
    modalities: tuple[str, ...]
    p_true: Floats
    entropy: Floats
    correct: NDArray[np.bool_]
    held_out: bool = False

    def __post_init__(self) -> None:
        shape = (len(self.sample_ids), len(self.modalities))
        if not self.p_true.shape == self.entropy.shape == self.correct.shape == shape:
            raise ValueError(f"p_true, entropy and correct must be {shape}")


@dataclass(frozen=True)
class GapScores:
    """Signed modality gaps; the sign is first minus second modality of the pair, in declared order.

    Attributes:
        sample_ids: (N,) strings.
        pairs: the P pairs.
        prob: (N, P) probability gap in [-1, 1], Eq. 6 of the adaptive-loss paper.
        kl: (N, P) KL gap in [-log K, log K], Eq. 7.
        fitted: (N, P) the gaps that the mixture was fitted to; None if that is `prob` or `kl` unchanged.
        input: `signed`, or `absolute` if the mixture was fitted to the size alone.
        average: `last`, or `warmup` if it was fitted to the mean over the epochs of the warm-up.
    """

    sample_ids: NDArray[np.str_]
    pairs: tuple[tuple[str, str], ...]
    prob: Floats
    kl: Floats
    fitted: Floats | None = None
    input: str = "signed"
    average: str = "last"

    def __post_init__(self) -> None:
        shape = (len(self.sample_ids), len(self.pairs))
        if self.prob.shape != shape or self.kl.shape != shape:
            raise ValueError(f"gaps are {self.prob.shape} and {self.kl.shape}, expected {shape}")
        if self.fitted is not None and self.fitted.shape != shape:
            raise ValueError(f"fitted is {self.fitted.shape}, expected {shape}")

    def of(self, kind: str) -> Floats:
        """(N, P) gaps of a kind, `prob` or `kl`; a ValueError for another."""
        one_of("kind", kind, ("prob", "kl"))
        return {"prob": self.prob, "kl": self.kl}[kind]

    def seen(self, kind: str) -> Floats:
        """(N, P) gaps that a mixture of that kind of gap was fitted to."""
        return self.of(kind) if self.fitted is None else self.fitted


@dataclass(frozen=True)
class MixtureFit:
    """A one-dimensional mixture fitted to the gaps of one pair, components ordered by location.

    Attributes:
        family: `two-sided`, see `curate.scores.two_sided`, `gaussian` or `student-t`.
        weights: (C,) mixing weights pi, adding to one.
        locs: (C,) locations mu, ascending.
        scales: (C,) scales sigma (standard deviation for `gaussian`).
        dofs: (C,) degrees of freedom; infinite for `gaussian`.
        balanced: index of the balanced component.
        rule: the rule that chose it, see `mixture.balanced_component`; `middle` for three components, `zero` of the
            two-sided family.
        rule_conflict: whether the rules of `mixture.RULES` disagree.
        log_likelihoods: total log-likelihood after each iteration of the best start.
        converged: whether it stopped because it no longer rose.
        outcome: `ok`, or the most serious problem of the fit. Two-sided: `one_bell`, `none_balanced`, `too_few` or
            `degenerate`, see `two_sided.fit`. The paper's: with `one_component` (BIC does not support two, or a
            component lost all its samples), `degenerate` (constant gaps) and `too_few` there is one component, and
            every sample counts as balanced; with `two_components` there are two where three were asked for; with
            `two_tailed` and `rule_conflict` all components are kept, but mean little. Of any family: `memorised`, the
            scored samples are known by heart.
        warnings: all reasons against reading the fit as two populations, each with what to do.
        limits: gaps are clipped to them before the posterior is computed; infinite for Eq. 10 unchanged, see
            `posteriors.monotone_limits`.
    """

    family: str
    weights: Floats
    locs: Floats
    scales: Floats
    dofs: Floats
    balanced: int
    rule: str
    rule_conflict: bool = False
    log_likelihoods: tuple[float, ...] = field(default=(), repr=False)
    converged: bool = True
    outcome: str = "ok"
    warnings: tuple[str, ...] = ()
    limits: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        if not self.weights.shape == self.locs.shape == self.scales.shape == self.dofs.shape:
            raise ValueError("weights, locs, scales and dofs must have one shape (C,)")
        if abs(self.weights.sum() - 1) > 1e-9 or (self.scales <= 0).any():
            raise ValueError("weights must add to one and scales be positive")

    def role(self, k: int, pair: tuple[str, str]) -> str:
        """The meaning of a component: `balanced`, `imbalanced`, or with three the modality that is ahead there."""
        if k == self.balanced:
            return "balanced"
        if len(self.weights) < 3:
            return "imbalanced"
        return f"{pair[1] if k < self.balanced else pair[0]} ahead"

    def _repr_html_(self) -> str:
        parts = zip(self.weights, self.locs, self.scales, self.dofs, strict=True)
        rows = [("balanced" if k == self.balanced else "imbalanced", *map(float, part)) for k, part in enumerate(parts)]
        title = "; ".join((f"{self.family} mixture, {self.outcome}", *self.warnings))
        return _html(title, ("component", "weight", "location", "scale", "dof"), rows)


@dataclass(frozen=True)
class Selection:
    """A named set of samples.

    Attributes:
        name: its name in the table.
        run_id: the scored run from whose results it was made.
        rule: the rule in words.
        sample_ids: (S,) the kept samples, ascending.
        candidates: number of samples to which the rule was applied.
        kept: {class name: (kept, candidates)}: the class balance.
    """

    name: str
    run_id: str
    rule: str
    sample_ids: NDArray[np.str_] = field(repr=False)
    candidates: int
    kept: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        title = f"{self.name}: {self.rule}, of {self.run_id}, kept {len(self.sample_ids)} of {self.candidates}"
        return _html(title, ("class", "kept", "of"), [(c, *counts) for c, counts in self.kept.items()])


@dataclass(frozen=True, kw_only=True)
class Run:
    """One row of the table's `run`: the method, its data, and the run that it started from.

    Attributes:
        run_id: readable and unique within the table, e.g. `score-demo-1`.
        kind: `score` or `train`.
        method: `warmup` for a scored run, the method's name otherwise.
        dataset, data_id: the data set's name, and the digest of its content and preprocessing.
        root: the value of `--root`, or None.
        parent: the scored run a training run starts from, or None.
        seed: the seed of everything.
        modalities, classes: in declared order.
        gap_kind, family: the gap and the family of the mixtures behind the posteriors, or None.
        config: the resolved configuration, {section: {key: value}}.
        versions: of Python and the libraries.
        folder: where its checkpoints are.
        status: `running`, `interrupted`, `failed`, `done`, or `killed`: its process is gone.
        note: a remark, e.g. which control it is.
    """

    run_id: str
    kind: str
    method: str
    dataset: str
    data_id: str
    root: str | None
    parent: str | None
    seed: int
    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    gap_kind: str | None
    family: str | None
    config: Mapping[str, Mapping[str, Any]] = field(repr=False)
    versions: Mapping[str, str] = field(repr=False)
    folder: str
    status: str = "running"
    note: str | None = None
    checkpoint_sha256: str | None = None

    @property
    def folds(self) -> int:
        """Number of folds in which a scored run held its samples out; 0 if every sample was trained on and then scored.

        `decided` in the configuration has what `score` determined itself because the settings left it open.
        """
        if self.kind != "score":
            return 0
        return int(self.config.get("decided", {}).get("folds") or self.config.get("score", {}).get("folds") or 0)

    @property
    def by_heart(self) -> str:
        """Why `score` determined by itself that the samples are scored out of fold; '' if it did not."""
        return str(self.config.get("decided", {}).get("by_heart", ""))

    def _repr_html_(self) -> str:
        shown = ("status", "method", "dataset", "parent", "note", "seed", "gap_kind", "family", "data_id", "folder")
        rows = [(name, getattr(self, name)) for name in shown]
        rows += [(f"{section}.{k}", v) for section, values in self.config.items() for k, v in values.items()]
        return _html(self.run_id, ("what", "value"), [(k, "" if v is None else v) for k, v in rows])


@dataclass(frozen=True)
class Round:
    """The results of one scoring of the training set.

    Attributes:
        sample_ids: (N,) strings, ascending.
        gaps: of every pair.
        fits: one mixture per pair.
        p_balanced: (N, P) posterior of the balanced component, in [0, 1]; higher = more balanced.
        p_ahead: (N, P, 2) posteriors of the first and of the second modality being ahead, which add to 1 - p_balanced;
            NaN for pairs whose fit does not have three components, None if no fit has three.
    """

    sample_ids: NDArray[np.str_]
    gaps: GapScores
    fits: tuple[MixtureFit, ...]
    p_balanced: Floats
    p_ahead: Floats | None = None

    @property
    def balanced(self) -> Floats:
        """(N,) p_balanced of each sample: that of its least balanced pair; higher = more balanced."""
        result: Floats = self.p_balanced.min(axis=1)
        return result

    def _repr_html_(self) -> str:
        pairs = zip(self.gaps.pairs, self.fits, self.p_balanced.T, strict=True)
        described = [
            f"<p>{escape(pair_name(pair))}: {len(p)} samples, p_balanced below 0.5 on {(p < 0.5).mean():.1%}</p>"
            + fitted._repr_html_()
            for pair, fitted, p in pairs
        ]
        return "".join(described)
