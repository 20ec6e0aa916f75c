"""The decoded media of samples and what is known of them, in tar files that WebDataset and others read in order."""

from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from curate.datasets.decoded import DecodedMedia, decoded_media
from curate.files.writing import replacing
from curate.store.store import Store

from .rows import Rows, Written, need_one, note

SHARD = 256 << 20
"""Bytes of media after which a tar file ends."""
PORTION = 1000
"""Samples that are asked for at once; the table is free in between."""

Member = tuple[str, bytes]
"""The ending of a file, and its content."""


def write(store: Store, rows: Rows, folder: Path) -> Written:
    """Write `<split>-<number>.tar` for each split.

    The samples of a split come in a random order, always the same, so that they may be read one after another. Each has
    files of one name: `.<modality>.npy`, as the cache keeps it, or `.<modality>.txt`; `.cls`, the class index; `.json`,
    its id and all columns. A modality that could not be decoded has no file; `status` says so.

    Args:
        folder: an empty one.

    Raises:
        CurateError: the rows are of several data sets, or their decoded media are not on this machine.
    """
    media = decoded_media(need_one(rows, "webdataset"))
    order = f"SELECT split, sample_id FROM ({rows.sql}) ORDER BY split, md5(sample_id), sample_id"
    found = store.db.named_rows(order, rows.parameters)
    names = map("{:09d}".format, itertools.count())
    last: dict[str, int] = {}
    for split, of_split in itertools.groupby(found, key=lambda row: str(row[0])):
        samples = _samples(store, rows, media, [str(i) for _, i in of_split])
        last[split] = _write_split(folder, split, zip(names, samples, strict=False))
    shown = "train" if "train" in last else next(iter(last), "train")
    numbers = f"{{000000..{last.get(shown, 0):06d}}}"
    opened = f'webdataset.WebDataset("{folder}/{shown}-{numbers}.tar", shardshuffle=100).decode()'
    return Written(len(found), opened, _lacking(media, [str(i) for _, i in found]))


def _lacking(media: DecodedMedia, ids: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each modality that has no file of some samples."""
    rows = media.cache.rows(ids)
    notes: tuple[str, ...] = ()
    for m, status in media.cache.status.items():
        bad = [i for i, row in zip(ids, rows, strict=True) if status[row] != "ok" and m not in media.texts.get(i, {})]
        notes += note(f"without a file of {m}, which could not be decoded:", bad)
    return notes


def _write_split(folder: Path, split: str, samples: Iterator[tuple[str, list[Member]]]) -> int:
    """Write the tar files of a split; the number of the last one."""
    number = -1
    for first in samples:
        number, size = number + 1, 0
        with replacing(folder / f"{split}-{number:06d}.tar") as fresh, tarfile.open(fresh, "w") as archive:
            for name, members in itertools.chain([first], samples):
                for ending, content in members:
                    entry = tarfile.TarInfo(f"{name}.{ending}")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
                    size += len(content)
                if size >= SHARD:
                    break
    return number


def _samples(store: Store, rows: Rows, media: DecodedMedia, ids: Sequence[str]) -> Iterator[list[Member]]:
    """The files of each sample."""
    asked = f"SELECT sample_id, label, to_json(r) FROM ({rows.sql}) r WHERE sample_id IN (SELECT unnest($some))"
    for start in range(0, len(ids), PORTION):
        some = list(ids[start : start + PORTION])
        known = {str(i): own for i, *own in store.db.named_rows(asked, {**rows.parameters, "some": some})}
        for sample_id, row in zip(some, media.cache.rows(some).tolist(), strict=True):
            label, text = known[sample_id]
            described = [("cls", str(label).encode())] if label is not None else []
            yield [*_arrays(media, sample_id, row), *described, ("json", str(text).encode())]


def _arrays(media: DecodedMedia, sample_id: str, row: int) -> Iterator[Member]:
    for modality, array in media.cache.arrays.items():
        text = media.texts.get(sample_id, {}).get(modality)
        if text is not None:
            yield f"{modality}.txt", text.encode()
        elif media.cache.status[modality][row] == "ok":
            content = io.BytesIO()
            np.save(content, array[row], allow_pickle=False)
            yield f"{modality}.npy", content.getvalue()
