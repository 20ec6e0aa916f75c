"""Samples that look or sound like one: found in what the scoring compared, in features, or in the cache.

Letters: n samples, B of them compared, D numbers of each.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from curate.errors import CurateError
from curate.scores.references import LookAlikes, load, look_alikes
from curate.specs import FeatureSpec
from curate.store.snapshot import Snapshot
from curate.types import Run

from .media import Media

FOUND = 6
MOST, MOST_MEDIA, MOST_BYTES = 20_000, 1_000, 1 << 26
"""Samples that are compared at most: by vectors, by media of the cache; and bytes of their numbers, of a modality."""
LARGEST_FILE = 1 << 29
"""Files of embeddings of more bytes are not read: they are read whole."""
REFERENCES, BY_SCORE = "usability.npz", "what usability was pooled over"
CHUNK = 64


@dataclass(frozen=True, eq=False)
class Space:
    """Samples of one modality as points.

    Attributes:
        by: what is compared, in words.
        ids: (B,) of the samples in the bank.
        alike: the space and its bank.
    """

    by: str
    ids: NDArray[np.str_]
    alike: LookAlikes

    def nearest(self, sample_id: str, values: NDArray[Any] | None, count: int) -> list[str]:
        """The ids nearest to a sample, nearest first, itself left out; [] where its place is not known.

        Args:
            values: (1, D) of the sample, or None.
        """
        own = np.flatnonzero(self.ids == sample_id)
        if not len(own) and (values is None or not len(values)):
            return []
        at = self.alike.bank[own[0]] if len(own) else self.alike.project(np.asarray(values, dtype=np.float64))[0]
        apart = self.alike.bank - at
        apart = np.einsum("ij,ij->i", apart, apart)
        apart[own] = np.inf
        return [str(i) for i in self.ids[np.argsort(apart, kind="stable")[: min(count, len(apart) - len(own))]]]


class Source(ABC):
    """Where numbers of samples come from.

    Attributes:
        by: what is compared, in words.
        most: greatest number of samples that are compared.
    """

    by: str
    most = MOST

    @abstractmethod
    def read(self, sample_ids: NDArray[np.str_], split: str) -> dict[str, tuple[NDArray[np.str_], NDArray[Any]]]:
        """{modality: ids of the samples that have numbers, and (n, D)}.

        Raises:
            CurateError: they cannot be read.
        """


class Cached(Source):
    """Vectors of the cache, and the coarse content of its pictures and sounds."""

    by, most = "coarse content: 8 x 8 pixels of a picture, 8 bands by 8 times of a sound", MOST_MEDIA

    def __init__(self, media: Media) -> None:
        self.decoded = media.decoded
        if all(isinstance(spec, FeatureSpec) for spec in self.decoded.specs.values()):
            self.by, self.most = "the features", MOST

    @override
    def read(self, sample_ids: NDArray[np.str_], split: str) -> dict[str, tuple[NDArray[np.str_], NDArray[Any]]]:
        from curate.datasets.decoded import coarse

        found, cache = {}, self.decoded.cache
        try:
            places = cache.rows(sample_ids)
        except ValueError as error:
            raise CurateError(str(error), "see `curate prepare`") from None
        for modality, array in cache.arrays.items():
            vectors = isinstance(self.decoded.specs[modality], FeatureSpec)
            usable = cache.status[modality][places] == "ok"
            rows = places[usable]
            chunks = [array[rows[i : i + CHUNK]] for i in range(0, len(rows), CHUNK)] if vectors else []
            parts = chunks or [coarse(array[rows[i : i + CHUNK]]) for i in range(0, len(rows), CHUNK)]
            if parts and parts[0] is not None:
                found[modality] = sample_ids[usable], np.concatenate([p for p in parts if p is not None])
        return found


class Embeddings(Source):
    """Files of embeddings that were given with saved predictions."""

    by = "the embeddings given"

    def __init__(self, files: Sequence[Path], modalities: Sequence[str]) -> None:
        self.files, self.modalities = files, modalities
        if sum(path.stat().st_size for path in files) > LARGEST_FILE:
            raise CurateError("the embeddings are too large to be searched here", f"{LARGEST_FILE >> 20} MiB at most")

    @override
    def read(self, sample_ids: NDArray[np.str_], split: str) -> dict[str, tuple[NDArray[np.str_], NDArray[Any]]]:
        from curate.predictions.embeddings import read_embeddings

        found = read_embeddings([str(path) for path in self.files], self.modalities, sample_ids)
        return {m: (sample_ids, values) for m, values in found.items()}


class Recorded(Source):
    """The features that a recorder kept."""

    by = "the features recorded"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @override
    def read(self, sample_ids: NDArray[np.str_], split: str) -> dict[str, tuple[NDArray[np.str_], NDArray[Any]]]:
        from curate.files.shards import read_features

        found = read_features(self.folder, split, sample_ids)
        return {} if found is None else {m: (found.sample_ids, v) for m, v in found.values.items()}


class Alike:
    """The look-alikes of samples of one run; what is compared is read at the first question, and kept.

    Args:
        snapshot: of the run.
        media: of its samples.
    """

    def __init__(self, snapshot: Snapshot, media: Media) -> None:
        self.snapshot, self.run, self.media = snapshot, snapshot.run, media
        self._lock = threading.Lock()
        self._scored: dict[str, Space] | None = None
        self._read: dict[str, Space] = {}
        self._source: Source | None = None

    def of(self, sample_id: str, split: str) -> dict[str, Any]:
        """`found`: a dictionary a modality, {`modality`, `by`, `ids`: nearest first}; `missing`: why there are none."""
        with self._lock:
            found = self._among(self._scores(), sample_id, {})
            why = ""
            if not found:
                try:
                    found = self._among_read(sample_id, split)
                except (CurateError, OSError, ValueError) as error:
                    why = error.message if isinstance(error, CurateError) else str(error)
        missing = "" if found else f"No look-alikes are known: {why or 'this sample has nothing to compare'}."
        return {"found": found, "missing": missing}

    def _among(
        self, spaces: Mapping[str, Space], sample_id: str, own: Mapping[str, tuple[NDArray[np.str_], NDArray[Any]]]
    ) -> list[dict[str, Any]]:
        found = []
        for modality, space in spaces.items():
            values = own[modality][1] if modality in own else None
            if ids := space.nearest(sample_id, values, FOUND):
                found.append({"modality": modality, "by": space.by, "ids": ids})
        return sorted(found, key=lambda one: self.run.modalities.index(one["modality"]))

    def _scores(self) -> dict[str, Space]:
        """What the scoring compared, {} if it kept nothing; a sample that it did not compare has no place in it."""
        if self._scored is None:
            self._scored = {}
            path = self.snapshot.store.path.with_suffix(".runs") / self.run.run_id / REFERENCES
            if path.is_file():
                for modality, reference in load(path).items():
                    alike, ids = reference.look_alikes, self._assessed(modality)
                    if len(reference.p_true) == len(ids):
                        self._scored[modality] = Space(BY_SCORE, ids[alike.members], alike)
        return self._scored

    def _assessed(self, modality: str) -> NDArray[np.str_]:
        """Ids of the samples whose usability is known, ascending: those that the scoring compared."""
        column = f"usability_{modality}"
        if column not in self.snapshot.columns:
            return np.empty(0, dtype=np.str_)
        rows = self.snapshot.ask(f'SELECT sample_id FROM samples WHERE "{column}" IS NOT NULL ORDER BY 1')
        return np.array([i for (i,) in rows], dtype=np.str_)

    def _among_read(self, sample_id: str, split: str) -> list[dict[str, Any]]:
        if self._source is None:
            self._source = source_of(self.run, self.media, self.snapshot.store.path)
        source = self._source
        own = source.read(np.array([sample_id]), split)
        if own and not self._read:
            widest = max(values.shape[1] for _, values in own.values())
            chosen = self._chosen(min(source.most, max(MOST_BYTES // (4 * widest), FOUND + 1)))
            read = source.read(chosen, "train")
            self._read = {m: Space(source.by, i, look_alikes(x)) for m, (i, x) in read.items() if len(i) > 1}
        return self._among({m: s for m, s in self._read.items() if m in own}, sample_id, own)

    def _chosen(self, most: int) -> NDArray[np.str_]:
        """The scored samples, or a random part of them, ascending."""
        rows = self.snapshot.ask(
            "SELECT sample_id FROM (SELECT sample_id FROM samples WHERE gap IS NOT NULL ORDER BY hash(sample_id) "
            "LIMIT ?) ORDER BY 1",
            [most],
        )
        return np.array([i for (i,) in rows], dtype=np.str_)


def source_of(run: Run, media: Media, table: Path) -> Source:
    """Where numbers of a run's samples can be read.

    Raises:
        CurateError: nowhere.
    """
    saved = run.config.get("predictions")
    if saved is None:
        return Cached(media)

    def there(names: Sequence[str]) -> list[Path]:
        """Paths as they were typed, from here or from the table's folder."""
        found = [next((p for p in (Path(name), table.parent / name) if p.exists()), None) for name in names]
        return [path for path in found if path is not None]

    embeddings = saved.get("embeddings", ())
    if embeddings:
        if len(files := there(embeddings)) == len(embeddings):
            return Embeddings(files, run.modalities)
        raise CurateError(f"{', '.join(map(os.fspath, embeddings))} is not there any more", "put it back")
    folders = [path for path in there(saved["files"]) if path.is_dir()]
    if len(folders) == 1:
        return Recorded(folders[0])
    raise CurateError(
        "only predictions were given; features kept by Recorder.add, or `score --embeddings`, are compared", ""
    )
