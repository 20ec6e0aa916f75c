"""Predictions that a training recorded: Parquet files of one folder, one or more a process and epoch.

A file is named `epoch-<number>-<split>-<process>of<processes>-<part>.parquet` and has the columns `sample_id`, `label`
(class name), `split`, `epoch`, and a log-probability `<modality>.<class>` for each modality and class. An epoch counts
once all its processes have finished it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError

from .writing import replacing

NAME = re.compile(r"epoch-(\d+)-(train|val|test)-(\d+)of(\d+)-(\d+)\.parquet")
KEYS = ("sample_id", "label", "split", "epoch")
CLOSE = 1e-3
"""How far log-probabilities of one sample may lie apart when two processes predicted it."""


def shard_name(epoch: int, split: str, process: int, processes: int, part: int) -> str:
    """The name of a file, see `NAME`."""
    return f"epoch-{epoch:06}-{split}-{process}of{processes}-{part:04}.parquet"


def shards_of(folder: Path) -> list[Path]:
    """The files of a folder, ascending; [] where it holds none."""
    return sorted(path for path in folder.glob("epoch-*.parquet") if NAME.fullmatch(path.name))


def write_shard(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write column arrays as one Parquet file, which appears complete or not at all."""
    import duckdb

    with replacing(path, message=False) as fresh, duckdb.connect() as con:
        arrays = {k: v.astype(object) if v.dtype.kind == "U" else np.ascontiguousarray(v) for k, v in columns.items()}
        con.register("incoming", arrays)
        con.execute("COPY (FROM incoming) TO $path (FORMAT parquet, COMPRESSION zstd)", {"path": str(fresh)})


def read_shards(folder: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The columns of all complete epochs, ascending by epoch and id, and what is to be said of the others.

    A sample that several processes recorded in one epoch, as a sampler that pads has it, counts once.

    Raises:
        CurateError: there is no complete epoch, files have other columns, a sample has two labels or two predictions.
    """
    complete, notes = _complete(shards_of(folder))
    if not complete:
        raise CurateError(
            f"no complete epoch in {folder}", "record one to its end: `with recorder.epoch(): ...` in every process"
        )
    columns = _read(folder, complete)
    twice = (columns["sample_id"][1:] == columns["sample_id"][:-1]) & (columns["epoch"][1:] == columns["epoch"][:-1])
    if twice.any():
        _refuse_contradictions(columns, np.flatnonzero(twice))
        notes.append(f"{int(twice.sum())} rows were recorded twice and count once")
        columns = {name: values[np.concatenate([[True], ~twice])] for name, values in columns.items()}
    return columns, notes


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


def _read(folder: Path, files: Sequence[Path]) -> dict[str, NDArray[Any]]:
    import duckdb

    with duckdb.connect() as con:
        names: list[tuple[str, ...]] = []
        for path in files:
            try:
                con.execute("SELECT * FROM read_parquet($path) LIMIT 0", {"path": str(path)})
            except duckdb.Error as error:
                raise CurateError(f"{path} cannot be read: {str(error).splitlines()[0]}", "record it again") from None
            names.append(tuple(column[0] for column in con.description or ()))
            if names[-1] != names[0]:
                raise CurateError(
                    f"{path.name} has other columns than {files[0].name}: {', '.join(names[-1][4:8])}, ...",
                    "all processes and epochs record the same modalities and classes; clear the folder between runs",
                )
        ordered = "SELECT * FROM read_parquet($paths) ORDER BY epoch, sample_id"
        found = con.execute(ordered, {"paths": [str(path) for path in files]}).fetchnumpy()
    if names[0][:4] != KEYS:
        raise CurateError(f"{folder} holds no recorded predictions", f"expected the columns {', '.join(KEYS)}")
    texts = {k: np.asarray(found[k], dtype=np.str_) for k in KEYS[:3]}
    numbers = {
        k: np.asarray(v, dtype=np.int64 if k == "epoch" else np.float64) for k, v in found.items() if k not in texts
    }
    return {**texts, **numbers}


def _refuse_contradictions(columns: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> None:
    """Refuse two rows of one sample and epoch that differ."""
    for name, values in columns.items():
        first, second = values[rows], values[rows + 1]
        same = first == second if values.dtype.kind == "U" else np.isclose(first, second, rtol=CLOSE, atol=CLOSE)
        if not same.all():
            row = int(rows[np.flatnonzero(~same)[0]])
            raise CurateError(
                f"sample {columns['sample_id'][row]!r} was recorded twice in epoch {columns['epoch'][row]}, with "
                f"another {name}: {values[row]} and {values[row + 1]}",
                "give each sample one id, and record in eval mode, or before the weights change",
            )
