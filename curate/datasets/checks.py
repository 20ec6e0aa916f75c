"""Checks of a data set before any of it is decoded: leaks, conflicting labels, duplicated content.

Media are compared: a file or a stretch of one byte for byte, a remote file by the checksum that its file system has, a
text without regard to case, spaces and Unicode form.

Nothing is dropped here, findings are only listed; `data.drop_leaks` leaves out the training samples that leak.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import MediaError
from curate.files.remote import UNREACHABLE, UNREADABLE, Remote
from curate.files.stamps import checksum
from curate.media import check_file
from curate.media.source import Segment
from curate.types import Finding, Sample

from .base import SPLITS, Dataset, remote_stamps

Medium = tuple[str, Segment | None]  # (path, digest of the content or text; stretch of the file)
Media = Mapping[str, Medium]
FROM_FOLDERS = ("visual", "clip", "flow")
"""Kinds of specs whose pictures may lie in a folder."""
SHORT = 5
"""Words; texts with fewer may be alike by chance."""
ALIKE = 0.6
RARE = 20
"""Texts; a run of words that occurs in more of them is a common phrase."""
NOTHING = ("missing", UNREADABLE, "empty", "silent", "undecodable", "no_audio", "no_video")
"""What a medium is called that holds nothing, or nothing that can be read: of such files no two are the same medium."""
KINDS = {
    "leak": "the same medium in a later split too",
    "label_conflict": "the same medium under another label",
    "duplicate_content": "the same medium under another id",
    "near_duplicate": "a text much like that of another id",
    "group_crosses": "a group in more than one split",
}


def check(dataset: Dataset, status: Mapping[str, NDArray[np.str_]] | None = None) -> tuple[Finding, ...]:
    """All findings of a data set, by kind in the order of `KINDS`, then by sample. Files of equal size are hashed.

    Args:
        dataset: what is checked.
        status: {modality: (N,) status of each sample's medium}, once they were decoded.
    """
    media = identify(dataset, status=status)
    texts = {s.sample_id: dataset.texts(s) for s in dataset.samples}
    found = [*compare(dataset.samples, media), *near(dataset.samples, texts), *crossing_groups(dataset.samples)]
    order = list(KINDS)
    return tuple(sorted(found, key=lambda f: (order.index(f.kind), f.sample_id)))


def summary(found: Sequence[Finding]) -> str:
    """How many findings there are of each kind, and where they are listed; '' where there are none."""
    counts = Counter(f.kind for f in found)
    shown = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    return shown and f'suspicious: {shown}; listed by `curate sql "SELECT * FROM findings"`'


def leaking(dataset: Dataset) -> dict[str, str]:
    """{sample id: why} of the training samples that share a medium with a sample of val or test.

    Texts of fewer than `SHORT` words do not count: they are alike by chance.
    """
    split = {s.sample_id: s.split for s in dataset.samples}
    found = compare(dataset.samples, identify(dataset, SHORT))
    return {f.sample_id: f.detail for f in found if f.kind == "leak" and split[f.sample_id] == "train"}


def files_found(dataset: Dataset) -> dict[str, dict[str, int]]:
    """{modality: {`ok`, or what is wrong: samples}}, without decoding.

    It is `missing`, `unreachable`, `unreadable`, `empty`, `lfs_pointer` or `folder`. A folder is one where a sound is
    expected; pictures may lie in one. An empty text has nothing but spaces.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    known = remote_stamps(dataset)
    for sample in dataset.samples:
        for modality, (path, _) in dataset.media(sample).items():
            pictures = dataset.specs[modality].kind in FROM_FOLDERS
            there = _remote_status(path, known) if isinstance(path, Remote) else _file_status(path, pictures)
            counts[modality][there] += 1
        for modality, text in dataset.texts(sample).items():
            counts[modality]["ok" if text.strip() else "empty"] += 1
    return {m: dict(sorted(own.items(), key=lambda item: (item[0] != "ok", item[0]))) for m, own in counts.items()}


def first_missing(dataset: Dataset) -> dict[str, str]:
    """{modality: why the first of its files on this machine that is missing is not found}."""
    found: dict[str, str] = {}
    for sample in dataset.samples:
        for modality, (path, _) in dataset.media(sample).items():
            if modality in found or isinstance(path, Remote) or os.path.exists(path):
                continue
            try:
                dataset.check_file(sample, modality)
            except MediaError as error:
                if error.status == "missing":
                    found[modality] = error.reason
            except OSError as error:  # a name that the file system does not allow
                found[modality] = f"{path}: {error.strerror}"
    return found


def _remote_status(path: Remote, known: Mapping[Remote, list[Any] | None]) -> str:
    if path not in known:
        return UNREACHABLE
    stamp = known[path]
    return "missing" if stamp is None else "empty" if stamp[0] == 0 else "ok"


def _file_status(path: Path, pictures: bool) -> str:
    try:
        if os.path.isdir(path):
            return "ok" if pictures else "folder"
        check_file(path)
    except MediaError as error:
        return error.status
    except OSError:  # a name that the file system does not allow
        return "missing"
    return "ok"


def identify(
    dataset: Dataset, shortest: int = 1, status: Mapping[str, NDArray[np.str_]] | None = None
) -> dict[str, Media]:
    """{sample id: {modality: medium}}: files with the same bytes are the same medium, whatever their names, and so are
    texts with the same words. What holds nothing, or cannot be read, is nobody's medium.

    Args:
        dataset: what is asked.
        shortest: fewest words of a text that is compared.
        status: as in `check`; without it, only empty files are known to hold nothing, and files that do not exist, yet
            or any more, are compared by their names.
    """
    read = {s.sample_id: dataset.media(s) for s in dataset.samples}
    digests = content_digests({path for media in read.values() for path, _ in media.values()})
    digests |= {
        path: own for path, stamp in remote_stamps(dataset).items() if not path.inside and (own := checksum(stamp))
    }
    found: dict[str, dict[str, Medium]] = {
        sample_id: {m: (digests.get(path, str(path)), segment) for m, (path, segment) in media.items()}
        for sample_id, media in read.items()
    }
    for sample_id, modality in _nothing(dataset, read, found, status):
        del found[sample_id][modality]
    for sample in dataset.samples:
        words = {m: plain(text) for m, text in dataset.texts(sample).items()}
        found[sample.sample_id] |= {m: (text, None) for m, text in words.items() if len(text.split()) >= shortest}
    return dict(found)


def _nothing(
    dataset: Dataset,
    read: Mapping[str, Mapping[str, tuple[Path, Segment | None]]],
    found: Mapping[str, Media],
    status: Mapping[str, NDArray[np.str_]] | None,
) -> list[tuple[str, str]]:
    """(sample id, modality) of the media that others share and that hold nothing. Files are looked at if need be."""
    if status is not None:
        rows = enumerate(dataset.samples)
        return [(s.sample_id, m) for row, s in rows for m in found[s.sample_id] if status[m][row] in NOTHING]
    owners = Counter((m, medium) for media in found.values() for m, medium in media.items())
    shared = {(i, m): read[i][m][0] for i, media in found.items() for m, own in media.items() if owners[m, own] > 1}
    known = remote_stamps(dataset)
    told = {
        path: _remote_status(path, known) if isinstance(path, Remote) else _file_status(path, True)
        for path in set(shared.values())
    }
    return [place for place, path in shared.items() if told[path] == "empty"]


def plain(text: str) -> str:
    """A text without the differences that comparisons ignore: Unicode form, case, spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def content_digests(paths: Iterable[Path]) -> dict[Path, str]:
    """{path: SHA-256} of the files that have the same size as another; the others differ from all and are not read.

    What cannot be read is left out.
    """
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in sorted(set(paths)):
        with suppress(OSError):
            if os.path.isfile(path) and (size := path.stat().st_size):
                by_size[size].append(path)
    found: dict[Path, str] = {}
    for path in (path for same in by_size.values() if len(same) > 1 for path in same):
        with suppress(OSError):
            found[path] = _digest(path)
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare(samples: Sequence[Sample], media: Mapping[str, Media]) -> Iterator[Finding]:
    """A finding for each sample and kind: which samples it shares a medium with, across splits, labels or ids.

    Args:
        samples: all of them.
        media: {sample id: {modality: medium}}.
    """
    sharing: dict[tuple[str, Medium], list[Sample]] = defaultdict(list)
    for sample in samples:
        for modality, medium in media[sample.sample_id].items():
            sharing[modality, medium].append(sample)
    shown: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (modality, _), same in sharing.items():
        if len(same) > 1:
            for kind, sample, other in _kinds(same):
                shown[kind, sample.sample_id][_said(other)].append(modality)
    for (kind, sample_id), others in shown.items():
        yield Finding(kind, sample_id, "; ".join(f"{' and '.join(m)} of {other}" for other, m in others.items()))


def _kinds(same: Sequence[Sample]) -> Iterator[tuple[str, Sample, Sample]]:
    """(kind, sample, another sample that makes it one of that kind) for samples that share a medium."""
    latest = max(same, key=lambda s: SPLITS.index(s.split))
    labelled = [s for s in same if s.label]
    other = next((s for s in labelled if s.label != labelled[0].label), None)
    for sample in same:
        if SPLITS.index(latest.split) > SPLITS.index(sample.split):
            yield "leak", sample, latest
        if other is not None and sample.label:
            yield "label_conflict", sample, labelled[0] if sample.label != labelled[0].label else other
        yield "duplicate_content", sample, same[1] if sample is same[0] else same[0]


def _said(sample: Sample) -> str:
    return f"{sample.sample_id} ({sample.split}, {sample.label or 'no label'})"


def near(samples: Sequence[Sample], texts: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """A finding for each sample with a text much like that of another sample; it names the most similar one.

    Texts are compared by their runs of three words: two texts are much alike if they share at least `ALIKE` of all runs
    that either has (Jaccard index). Pairs are found by runs that at most `RARE` texts have, so common phrases cost no
    time. Texts of fewer than `SHORT` words, and equal ones, are left out.

    Args:
        samples: all of them.
        texts: {sample id: {modality: text}}.
    """
    for modality in dict.fromkeys(m for own in texts.values() for m in own):
        first: dict[str, Sample] = {}
        for sample in samples:
            text = plain(texts[sample.sample_id].get(modality, ""))
            if len(text.split()) >= SHORT:
                first.setdefault(text, sample)
        owners, runs = list(first.values()), [_runs(text) for text in first]
        for i, (j, share) in sorted(_most_alike(runs).items()):
            detail = f"{modality} of {_said(owners[j])}, {share:.0%} of their runs of three words"
            yield Finding("near_duplicate", owners[i].sample_id, detail)


def _runs(text: str) -> frozenset[str]:
    """The runs of three words of a text."""
    words = re.findall(r"\w+", text)
    return frozenset(" ".join(words[i : i + 3]) for i in range(len(words) - 2))


def _most_alike(runs: Sequence[frozenset[str]]) -> dict[int, tuple[int, float]]:
    """{position: (position of the most similar text, Jaccard index)} of the texts that are much like another."""
    having: dict[str, list[int]] = defaultdict(list)
    for place, own in enumerate(runs):
        for run in own:
            having[run].append(place)
    pairs = {pair for places in having.values() if len(places) <= RARE for pair in combinations(places, 2)}
    best: dict[int, tuple[int, float]] = {}
    for i, j in sorted(pairs):
        share = len(runs[i] & runs[j]) / len(runs[i] | runs[j])
        if share >= ALIKE:
            for one, other in ((i, j), (j, i)):
                if share > best.get(one, (0, 0.0))[1]:
                    best[one] = other, share
    return best


def crossing_groups(samples: Iterable[Sample]) -> Iterator[Finding]:
    """A finding for each group in more than one split, listed under its first sample."""
    members: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.group is not None:
            members[sample.group].append(sample)
    for group, own in members.items():
        counts = Counter(s.split for s in own)
        if len(counts) > 1:
            parts = ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split])
            yield Finding("group_crosses", own[0].sample_id, f"group {group}: {parts}")
