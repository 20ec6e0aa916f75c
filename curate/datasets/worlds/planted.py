"""A data set with known faults in it: any data set, some of whose samples are changed as it is decoded.

The truth is kept with each sample: `planted` names the modalities that were damaged, `extra["fault"]` every fault by
its kind and modality, `extra["true_label"]` the label that a wrong one replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from curate.errors import CurateError
from curate.media import Decoded
from curate.media.source import Segment
from curate.specs import TextSpec
from curate.types import Sample

from ..base import SPLITS, Dataset
from ..degrade import generator
from .damages import DAMAGES, HARMLESS, applicable, apply, medium, stored
from .derived import Derived

WRONG_CLIPS, WRONG_LABELS = ("wrong_clip", "wrong_clip_of_class"), ("wrong_label", "wrong_label_next")
AMBIGUOUS = "ambiguous"
KINDS = (*DAMAGES, *WRONG_CLIPS, *WRONG_LABELS, AMBIGUOUS, *HARMLESS)
"""Every kind of fault: damages, a clip of another sample (of another class, or of its own), a label of another class
(any, or the next one), a blend of samples of some classes, and changes without harm."""
LABEL = "label"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of fault, planted in a share of the samples.

    Attributes:
        kind: one of `KINDS`.
        modality: in which; '' for a wrong label.
        share: of the samples that may have it, in [0, 1].
        classes: only samples of these classes; () = all. A blend is of these classes.
        strength: in [0, 1], see `damages`.
        spread: each sample's strength is drawn evenly from 0 to `strength`.
    """

    kind: str
    modality: str = ""
    share: float = 0.05
    classes: tuple[str, ...] = ()
    strength: float = 1.0
    spread: bool = False

    @property
    def name(self) -> str:
        """Kind and modality, as they stand in `extra["fault"]`."""
        return f"{self.kind} {self.modality}".strip()


class Planted(Derived):
    """A data set with faults. Its samples, splits and specs are those of the other; nothing on disk is changed.

    Faults of one modality never meet in a sample, nor do two wrong labels; every draw depends on the seed and on names
    alone. All splits are treated alike, so that held-out samples have the same faults.
    """

    def __init__(self, dataset: Dataset, faults: Sequence[Fault], seed: int = 0, apart: bool = False) -> None:
        """A data set with faults drawn by a seed.

        Args:
            apart: no sample has two faults, of whatever modality.

        Raises:
            CurateError: a kind, modality, class, share or strength is not valid.
        """
        super().__init__(dataset)
        self.faults, self.seed, self.apart = tuple(faults), seed, apart
        for fault in faults:
            _check(fault, dataset)
        self._source = {s.sample_id: s for s in dataset.samples}
        self._own = self._drawn()
        self.samples = tuple(self._changed(s) for s in dataset.samples)
        self._same: dict[tuple[str, str], list[Sample]] = {}
        for s in dataset.samples:
            self._same.setdefault((s.split, s.label), []).append(s)

    def _drawn(self) -> dict[str, list[Fault]]:
        """{sample: its faults}."""
        found: dict[str, list[Fault]] = {}
        taken: dict[str, set[str]] = {}
        for number, fault in enumerate(self.faults):
            place = "" if self.apart else fault.modality or LABEL
            used = taken.setdefault(place, set())
            for split in SPLITS:
                may = [s.sample_id for s in self.base.samples if s.split == split and s.label]
                may = [i for i in may if not fault.classes or self._source[i].label in fault.classes]
                order = generator(self.seed, number, fault.name, split).permutation(len(may))
                free = [may[j] for j in order if may[j] not in used]
                for i in free[: round(fault.share * len(may))]:
                    found.setdefault(i, []).append(fault)
                    used.add(i)
        return found

    def _changed(self, sample: Sample) -> Sample:
        """The sample with its truth, and with its wrong label, if it has one."""
        own = self._own.get(sample.sample_id, [])
        damaged = {*filter(None, (sample.planted or "").split("+")), *(f.modality for f in own if f.kind in DAMAGES)}
        extra: dict[str, str | float] = {**sample.extra, **({"fault": "; ".join(f.name for f in own)} if own else {})}
        label = sample.label
        if wrong := [f for f in own if f.kind in WRONG_LABELS]:
            at = self.classes.index(label)
            step = 1
            if wrong[0].kind == "wrong_label":
                step = int(generator(self.seed, "label", sample.sample_id).integers(1, len(self.classes)))
            extra["true_label"], label = label, self.classes[(at + step) % len(self.classes)]
        planted = "+".join(m for m in self.modalities if m in damaged)
        return replace(sample, label=label, planted=planted, extra=extra)

    @override
    def load(self, sample: Sample, modality: str) -> np.ndarray:
        """The array of `decode`."""
        return self.decode(sample, modality).values

    @override
    def decode(self, sample: Sample, modality: str) -> Decoded:
        """The array with the fault it has in this modality, and what was done to its medium."""
        found = self.base.decode(self._source[sample.sample_id], modality)
        fault = next((f for f in self._own.get(sample.sample_id, ()) if f.modality == modality), None)
        return found if fault is None else found._replace(values=self._faulty(sample.sample_id, found.values, fault))

    def _faulty(self, sample_id: str, array: np.ndarray, fault: Fault) -> np.ndarray:
        """One array with its fault."""
        rng = generator(self.seed, sample_id, fault.name)
        if fault.kind == AMBIGUOUS:
            split = self._source[sample_id].split
            parts = [self._array(self._one(split, c, rng), fault.modality) for c in fault.classes]
            blend: np.ndarray = stored(np.mean([p.astype(np.float64) for p in parts], axis=0), array.dtype)
            return blend
        if fault.kind in WRONG_CLIPS:
            return self._array(self._other(sample_id, fault.kind == "wrong_clip", rng), fault.modality)
        strength = float(rng.uniform(0, fault.strength)) if fault.spread else fault.strength
        spec = self.specs[fault.modality]
        of_text = {"vocabulary": spec.vocabulary} if isinstance(spec, TextSpec) else {}
        changed: np.ndarray = apply(fault.kind, array, rng, strength, **of_text)
        return changed

    def _array(self, sample: Sample, modality: str) -> np.ndarray:
        return self.base.load(sample, modality)

    def _one(self, split: str, label: str, rng: np.random.Generator) -> Sample:
        own = self._same[split, label]
        return own[int(rng.integers(len(own)))]

    def _other(self, sample_id: str, another_class: bool, rng: np.random.Generator) -> Sample:
        """Another sample of its split: of another class, or of its own; itself if there is no other."""
        me = self._source[sample_id]
        labels = [c for c in self.classes if (me.split, c) in self._same and (c != me.label) == another_class]
        others = [s for c in labels for s in self._same[me.split, c] if s.sample_id != sample_id]
        return others[int(rng.integers(len(others)))] if others else me

    @property
    @override
    def decodes(self) -> bool:
        return self.base.decodes

    @override
    def content(self, sample: Sample) -> Any:
        own = self._own.get(sample.sample_id, ())
        return [self.base.content(self._source[sample.sample_id]), *(asdict(f) for f in own)]

    @override
    def media(self, sample: Sample) -> Mapping[str, tuple[Path, Segment | None]]:
        return self.base.media(self._source[sample.sample_id])

    @override
    def texts(self, sample: Sample) -> Mapping[str, str]:
        return self.base.texts(self._source[sample.sample_id])

    @override
    def recipe(self) -> Any:
        return [self.base.recipe(), [asdict(f) for f in self.faults], self.seed, *(["apart"] if self.apart else [])]


def possible(dataset: Dataset, modality: str) -> tuple[str, ...]:
    """The kinds of fault that a modality of a data set can have, wrong labels not among them."""
    spec = dataset.specs[modality]
    own = medium(np.empty(tuple(0 for _ in spec.shape), spec.dtype))
    blends = (AMBIGUOUS,) if own in ("pictures", "vector") else ()
    return (*applicable(own), *WRONG_CLIPS, *blends)


def _check(fault: Fault, dataset: Dataset) -> None:
    """Refuse a fault that the data set cannot have."""
    if fault.kind not in KINDS:
        raise CurateError(f"unknown kind of fault {fault.kind!r}", f"one of {', '.join(KINDS)}")
    if not (0 <= fault.share <= 1 and 0 <= fault.strength <= 1):
        raise CurateError(f"{fault.name}: share {fault.share}, strength {fault.strength}", "give both between 0 and 1")
    if unknown := [c for c in fault.classes if c not in dataset.classes]:
        raise CurateError(f"{fault.name}: no class {unknown[0]!r}", f"one of {', '.join(dataset.classes[:20])}")
    if fault.kind in WRONG_LABELS:
        if fault.modality:
            raise CurateError(f"{fault.kind} is of no modality, not of {fault.modality}", "leave the modality out")
        return
    if fault.modality not in dataset.modalities:
        raise CurateError(f"{fault.kind}: no modality {fault.modality!r}", f"one of {', '.join(dataset.modalities)}")
    if fault.kind not in (fitting := possible(dataset, fault.modality)):
        raise CurateError(f"{fault.kind} does not apply to {fault.modality}", f"possible are {', '.join(fitting)}")
    if fault.kind == AMBIGUOUS and len(fault.classes) < 2:
        raise CurateError("a blend is of two classes or more", "name them as the fault's classes")
