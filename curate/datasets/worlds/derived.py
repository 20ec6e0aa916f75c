"""What data sets that are made from another one keep of it."""

from __future__ import annotations

from ..base import Dataset


class Derived(Dataset):
    """A data set made from another: its name, modalities, classes and inputs are those of the other."""

    summary = ""

    def __init__(self, dataset: Dataset) -> None:
        """All but the samples; the name is the instance's, since runs keep that of the data set itself."""
        super().__init__(dataset.root, dataset.options)
        self.name = dataset.name
        self.base, self.notes = dataset, dataset.notes
        self.modalities, self.classes, self.specs = dataset.modalities, dataset.classes, dataset.specs
