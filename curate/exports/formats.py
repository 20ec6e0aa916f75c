"""What is written for each tool that reads it: files, and a line on how to open them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import CurateError
from curate.files.remote import Remote
from curate.files.writing import check_output, check_protocol, ending, making, replacing
from curate.media.endings import MOVING, SOUND, VISUAL
from curate.store.store import Store
from curate.types import FUSED

from . import shards
from .rows import Rows, Wanted, Written, need_one, note, rows_of


def export(store: Store, path: Path, to: str | None = None, wanted: Wanted | None = None) -> Written:
    """Write samples for a target of `TARGETS`; left out, as the file's name ends. A file or a folder is complete
    or not there; a remote folder is written file by file.

    Raises:
        CurateError: the path does not fit the target, or something that it needs is not known.
    """
    name = to or path.suffix.removeprefix(".")
    if name not in TARGETS:
        raise CurateError(f"cannot write {ending(path)}", f"name a target, --to {', '.join(TARGETS)}")
    suffix, write = TARGETS[name]
    if suffix:
        check_output(path, (suffix,))
        return _opened(write(store, rows_of(store, wanted or Wanted()), path), path, path)
    _check_folder(path)
    with making(path) as fresh:
        done = write(store, rows_of(store, wanted or Wanted()), fresh)
    return _opened(done, fresh, path)


def _opened(done: Written, made: Path, path: Path) -> Written:
    """The same, opened where it is; what is on another machine is fetched first, as not every tool reads it there."""
    if not done.opened or not isinstance(path, Remote):
        return done._replace(opened=done.opened.replace(str(made), str(path)))
    protocol = str(path).partition("://")[0]
    fetched = f'fsspec.filesystem("{protocol}").get("{path}", "{path.name}", recursive=True); '
    return done._replace(opened=fetched + done.opened.replace(str(made), path.name))


def _plain(store: Store, rows: Rows, path: Path) -> Written:
    """All columns; without one run there are none of its classes."""
    notes: tuple[str, ...] = ()
    if rows.run is None and store.runs.all(kind="score", status="done"):
        notes = ("of several data sets: without paths of media and class probabilities; name a run for them: --run",)
    return Written(store.db.copy_to(rows.sql, rows.parameters, path), notes=notes)


def _hugging_face(store: Store, rows: Rows, path: Path) -> Written:
    """A folder with a Parquet file a split, which `datasets` finds by their names."""
    need_one(rows, "hf")
    splits = store.db.named_rows(f"SELECT DISTINCT split FROM ({rows.sql}) ORDER BY 1", rows.parameters)
    written = 0
    for (split,) in splits:
        of_split = f"SELECT * FROM ({rows.sql}) WHERE split = $split ORDER BY sample_id"
        file = path / f"{'validation' if split == 'val' else split}.parquet"
        written += store.db.copy_to(of_split, {**rows.parameters, "split": split}, file)
    return Written(written, f'datasets.load_dataset("{path}")')


def _cleanlab(store: Store, rows: Rows, path: Path) -> Written:
    """An NPZ: labels as positions in the sorted class names, as cleanlab wants them; probabilities in that order."""
    run = need_one(rows, "cleanlab")
    ids, probabilities = store.rounds.probabilities(run.run_id)
    asked = store.db.named_rows(f"SELECT sample_id, label_name, split FROM ({rows.sql})", rows.parameters)
    names = {i: name for i, name, _ in asked}
    kept = np.array([names.get(i) is not None for i in ids])
    order = np.argsort(np.array(run.classes))
    classes = np.array(run.classes)[order]
    notes: tuple[str, ...] = ()
    known = set(ids[kept].tolist())
    for split in sorted({split for *_, split in asked}):
        absent = [i for i, _, own in asked if own == split and i not in known]
        notes += note(f"left out, since no prediction of them is stored: of {split}", absent)
    content: dict[str, Any] = {
        "sample_ids": ids[kept],
        "classes": classes,
        "labels": np.searchsorted(classes, np.array([names[i] for i in ids[kept]], dtype=str)),
    }
    for m, probs in probabilities.items():
        content[f"pred_probs_{m}"] = probs[kept][:, order]
        notes += note(f"pred_probs_{m} is NaN, since they lack it, for", ids[kept][np.isnan(probs[kept]).any(axis=1)])
    with replacing(path) as fresh, fresh.open("wb") as file:
        np.savez_compressed(file, **content)
    shown = FUSED if FUSED in probabilities else next(iter(probabilities))
    opened = f'd = numpy.load("{path}"); labels, p = d["labels"], d["pred_probs_{shown}"]; '
    if np.isnan(content[f"pred_probs_{shown}"]).any():
        opened += "k = numpy.isfinite(p).all(1); labels, p = labels[k], p[k]; "
    return Written(int(kept.sum()), f"{opened}cleanlab.filter.find_label_issues(labels, p)", notes)


def _fiftyone(store: Store, rows: Rows, path: Path) -> Written:
    """A CSV with a row for each picture or video, whose path is in the column `filepath`; the line keeps numbers."""
    run = need_one(rows, "fiftyone")
    medium = _medium(store, rows, VISUAL)
    if medium is None:
        media = "score saved predictions with --media clips.csv; or " if "predictions" in run.config else ""
        raise CurateError(
            "FiftyOne shows pictures and videos, and no file of one is known of these samples",
            f"{media}use --to spotlight, which plays sound and shows texts",
        )
    sql = f"SELECT file_{medium} AS filepath, * FROM ({rows.sql})"
    written = store.db.copy_to(f"{sql} WHERE filepath IS NOT NULL", rows.parameters, path)
    absent = store.db.named_rows(f"SELECT sample_id FROM ({sql}) WHERE filepath IS NULL", rows.parameters)
    kinds = f'{{c: {{"f": float, "i": int}}.get(t.kind) for c, t in pandas.read_csv("{path}").dtypes.items()}}'
    opened = f'fiftyone.Dataset.from_dir(labels_path="{path}", dataset_type=fiftyone.types.CSVDataset, fields={kinds})'
    return Written(written, opened, note(f"left out, without a file of {medium}:", [i for (i,) in absent]))


def _spotlight(store: Store, rows: Rows, path: Path) -> Written:
    """Parquet; the line names the types that Spotlight would take for others: lists of two numbers are its windows,
    and it takes JSON for sequences, of which it then shows nothing."""
    run = need_one(rows, "spotlight")
    named = "SELECT * REPLACE (array_to_string(selections, ', ') AS selections)"
    written = store.db.copy_to(f"{named} FROM ({rows.sql}) ORDER BY sample_id", rows.parameters, path)
    kinds = {f"file_{m}": _kind(store, rows, m) for m in rows.media}
    kinds |= dict.fromkeys([f"probs_{m}" for m in store.rounds.probabilities(run.run_id)[1]], "Embedding")
    types = ", ".join(
        [f'"{c}": spotlight.{kind}' for c, kind in kinds.items() if kind] + ['"extra": str', '"media": str']
    )
    return Written(written, f'spotlight.show("{path}", dtype={{{types}}})')


def _webdataset(store: Store, rows: Rows, path: Path) -> Written:
    """A folder with tar files of decoded media, a split or more, see `shards.write`."""
    need_one(rows, "webdataset")
    return shards.write(store, rows, path)


def _medium(store: Store, rows: Rows, suffixes: tuple[str, ...]) -> str | None:
    """The first modality whose files have one of these suffixes."""
    return next((m for m in rows.media if _suffix(store, rows, m) in suffixes), None)


def _kind(store: Store, rows: Rows, modality: str) -> str:
    suffix = _suffix(store, rows, modality)
    return "Video" if suffix in MOVING else "Image" if suffix in VISUAL else "Audio" if suffix in SOUND else ""


def _suffix(store: Store, rows: Rows, modality: str) -> str:
    sql = f"SELECT file_{modality} FROM ({rows.sql}) WHERE file_{modality} IS NOT NULL LIMIT 1"
    found = store.db.named_rows(sql, rows.parameters)
    return Path(found[0][0]).suffix.lower() if found else ""


def _check_folder(path: Path) -> None:
    """Check that there is an empty folder, or none in a place where one can be made."""
    check_protocol(path)
    if not path.exists():
        check_output(path)
    elif not path.is_dir() or any(path.iterdir()):
        raise CurateError(f"{path} is there already, and not an empty folder", "name a new one")


TARGETS: Mapping[str, tuple[str, Callable[[Store, Rows, Path], Written]]] = {
    "csv": (".csv", _plain),
    "parquet": (".parquet", _plain),
    "jsonl": (".jsonl", _plain),
    "hf": ("", _hugging_face),
    "cleanlab": (".npz", _cleanlab),
    "fiftyone": (".csv", _fiftyone),
    "spotlight": (".parquet", _spotlight),
    "webdataset": ("", _webdataset),
}
"""{what `--to` names: (suffix of its file; empty = a folder, what writes it)}."""
