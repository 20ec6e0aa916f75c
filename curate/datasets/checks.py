"""What is suspicious about a data set before any of it is decoded: leaks, conflicting labels, duplicated content.

Nothing here is dropped: it is listed, and `data.drop_leaks` leaves out the training samples that leak.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from curate.errors import MediaError
from curate.media import check_file
from curate.source import Segment
from curate.types import Finding, Sample

from .base import SPLITS, Dataset

Medium = tuple[str, Segment | None]  # what it is, by path or by content, and which stretch of it
Media = Mapping[str, Medium]
KINDS = {
    "leak": "the same medium in a later split too",
    "label_conflict": "the same medium under another label",
    "duplicate_content": "the same medium under another id",
    "group_crosses": "a group in more than one split",
}


def check(dataset: Dataset) -> tuple[Finding, ...]:
    """All findings of a data set, by kind in the order of `KINDS`, then by sample. Files of equal size are hashed."""
    media = identify(dataset)
    found = [*compare(dataset.samples, media), *crossing_groups(dataset.samples)]
    order = list(KINDS)
    return tuple(sorted(found, key=lambda f: (order.index(f.kind), f.sample_id)))


def summary(found: Sequence[Finding]) -> str:
    """How many findings there are of each kind, and where they are listed; '' where there are none."""
    counts = Counter(f.kind for f in found)
    told = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    return told and f'suspicious: {told}; listed by `curate sql "SELECT * FROM findings"`'


def leaking(dataset: Dataset) -> dict[str, str]:
    """{sample id: why} of the training samples that share a medium with a sample of val or test."""
    split = {s.sample_id: s.split for s in dataset.samples}
    found = compare(dataset.samples, identify(dataset))
    return {f.sample_id: f.detail for f in found if f.kind == "leak" and split[f.sample_id] == "train"}


def files_found(dataset: Dataset) -> dict[str, dict[str, int]]:
    """{modality: {`ok`, `missing`, `empty` or `lfs_pointer`: how many samples}}, without decoding."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in dataset.samples:
        for modality, (path, _) in dataset.media(sample).items():
            counts[modality][_file_status(path)] += 1
    return {m: dict(sorted(own.items(), key=lambda item: (item[0] != "ok", item[0]))) for m, own in counts.items()}


def _file_status(path: Path) -> str:
    try:
        if not path.is_dir():
            check_file(path)
    except MediaError as error:
        return error.status
    return "ok"


def identify(dataset: Dataset) -> dict[str, Media]:
    """{sample id: {modality: what it is}}: byte-identical files are one thing, whatever their names."""
    read = {s.sample_id: dataset.media(s) for s in dataset.samples}
    digests = content_digests({path for media in read.values() for path, _ in media.values()})
    return {
        sample_id: {m: (digests.get(path, str(path)), segment) for m, (path, segment) in media.items()}
        for sample_id, media in read.items()
    }


def content_digests(paths: Iterable[Path]) -> dict[Path, str]:
    """{path: SHA-256} of the files that share their size with another; the others are unlike any, and are not read."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in sorted(set(paths)):
        if path.is_file() and (size := path.stat().st_size):
            by_size[size].append(path)
    return {path: _digest(path) for same in by_size.values() if len(same) > 1 for path in same}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare(samples: Sequence[Sample], media: Mapping[str, Media]) -> Iterator[Finding]:
    """A finding for each sample and kind: whom it shares a medium with, across splits, labels or ids.

    Args:
        samples: all of them.
        media: {sample id: {modality: what it is}}.
    """
    sharing: dict[tuple[str, Medium], list[Sample]] = defaultdict(list)
    for sample in samples:
        for modality, medium in media[sample.sample_id].items():
            sharing[modality, medium].append(sample)
    told: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (modality, _), same in sharing.items():
        for sample in same if len(same) > 1 else ():
            for kind, other in _kinds(sample, same):
                told[kind, sample.sample_id][other].append(modality)
    for (kind, sample_id), others in told.items():
        yield Finding(kind, sample_id, "; ".join(f"{' and '.join(m)} of {other}" for other, m in others.items()))


def _kinds(sample: Sample, same: Sequence[Sample]) -> Iterator[tuple[str, str]]:
    """(kind, the first other sample of that kind) of one of those that share a medium."""
    others = [s for s in same if s.sample_id != sample.sample_id]
    later = [s for s in others if SPLITS.index(s.split) > SPLITS.index(sample.split)]
    conflicting = [s for s in others if s.label != sample.label]
    for kind, found in (("leak", later), ("label_conflict", conflicting), ("duplicate_content", others)):
        if found:
            first = max(found, key=lambda s: SPLITS.index(s.split)) if kind == "leak" else found[0]
            yield kind, f"{first.sample_id} ({first.split}, {first.label})"


def crossing_groups(samples: Iterable[Sample]) -> Iterator[Finding]:
    """A finding for each group in more than one split, told of its first sample."""
    members: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.group is not None:
            members[sample.group].append(sample)
    for group, own in members.items():
        counts = Counter(s.split for s in own)
        if len(counts) > 1:
            parts = ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split])
            yield Finding("group_crosses", own[0].sample_id, f"group {group}: {parts}")
