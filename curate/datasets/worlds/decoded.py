"""Some samples of a data set as they were decoded: arrays come from its cache, and no medium is read again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from typing_extensions import override

from curate.errors import MediaError
from curate.types import Sample

from ..base import Dataset
from ..cache import Cache
from ..degrade import generator
from .derived import Derived


class DecodedSamples(Derived):
    """At most so many training and validation samples of a data set, drawn by a seed; the test split is left out."""

    def __init__(self, dataset: Dataset, cache: Cache, most: Mapping[str, int], seed: int = 0) -> None:
        """Samples of a data set that were decoded and have a label.

        Args:
            cache: of the data set.
            most: {split: greatest number of its samples}; other splits are left out.
        """
        super().__init__(dataset)
        self.cache, self.seed = cache, seed
        self._row = {str(i): r for r, i in enumerate(cache.sample_ids)}
        usable = dict(zip(map(str, cache.sample_ids), cache.usable.tolist(), strict=True))
        kept: set[str] = set()
        for split, count in most.items():
            own = [s.sample_id for s in dataset.samples if s.split == split and s.label and usable[s.sample_id]]
            kept.update(own[i] for i in generator(seed, "kept", split).permutation(len(own))[:count])
        self.samples = tuple(s for s in dataset.samples if s.sample_id in kept)

    @override
    def load(self, sample: Sample, modality: str) -> np.ndarray:
        row = self._row[sample.sample_id]
        if self.cache.status[modality][row] != "ok":
            raise MediaError(str(self.cache.status[modality][row]), str(self.cache.reason[modality][row]))
        return np.array(self.cache.arrays[modality][row])

    @property
    @override
    def decodes(self) -> bool:
        return False

    @override
    def content(self, sample: Sample) -> Any:
        return self.base.content(sample)

    @override
    def recipe(self) -> Any:
        return [self.base.recipe(), "decoded", self.seed]
