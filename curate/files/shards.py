"""Predictions that a training recorded: Parquet files of one folder, one or more a process and epoch.

A file is named `epoch-<number>-<split>-<process>of<processes>-<part>.parquet` and has the columns `sample_id`, `label`
(class name), `split`, `epoch`, a log-probability `<modality>.<class>` for each modality and class, and, where features
were recorded, a list of D numbers `deep:<modality>` or `early:<modality>`. An epoch counts once all its processes have
finished it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError, counted

from .asking import quoted
from .writing import replacing

if TYPE_CHECKING:
    import duckdb

NAME = re.compile(r"epoch-(\d+)-(train|val|test)-(\d+)of(\d+)-(\d+)\.parquet")
KEYS = ("sample_id", "label", "split", "epoch")
VECTOR = re.compile(r"(deep|early):(\w+)")
"""The name of a column of features, and what they are: those of the last layers, or statistics of the first."""
MOVING = "moving"
"""Key in a file's metadata: the weights changed while the epoch was recorded."""
CLOSE = 1e-3
"""How far log-probabilities of one sample may lie apart when two processes predicted it."""


def shard_name(epoch: int, split: str, process: int, processes: int, part: int) -> str:
    """The name of a file, see `NAME`."""
    return f"epoch-{epoch:06}-{split}-{process}of{processes}-{part:04}.parquet"


def shards_of(folder: Path) -> list[Path]:
    """The files of a folder, ascending; [] where it holds none."""
    return sorted(path for path in folder.glob("epoch-*.parquet") if NAME.fullmatch(path.name))


def write_shard(
    path: Path,
    columns: Mapping[str, NDArray[Any]],
    vectors: Mapping[str, NDArray[np.float32]] | None = None,
    moving: bool = False,
) -> None:
    """Write column arrays as one Parquet file, which appears complete or not at all.

    Args:
        vectors: {name: (N, D)}, each a column of lists of D numbers.
        moving: the weights changed while the epoch was recorded.
    """
    import duckdb

    arrays = {k: v.astype(object) if v.dtype.kind == "U" else np.ascontiguousarray(v) for k, v in columns.items()}
    chosen = [quoted(name) for name in columns]
    for name, values in (vectors or {}).items():
        parts = {f"{name}#{d}": np.ascontiguousarray(x) for d, x in enumerate(values.T)}
        chosen.append(f"[{', '.join(map(quoted, parts))}] AS {quoted(name)}")
        arrays |= parts
    with replacing(path, message=False) as fresh, duckdb.connect() as con:
        con.register("incoming", arrays)
        options = "FORMAT parquet, COMPRESSION zstd" + f", KV_METADATA {{{MOVING}: 'true'}}" * moving
        con.execute(f"COPY (SELECT {', '.join(chosen)} FROM incoming) TO $path ({options})", {"path": str(fresh)})


def read_shards(folder: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The columns of all complete epochs, ascending by epoch and id, and what is to be said of the others.

    A sample that several processes recorded in one epoch, as a sampler that pads has it, counts once: the row of the
    first process.

    Raises:
        CurateError: there is no complete epoch, files have other columns, a sample has two labels, or two predictions
            in an epoch in which the weights did not move.
    """
    complete, notes = _complete(shards_of(folder))
    if not complete:
        raise CurateError(
            f"no complete epoch in {folder}", "record one to its end: `with recorder.epoch(): ...` in every process"
        )
    columns, moving = _read(folder, complete)
    twice = (columns["sample_id"][1:] == columns["sample_id"][:-1]) & (columns["epoch"][1:] == columns["epoch"][:-1])
    if twice.any():
        rows = np.flatnonzero(twice)
        _refuse_contradictions({"label": columns["label"]}, columns, rows)
        _refuse_contradictions(columns, columns, rows[~np.isin(columns["epoch"][rows], moving)])
        notes.append(
            f"{counted(int(twice.sum()), 'row was recorded twice and counts', 'rows were recorded twice and count')} "
            "once"
        )
        columns = {name: values[np.concatenate([[True], ~twice])] for name, values in columns.items()}
    return columns, notes


def newest_epochs(folder: Path) -> dict[str, int]:
    """{split: number of the newest epoch that all processes have finished} of what was recorded in a folder."""
    parts = [NAME.fullmatch(path.name) for path in _complete(shards_of(folder))[0]]
    return {found[2]: int(found[1]) for found in parts if found}  # ascending, so the last of a split is kept


def not_in_both(folder: Path, split: str, number: int) -> list[str]:
    """Ids that either the first complete epoch of a split or the one of this number lacks, ascending.

    [] also where a file cannot be read: that is said when they are scored.
    """
    import duckdb

    files: dict[int, list[str]] = {}
    for path in _complete(shards_of(folder))[0]:
        found = NAME.fullmatch(path.name)
        if found and found[2] == split:
            files.setdefault(int(found[1]), []).append(str(path))
    if number not in files or number == min(files):
        return []
    given = {"first": files[min(files)], "own": files[number]}
    x, y = (f"(SELECT DISTINCT sample_id FROM read_parquet(${name}))" for name in given)
    lacking = "x.sample_id IS NULL OR y.sample_id IS NULL"
    asked = f"SELECT sample_id FROM {x} x FULL JOIN {y} y USING (sample_id) WHERE {lacking} ORDER BY 1"
    with suppress(duckdb.Error), duckdb.connect() as con:
        return [str(name) for (name,) in con.execute(asked, given).fetchall()]
    return []


def recorded_classes(folder: Path) -> tuple[str, ...]:
    """The class names of the newest complete epoch, in the order of its columns; () where there is none.

    Raises:
        CurateError: its file cannot be read.
    """
    import duckdb

    complete = _complete(shards_of(folder))[0]
    if not complete:
        return ()
    with duckdb.connect() as con:
        names = _columns(con, complete[-1])
    return tuple(dict.fromkeys(n.partition(".")[2] for n in names if n not in KEYS and not VECTOR.fullmatch(n)))


def _complete(files: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """The files of epochs that every process has finished, and a note on the others."""
    found: dict[tuple[int, str], dict[tuple[int, int], list[Path]]] = {}
    for path in files:
        parts = NAME.fullmatch(path.name)
        assert parts is not None
        epoch, split, process, processes = int(parts[1]), parts[2], int(parts[3]), int(parts[4])
        found.setdefault((epoch, split), {}).setdefault((process, processes), []).append(path)
    kept, left = [], []
    for (epoch, split), of_process in sorted(found.items()):
        (_, processes) = next(iter(of_process))
        if {(i, processes) for i in range(processes)} == set(of_process):
            kept += [path for paths in of_process.values() for path in paths]
        else:
            left.append(f"{epoch} of {split}")
    note = f"not all processes have finished epoch {', '.join(left)}: left out"
    return sorted(kept), [note] if left else []


def _read(folder: Path, files: Sequence[Path]) -> tuple[dict[str, NDArray[Any]], list[int]]:
    """The columns, and the epochs of training in which the weights moved.

    Split and epoch are those of the files' names; no column is turned into Python objects that DuckDB gives as numbers.
    """
    import duckdb

    with duckdb.connect() as con:
        columns: list[tuple[str, ...]] = []
        for path in files:
            columns.append(tuple(name for name in _columns(con, path) if not VECTOR.fullmatch(name)))
            if columns[-1] != columns[0]:
                raise CurateError(
                    f"{path.name} has other columns than {files[0].name}: {', '.join(columns[-1][4:8])}, ...",
                    "all processes and epochs record the same modalities and classes; clear the folder between runs",
                )
        if columns[0][:4] != KEYS:
            raise CurateError(f"{folder} holds no recorded predictions", f"expected the columns {', '.join(KEYS)}")
        given = {"paths": [str(path) for path in files]}
        con.execute("CREATE TEMP TABLE labels AS SELECT DISTINCT label FROM read_parquet($paths)", given)
        con.execute("CREATE TYPE names AS ENUM (SELECT label FROM labels ORDER BY label)")
        classes = np.array([name for (name,) in con.execute("FROM labels ORDER BY label").fetchall()], dtype=np.str_)
        names = ", ".join(quoted(name) for name in columns[0][4:])
        wanted = f"sample_id, enum_code(label::names) AS label, {names}"
        found = con.execute(f"SELECT {wanted} FROM read_parquet($paths)", given).fetchnumpy()
        counted = "SELECT file_name, num_rows FROM parquet_file_metadata($paths)"
        rows = dict(con.execute(counted, given).fetchall())
        marked = "SELECT file_name FROM parquet_kv_metadata($paths) WHERE key = $key"
        moved = con.execute(marked, {**given, "key": MOVING.encode()}).fetchall()
        of_file = [(int(path.name.split("-")[1]), path.name.split("-")[2], rows[str(path)]) for path in files]
        epochs = np.repeat([epoch for epoch, _, _ in of_file], [count for *_, count in of_file])
        ids = found.pop("sample_id")
        order = _order(con, epochs, ids)
    splits = np.repeat([split for _, split, _ in of_file], [count for *_, count in of_file])
    texts = {"sample_id": np.asarray(ids, dtype=np.str_), "label": classes[found.pop("label")], "split": splits}
    every = {**texts, "epoch": epochs, **{name: np.asarray(x) for name, x in found.items()}}
    moving = sorted({int(Path(name).name.split("-")[1]) for (name,) in moved})
    return {name: x if order is None else x[order] for name, x in every.items()}, moving


def _order(con: duckdb.DuckDBPyConnection, epochs: NDArray[np.int64], ids: NDArray[Any]) -> NDArray[np.int64] | None:
    """Rows ascending by epoch, id and place; None where they are already."""
    within = np.asarray(epochs[1:] == epochs[:-1])
    if (np.asarray(ids[1:] >= ids[:-1], dtype=np.bool_) | ~within).all():
        return None
    con.register("keys", {"epoch": epochs, "sample_id": ids, "place": np.arange(len(ids))})
    found = con.execute("SELECT place FROM keys ORDER BY epoch, sample_id, place").fetchnumpy()
    places: NDArray[np.int64] = found["place"]
    return places


def _columns(con: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, ...]:
    """The names of a file's columns."""
    import duckdb

    try:
        con.execute("SELECT * FROM read_parquet($path) LIMIT 0", {"path": str(path)})
    except duckdb.Error as error:
        raise CurateError(f"{path} cannot be read: {str(error).splitlines()[0]}", "record it again") from None
    return tuple(column[0] for column in con.description or ())


@dataclass(frozen=True)
class Features:
    """Features of samples of one epoch.

    Attributes:
        kind: `deep` or `early`, see `VECTOR`.
        sample_ids: (N,) ascending.
        values: {modality: (N, D) float32}.
    """

    kind: str
    sample_ids: NDArray[np.str_]
    values: Mapping[str, NDArray[np.float32]]


def read_features(folder: Path, split: str, only: NDArray[np.str_] | None = None) -> Features | None:
    """The features of the newest complete epoch of a split; None if any of its files has none.

    Args:
        only: ids of the samples that are read, others are left in the files; None = all.

    Raises:
        CurateError: files of the epoch have features of other modalities, kinds or lengths.
    """
    import duckdb

    of_split = [path for path in _complete(shards_of(folder))[0] if f"-{split}-" in path.name]
    files = [path for path in of_split if path.name.split("-")[1] == of_split[-1].name.split("-")[1]]
    with duckdb.connect() as con:
        names = {tuple(name for name in _columns(con, path) if VECTOR.fullmatch(name)) for path in files}
        if not names or () in names:
            return None
        if len(names) > 1 or len({name.partition(":")[0] for of_file in names for name in of_file}) > 1:
            found = " and ".join(", ".join(of_file) for of_file in sorted(names))
            raise CurateError(
                f"files of one epoch of {split} have other features: {found}",
                "record features of one kind, of the same modalities, in every process",
            )
        paths = {"paths": [str(path) for path in files]}
        given, rows = dict[str, Any](paths), "read_parquet($paths)"
        if only is not None:
            given["only"] = only.tolist()
            rows = f"(SELECT * FROM {rows} WHERE sample_id IN (SELECT unnest($only)) ORDER BY sample_id)"
        ids = con.execute(f"SELECT sample_id FROM {rows}", given).fetchnumpy()["sample_id"]
        known, first = np.unique(np.asarray(ids, dtype=np.str_), return_index=True)
        values = {}
        for name in next(iter(names)):
            flat = con.execute(f"SELECT unnest({quoted(name)}) AS x FROM {rows}", given).fetchnumpy()["x"]
            sizes = con.execute(f"SELECT DISTINCT len({quoted(name)}) FROM read_parquet($paths)", paths).fetchall()
            if len(sizes) > 1:
                raise CurateError(f"{name} has {sizes[0][0]} and {sizes[1][0]} numbers in {folder}", "record it again")
            values[name.partition(":")[2]] = np.asarray(flat, dtype=np.float32).reshape(len(ids), -1)[first]
        return Features(next(iter(next(iter(names)))).partition(":")[0], known, values)


def _refuse_contradictions(
    compared: Mapping[str, NDArray[Any]], columns: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]
) -> None:
    """Refuse two rows of one sample and epoch that differ in the columns to compare."""
    for name, values in compared.items():
        first, second = values[rows], values[rows + 1]
        same = first == second if values.dtype.kind == "U" else np.isclose(first, second, rtol=CLOSE, atol=CLOSE)
        if not same.all():
            row = int(rows[np.flatnonzero(~same)[0]])
            raise CurateError(
                f"sample {str(columns['sample_id'][row])!r} was recorded twice in epoch {columns['epoch'][row]}, with "
                f"another {name}: {values[row]} and {values[row + 1]}",
                "give each sample one id; record in eval mode, or say epoch(moving=True) of predictions while training",
            )
