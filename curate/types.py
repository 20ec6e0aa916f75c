"""What flows between the rooms: frozen holders whose shapes are checked at birth.

Letters: N samples, M modalities, K classes, P pairs of modalities = M (M - 1) / 2, C mixture components.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FUSED = "fused"


@dataclass(frozen=True, kw_only=True)
class AudioSpec:
    """How a clip's waveform is kept, and which spectrogram the network sees.

    Attributes:
        rate: samples per second, Hz.
        seconds: length kept of every clip, s; a longer clip is cut at its end.
        n_fft: STFT window, samples.
        hop: STFT hop, samples.
        n_mels: mel bands, or None for the linear magnitude with `n_fft // 2 + 1` bins.
        fill: a shorter clip is repeated (`tile`, as the literature does) or followed by zeros (`pad`).
        standardize: z-score of each clip's log spectrogram; False keeps log(|x| + 1e-7) as it is.
    """

    kind: ClassVar[str] = "audio"
    rate: int = 22050
    seconds: float = 3.0
    n_fft: int = 512
    hop: int = 353
    n_mels: int | None = None
    fill: str = "tile"
    standardize: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one cached clip: (samples,), int16."""
        return (round(self.rate * self.seconds),)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.int16)


@dataclass(frozen=True, kw_only=True)
class VisualSpec:
    """How a clip's frames (or one picture) are kept.

    Attributes:
        frames: frames per clip, taken at the centres of as many equal segments.
        size: side of the square frame, pixels.
        channels: 1 (grey) or 3 (RGB).
        augment: `none`, or `crop_flip` = random resized crop and horizontal flip in training.
    """

    kind: ClassVar[str] = "visual"
    frames: int = 3
    size: int = 224
    channels: int = 3
    augment: str = "crop_flip"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one cached clip: (frames, size, size, channels), uint8."""
        return (self.frames, self.size, self.size, self.channels)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8)


InputSpec = AudioSpec | VisualSpec


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One labelled item of a data set.

    Attributes:
        sample_id: stable and unique within the data set; the only join key.
        label: the class *name*.
        split: `train`, `val` or `test`.
        inputs: {modality: where its medium is}; relative to the data set's root when it is a path.
        group: what must not cross splits (speaker, source video), or None.
        planted: modalities degraded on purpose, joined by '+' in declared order; '' none; None unknown.
        extra: what else the annotation says of it, {name: text or number}: human votes, a second or corrected label.
    """

    sample_id: str
    label: str
    split: str
    inputs: Mapping[str, str]
    group: str | None = None
    planted: str | None = None
    extra: Mapping[str, str | float] = field(default_factory=dict)


def modality_pairs(modalities: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """All P pairs in declared order: (a, v, t) gives (a, v), (a, t), (v, t)."""
    return tuple(itertools.combinations(modalities, 2))


def pair_name(pair: tuple[str, str]) -> str:
    """The name of a pair in the sample table, `first|second`."""
    return "|".join(pair)


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of every modality and of the fusion, un-augmented and in eval mode.

    Attributes:
        sample_ids: (N,) strings, unique.
        labels: (N,) class indices into `classes`.
        classes: K class names.
        modalities: M names in declared order.
        probs: {modality or "fused": (N, K)} float64; rows add to one.
    """

    sample_ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    modalities: tuple[str, ...]
    probs: Mapping[str, Floats]

    def __post_init__(self) -> None:
        n, k = len(self.sample_ids), len(self.classes)
        if len(np.unique(self.sample_ids)) != n:
            raise ValueError("sample_ids are not unique")
        if self.labels.shape != (n,) or (n and not (self.labels.min() >= 0 and self.labels.max() < k)):
            raise ValueError(f"labels must be ({n},) indices below {k}")
        if set(self.probs) != {*self.modalities, FUSED}:
            raise ValueError(f"probs has {sorted(self.probs)}, expected the modalities and {FUSED!r}")
        for name, p in self.probs.items():
            if p.shape != (n, k):
                raise ValueError(f"probs[{name!r}] is {p.shape}, expected {(n, k)}")
            if not np.isfinite(p).all() or np.abs(p.sum(axis=1) - 1).max(initial=0) > 1e-6:
                raise ValueError(f"rows of probs[{name!r}] must be finite and add to one")


@dataclass(frozen=True)
class GapScores:
    """Signed modality gaps; the sign is first minus second modality of the pair, in declared order.

    Attributes:
        sample_ids: (N,) strings.
        pairs: the P pairs.
        prob: (N, P) probability gap in [-1, 1], Eq. 6 of the adaptive-loss paper.
        kl: (N, P) KL gap in [-log K, log K], Eq. 7.
    """

    sample_ids: NDArray[np.str_]
    pairs: tuple[tuple[str, str], ...]
    prob: Floats
    kl: Floats

    def __post_init__(self) -> None:
        shape = (len(self.sample_ids), len(self.pairs))
        if self.prob.shape != shape or self.kl.shape != shape:
            raise ValueError(f"gaps are {self.prob.shape} and {self.kl.shape}, expected {shape}")

    def of(self, kind: str) -> Floats:
        """(N, P) gaps of a kind, `prob` or `kl`."""
        return {"prob": self.prob, "kl": self.kl}[kind]


@dataclass(frozen=True)
class MixtureFit:
    """A one-dimensional mixture fitted to the gaps of one pair, components ordered by location.

    Attributes:
        family: `gaussian` or `student-t`.
        weights: (C,) mixing weights pi, adding to one.
        locs: (C,) locations mu, ascending.
        scales: (C,) scales sigma (standard deviation for `gaussian`).
        dofs: (C,) degrees of freedom; infinite for `gaussian`.
        balanced: index of the balanced component.
        rule: the rule that chose it, see `mixture.balanced_component`.
        rule_conflict: whether the rules of `mixture.RULES` disagree.
        log_likelihoods: total log-likelihood after each iteration of the winning start.
        converged: whether it stopped because it no longer rose.
        outcome: `ok`, or the gravest of what speaks against the fit. `one_component` (BIC does not support two, or a
            component died), `degenerate` (constant gaps) and `too_few` hold one component, so that every sample counts
            as balanced; `memorised`, `two_tailed` and `rule_conflict` keep two and say that they mean little.
        warnings: all that speaks against reading the fit as two populations, each with what to do.
        limits: gaps are clipped to them before the posterior is taken; infinite for Eq. 10 as it stands, see
            `mixture.monotone_limits`.
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


@dataclass(frozen=True)
class Selection:
    """A named set of samples.

    Attributes:
        name: its name in the table.
        run_id: the scored run whose posteriors it was made from.
        rule: the rule, readable.
        sample_ids: (S,) the kept samples, ascending.
        candidates: how many samples the rule saw.
        kept: {class name: (kept, seen)}: what the selection does to class balance.
    """

    name: str
    run_id: str
    rule: str
    sample_ids: NDArray[np.str_]
    candidates: int
    kept: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One row of the table's `run`: what was run, on what, from what.

    Attributes:
        run_id: readable and unique within the table, e.g. `score-demo-1`.
        kind: `score` or `train`.
        method: `warmup` for a scored run, the method's name otherwise.
        dataset, data_id: the data set's name, and the digest of its content and preprocessing.
        root: what `--root` was, or None.
        parent: the scored run a training run starts from, or None.
        seed: the one seed.
        modalities, classes: in declared order.
        gap_kind, family: what the posteriors were fitted on, or None.
        config: the resolved configuration, {section: {key: value}}.
        versions: of Python and the libraries.
        folder: where its checkpoints are.
        status: `running`, `interrupted`, `failed` or `done`.
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
    config: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str]
    folder: str
    status: str = "running"
    note: str | None = None
    checkpoint_sha256: str | None = None


@dataclass(frozen=True)
class Round:
    """What one scoring of the training set left behind.

    Attributes:
        sample_ids: (N,) strings, ascending.
        gaps: of every pair.
        fits: one mixture a pair.
        p_balanced: (N, P) posterior of the balanced component, in [0, 1]; higher = more balanced.
    """

    sample_ids: NDArray[np.str_]
    gaps: GapScores
    fits: tuple[MixtureFit, ...]
    p_balanced: Floats
