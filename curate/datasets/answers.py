"""Which files on other machines were not answered while the media of a data set are decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curate.files.remote import UNREACHABLE, Remote
from curate.files.unanswered import Unanswered, of_place, place_of, refuse

from .base import Dataset


class Answers:
    """Counts the media of a data set that were not answered since the last one of their place that was."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset, self._count = dataset, Unanswered()

    @property
    def lost(self) -> list[str]:
        """Their files, each once."""
        return self._count.lost

    def add_all(self, outcomes: Mapping[int, Mapping[str, tuple[str, str, Any]]]) -> None:
        """Count the media of {row: {modality: (status, reason, facts)}}; raises as `add`."""
        for row, own in outcomes.items():
            for modality, (status, reason, _) in own.items():
                self.add(row, modality, status, reason)

    def add(self, row: int, modality: str, status: str, reason: str) -> None:
        """Count one medium of the data set, given its outcome.

        Raises:
            UnansweredError: it is the last of several in a row.
        """
        media = self._dataset.media(self._dataset.samples[row])
        path = media.get(modality, (None, None))[0]
        if status == UNREACHABLE:  # it may wait for another file of its sample, whose length it needs
            path = next((other for other, _ in media.values() if reason.startswith(f"{other} ")), path)
        if not isinstance(path, Remote) or status == "missing":  # which may be known from a list of the folder
            return
        if status == UNREACHABLE:
            self._count.add(str(path), reason)
        else:
            self._count.answered(str(path))

    def check(self, lost: Sequence[Sequence[str]]) -> None:
        """Check the files that were not answered in a row in each of several processes.

        Raises:
            UnansweredError: each process waits for the same place, which did not answer for several of their files.
        """
        for place in sorted({place_of(name) for own in lost for name in own}):
            waiting = [of_place(place, own) for own in lost]
            if all(waiting):
                refuse(place, [name for own in waiting for name in own], waiting[-1][-1])
