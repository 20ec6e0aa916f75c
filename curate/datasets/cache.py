"""Decode once, store, memory-map: one array file per modality, and the status of every medium.

A cache is a folder named after the data set's `data_id`:
    <modality>.npy   (N, *spec.shape), one row per sample, in the order of `dataset.samples`
    status.json      sample ids; for every medium status, reason and what was done to it; digests of the recipe and of
                     the content of each row

While it is being made it is called `<data_id>.partial` and holds `done.jsonl` in place of `status.json`: a line for
each finished chunk of rows. An interrupted run continues from there; a complete cache gets its final name by one
rename. If some files of a data set have changed, the rows of all others are copied from its older cache.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError, counted
from curate.files.copies import near
from curate.files.lock import claimed
from curate.files.remote import AGAIN, Remote, located, whole
from curate.render import duration
from curate.types import data_kind

from . import checks
from .base import Dataset
from .decoding import (
    FIELDS,
    MAX_REASON,
    Engine,
    Facts,
    Outcomes,
    array_file,
    create_array,
    decode_rows,
    open_array,
    seconds_an_item,
    space_taken,
)
from .shared import CLAIM, STATUS_FILE, here, is_made, share

LOG_FILE = "done.jsonl"
PARTIAL, OLD = ".partial", ".old"
DONE = {
    "filled": "filled with silence",
    "filled_frames": "with moments before or after the picture track",
    "gain": "beyond full scale, made softer",
    "clipped": "clipped",
    "not_finite": "with values that are not finite",
    "orientation": "turned",
    "transparent": "laid on white",
}
NOTED = 200  # items; with fewer no time is estimated
DROPPED = "dropped_leak"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Cache:
    """The decoded media of a data set. Opened by `prepare` or `open_cache`; pickled as the name of its folder.

    Attributes:
        data_id: the key of the data set's content.
        folder: its folder.
        sample_ids: (N,) in the order of the rows.
        arrays: {modality: (N, *spec.shape)}, read-only memory maps; rows that are not `ok` are zeros.
        status: {modality: (N,)}: `ok`, or a status of `MediaError`.
        reason: {modality: (N,)}: a sentence, '' where the status is `ok`.
        facts: {modality: N of {fact: value}}: what was done to each medium, see `media.FACTS`.
    """

    data_id: str
    folder: Path
    sample_ids: NDArray[np.str_]
    arrays: Mapping[str, np.memmap]
    status: Mapping[str, NDArray[np.str_]]
    reason: Mapping[str, NDArray[np.str_]]
    facts: Mapping[str, Sequence[Facts]]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(N,) True where every modality is `ok`."""
        result: NDArray[np.bool_] = np.all([status == "ok" for status in self.status.values()], axis=0)
        return result

    def rows(self, sample_ids: Sequence[str] | NDArray[np.str_]) -> NDArray[np.int64]:
        """(n,) positions of samples, in the order of `sample_ids`.

        Raises:
            ValueError: an id is not in this cache.
        """
        try:
            return np.array([self._position[str(i)] for i in sample_ids], dtype=np.int64)
        except KeyError as error:
            raise ValueError(f"sample {error} is not in the cache of {self.data_id}") from None

    def summary(self) -> tuple[list[str], list[str]]:
        """Per sample, the first status that is not `ok`, and the reasons for all its media that are not `ok`."""
        statuses, reasons = [], []
        for row in range(len(self.sample_ids)):
            bad = [m for m in self.status if self.status[m][row] != "ok"]
            statuses.append(str(self.status[bad[0]][row]) if bad else "ok")
            reasons.append("; ".join(f"{m}: {self.reason[m][row]}" for m in bad))
        return statuses, reasons

    def media(self) -> list[dict[str, Facts]]:
        """Per sample, {modality: what was done to its medium}."""
        shown = zip(*self.facts.values(), strict=True)
        return [{m: dict(own) for m, own in zip(self.facts, row, strict=True) if own} for row in shown]

    @cached_property
    def _position(self) -> dict[str, int]:
        return {str(i): row for row, i in enumerate(self.sample_ids)}

    def __reduce__(self) -> tuple[Callable[[Path], Cache], tuple[Path]]:
        return open_cache, (self.folder,)


def default_folder() -> Path:
    """`$CURATE_CACHE`, or `$XDG_CACHE_HOME/curate`, or `~/.cache/curate`."""
    chosen = os.environ.get("CURATE_CACHE")
    return located(chosen).expanduser() if chosen else near()


def prepare(
    dataset: Dataset,
    folder: Path,
    workers: int = 0,
    progress: Progress | None = None,
    retry: bool = False,
    engine: Engine = decode_rows,
) -> Cache:
    """The cache of a data set under `folder`: opened if it exists, made or completed otherwise.

    If several processes need the same cache, one makes it and the others wait. A remote folder gets a copy of the cache
    that is made on this machine; the next machine fetches it from there.

    Args:
        dataset: what to decode, every sample and modality.
        folder: folder of all caches; this one is `folder/<data_id>`.
        workers: number of decoding processes; 0 decodes in this process. The result does not depend on it.
        progress: called with (samples done, samples in all), first with those that are already done.
        retry: try media again that were `unreachable` or `unreadable`.
        engine: what decodes: the processes of `decode_rows`, or `decode_on_cluster`. The result does not depend on it.

    Raises:
        CurateError: the disk is too full or cannot be written, a decoding process was killed, or several files in a row
            were not answered.
    """
    data_id = dataset.data_id()
    if isinstance(folder, Remote):
        made = prepare(dataset, here(folder, data_id).parent, workers, progress, retry, engine)
        if retry or not (folder / data_id / STATUS_FILE).exists():
            share(made.folder, folder / data_id)
        return made
    final = folder / data_id
    if is_made(final) and not (retry and _has_unread(open_cache(final))):
        return open_cache(final)
    partial = final.with_name(final.name + PARTIAL)
    try:
        with claimed(final.with_name(final.name + CLAIM), wait=True):  # not in the folder, which is renamed
            if not final.exists() or (retry and _has_unread(open_cache(final))):
                _complete(dataset, partial, workers, progress, engine)
                _put_in_place(partial, final)
    except OSError as error:
        if not (final / STATUS_FILE).exists():  # else another process was faster: it made the same cache
            message = f"the cache {final} cannot be written: {error}"
            raise CurateError(message, "choose another cache folder (CURATE_CACHE)") from error
    return open_cache(final)


def _has_unread(cache: Cache) -> bool:
    return any(np.isin(status, AGAIN).any() for status in cache.status.values())


def _put_in_place(partial: Path, final: Path) -> None:
    """Give a complete cache its name. An earlier one is moved away first: if that is all that happens, rows are copied
    from there the next time.
    """
    old = final.with_name(final.name + OLD)
    if final.exists():
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)
    partial.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def describe_plan(dataset: Dataset, folder: Path, workers: int, timed: bool = True) -> str:
    """How many items there are, how much disk space their cache takes, and about how long making it takes.

    A few items are decoded to estimate the time; none if the cache already exists, or `timed` is False.
    """
    final, count = folder / dataset.data_id(), len(dataset.samples)
    shown = f"{dataset.name}: {counted(count, 'item')}, {_size(disk_use(dataset))} in {final}"
    if is_made(final) or not timed or not dataset.decodes or count < NOTED:
        return shown
    each = seconds_an_item(dataset, workers)
    if each is None:
        return shown
    return f"{shown}; about {duration(each * count / max(workers, 1))} with {max(workers, 1)} processes"


def describe_done(cache: Cache) -> str:
    """Counts of the changes to media that a user may want to know about; '' where there are none."""
    counts: Counter[str] = Counter()
    for modality, facts in cache.facts.items():
        for own in facts:
            counts.update(f"{modality} {DONE[name]}" for name in DONE if name in own)
    shown = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    return shown and f'done to media: {shown}; see `curate sql "SELECT sample_id, media FROM samples"`'


def _size(count: int) -> str:
    """Bytes as MB or GB."""
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def disk_use(dataset: Dataset) -> int:
    """Bytes that the complete cache of a data set takes."""
    return len(dataset.samples) * _row_bytes(dataset)


def open_cache(folder: Path) -> Cache:
    """Open a complete cache, read-only.

    Raises:
        CurateError: a file is missing or damaged.
    """
    try:
        text = json.loads((folder / STATUS_FILE).read_text(encoding="utf-8"))
        media = text["media"]
        return Cache(
            data_id=text["data_id"],
            folder=folder,
            sample_ids=np.array(text["sample_ids"], dtype=np.str_),
            arrays={m: open_array(folder, m, "r") for m in media},
            status={m: np.array(media[m]["status"], dtype=np.str_) for m in media},
            reason={m: np.array(media[m]["reason"], dtype=np.str_) for m in media},
            facts={m: media[m].get("facts") or [{}] * len(text["sample_ids"]) for m in media},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"the cache {folder} cannot be read: {error}"
        raise CurateError(message, "delete this folder and prepare again") from error


def _complete(dataset: Dataset, partial: Path, workers: int, progress: Progress | None, engine: Engine) -> None:
    """Fill the missing rows of a partial cache and write its status file."""
    partial.mkdir(parents=True, exist_ok=True)
    done, total = _read_log(partial, dataset), len(dataset.samples)
    _check_space(dataset, partial)
    for modality, spec in dataset.specs.items():
        create_array(partial, modality, (total, *spec.shape), spec.dtype)
    dropped = _dropped(dataset)
    done = _copied(dataset, partial, dropped | done) | dropped | done
    todo = [row for row in range(total) if row not in done]
    if progress:
        progress(len(done), total)
    with (partial / LOG_FILE).open("a", encoding="utf-8") as log:
        log.write("\n")  # ends a line that was cut when a process was killed
        for outcomes in engine(dataset, partial, todo, workers):
            log.write(json.dumps(outcomes) + "\n")
            log.flush()
            done |= outcomes
            if progress:
                progress(len(done), total)
    _write_status(dataset, partial, done)
    (partial / LOG_FILE).unlink()


def _dropped(dataset: Dataset) -> Outcomes:
    """The rows that `drop_leaks` leaves out, which are not decoded; none unless it is set."""
    why = checks.leaking(dataset) if dataset.options.drop_leaks else {}
    return {
        row: {m: (DROPPED, f"{why[s.sample_id]} has the same medium"[:MAX_REASON], {}) for m in dataset.specs}
        for row, s in enumerate(dataset.samples)
        if s.sample_id in why
    }


def _copied(dataset: Dataset, partial: Path, done: Outcomes) -> Outcomes:
    """Copy rows that are not done from the newest cache with the same recipe, where their content is the same."""
    older = _older_cache(dataset, partial) if dataset.reusable else None
    if older is None:
        return {}
    cache, contents = older
    place_of = {content: place for place, content in enumerate(contents)}
    places = {row: place_of[c] for row, c in enumerate(_contents(dataset)) if c in place_of and row not in done}
    outcomes = {
        row: {
            m: (str(cache.status[m][place]), str(cache.reason[m][place]), cache.facts[m][place]) for m in dataset.specs
        }
        for row, place in places.items()
    }
    again = {DROPPED, *AGAIN}
    copied = {row: own for row, own in outcomes.items() if not again & {status for status, *_ in own.values()}}
    for modality in dataset.specs if copied else ():
        target = open_array(partial, modality, "r+")
        for row in copied:
            target[row] = cache.arrays[modality][places[row]]
        target.flush()
    return copied


def _older_cache(dataset: Dataset, partial: Path) -> tuple[Cache, list[str]] | None:
    """The newest readable cache with the same recipe, and the digests of its rows' content."""
    recipe, kind = _digest(dataset.recipe()), data_kind(dataset.name)
    for folder in sorted(partial.parent.glob(f"{kind}[.-]*"), key=lambda p: (-_made(p), p.name)):
        with suppress(OSError, ValueError, CurateError):
            text = json.loads((folder / STATUS_FILE).read_text(encoding="utf-8"))
            if text.get("recipe") == recipe:
                return open_cache(folder), text["contents"]
    return None


def _made(folder: Path) -> float:
    """When a cache was made, s; another process may just rename it."""
    with suppress(OSError):
        return folder.stat().st_mtime
    return 0.0


def _contents(dataset: Dataset) -> list[str]:
    """A digest of each row's content; [] where rows cannot be reused.

    Where its files lie is part of it: equal sizes and times do not make two folders the same data.
    """
    if not dataset.reusable:
        return []
    files = [[whole(path) for path, _ in dataset.media(s).values()] for s in dataset.samples]
    return [_digest([dict(s.inputs), dataset.content(s), own]) for s, own in zip(dataset.samples, files, strict=True)]


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:20]


def _read_log(partial: Path, dataset: Dataset) -> Outcomes:
    """The rows that an interrupted run finished, without lines that were cut, lost arrays, and files not reached."""
    if not all(array_file(partial, modality).exists() for modality in dataset.specs):
        return {}
    done: Outcomes = {}
    log = partial / LOG_FILE
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        with suppress(json.JSONDecodeError):
            done |= {int(row): media for row, media in json.loads(line).items()}
    return {row: media for row, media in done.items() if all(own[0] not in AGAIN for own in media.values())}


def _write_status(dataset: Dataset, partial: Path, done: Outcomes) -> None:
    """Write the status file, in the order of the samples."""
    columns = {
        modality: {name: [done[row][modality][part] for row in range(len(done))] for part, name in enumerate(FIELDS)}
        for modality in dataset.specs
    }
    sample_ids = [sample.sample_id for sample in dataset.samples]
    data_id = partial.name.removesuffix(PARTIAL)
    made_of = {"recipe": _digest(dataset.recipe()), "contents": _contents(dataset)}
    text = json.dumps({"data_id": data_id, "sample_ids": sample_ids, "media": columns, **made_of})
    (partial / STATUS_FILE).write_text(text, encoding="utf-8")


def _check_space(dataset: Dataset, partial: Path) -> None:
    """Check before decoding that the disk has room for what has no space yet."""
    need = disk_use(dataset) - sum(space_taken(partial, modality) for modality in dataset.specs)
    free = shutil.disk_usage(partial).free
    if need > free:
        raise CurateError(
            f"the cache needs {_size(need)} and {partial.parent} has {_size(free)} free",
            "choose another cache folder (CURATE_CACHE), or a smaller input size",
        )


def _row_bytes(dataset: Dataset) -> int:
    return sum(math.prod(spec.shape) * spec.dtype.itemsize for spec in dataset.specs.values())
