"""Which samples are exported, and their columns: one SELECT on the sample table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.arguments import NONE, need
from curate.errors import CurateError, EmptySelectionError, counted
from curate.files.asking import condition
from curate.files.remote import Remote, located
from curate.predictions.part import shown
from curate.store import views
from curate.store.store import Store
from curate.types import Run

PARTS = {"file": "VARCHAR", "text": "VARCHAR", "start": "DOUBLE", "end": "DOUBLE"}
"""What is known of where a medium is: the file and, of a stretch, its begin and end in s; or the text itself."""
MEMBERS = "SELECT sample_id FROM selection_member WHERE name = $selection"
SOURCE = "json_extract_string(w.sources, '$.{m}.{part}')::{kind}"
FILE = "json_extract_string(w.sources, '$.{m}.file')"
PATH = f"CASE WHEN regexp_matches({FILE}, '^([A-Za-z][A-Za-z0-9+.-]*:)?[/\\\\]') THEN {FILE} ELSE $folder || {FILE} END"


class Written(NamedTuple):
    """What was written.

    Attributes:
        rows: their number.
        opened: how they are opened, a line of Python.
        notes: a sentence on each thing that was asked for and is not there.
    """

    rows: int
    opened: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """Which samples are exported.

    Attributes:
        run: a scored run; None is the newest of each data set, with its samples that were not scored.
        selection: only the members of a stored selection.
        where: only those that fulfil a condition on the columns of `samples`.
    """

    run: str | None = None
    selection: str | None = None
    where: str | None = None

    def __post_init__(self) -> None:
        for name in ("run", "selection", "where"):
            need(name, getattr(self, name), str, NONE)
        for name, value in (("run", self.run), ("selection", self.selection), ("where", self.where)):
            if value is not None and not value.strip():
                raise CurateError(f"{name} is empty, and would leave nothing out", f"give one, or leave {name} out")


@dataclass(frozen=True)
class Rows:
    """A SELECT of the wanted samples, ascending by data set and id.

    Attributes:
        sql, parameters: the query and its named parameters.
        run: the run whose classes and class probabilities the rows have; None where there are several data sets.
        media: the modalities of which some sample has a file, in columns `file_<modality>`.
    """

    sql: str
    parameters: dict[str, Any]
    run: Run | None
    media: tuple[str, ...]


def rows_of(store: Store, wanted: Wanted) -> Rows:
    """The wanted samples with everything that is known of them.

    Beside the columns of `samples`: `file_<modality>`, the path of each medium, or `text_<modality>`, where they are
    known; `start_<modality>` and `end_<modality>`, s, where samples are stretches of their files; `probs_<modality>`,
    class probabilities in the order of the run's classes. JSON columns are texts.

    Raises:
        CurateError: no such run or selection, or the condition is not valid.
        EmptySelectionError: nothing fulfils it.
    """
    with store.together():
        run = _run(store, wanted)
        extra = _extra(store, run) if run else Extra()
        with store.db.open() as con:
            plain = views.query_of(con, run.run_id) if run else "SELECT * FROM samples"
            base = views.query_of(con, run.run_id, extra.probabilities) if run else plain
        parameters: dict[str, Any] = {}
        if wanted.where:
            parameters["ids"] = _ids(store, plain, wanted.where)
            base = f"SELECT * FROM ({base}) WHERE sample_id IN (SELECT unnest($ids))"
        if wanted.selection:
            store.selections.run_of(wanted.selection)
            parameters["selection"] = wanted.selection
            base = f"SELECT * FROM ({base}) WHERE sample_id IN ({MEMBERS})"
        if parameters and not store.db.named_rows(f"SELECT 1 FROM ({base}) LIMIT 1", parameters):
            raise EmptySelectionError("no sample fulfils that; nothing was written", "leave --where or --selection out")
        if run and extra.media:
            parameters["folder"] = _folder(run)
    last = f"EXCLUDE ({', '.join(extra.probabilities)}) " if extra.probabilities else ""
    sql = (
        f"SELECT s.* {last}REPLACE (CAST(s.extra AS VARCHAR) AS extra, CAST(s.media AS VARCHAR) AS media)"
        f"{extra.columns} FROM ({base}) s{extra.joins} ORDER BY s.dataset, s.sample_id"
    )
    return Rows(sql, parameters, run, extra.media)


def _run(store: Store, wanted: Wanted) -> Run | None:
    """The run that is named, that of the selection, or the only one; None where there are several data sets."""
    if wanted.run:
        return store.runs.find(wanted.run, kind="score")
    if wanted.selection:
        return store.runs.find(store.selections.run_of(wanted.selection))
    newest = {run.dataset: run for run in reversed(store.runs.all(kind="score", status="done"))}
    data = store.rows("SELECT count(DISTINCT dataset) FROM samples")[0][0]
    return next(iter(newest.values())) if len(newest) == 1 == data else None


def _ids(store: Store, base: str, where: str) -> list[str]:
    """Ids of the samples that fulfil a condition, which a user has typed."""
    with store.stream(f"SELECT sample_id FROM ({base}) WHERE {condition(where)}") as (_, portions):
        return [str(i) for portion in portions for (i,) in portion]


def _folder(run: Run) -> str:
    """The folder from which relative files are named, with a slash at its end; '' where they are whole paths."""
    given = run.root or (run.config.get("predictions", {}).get("media"))
    if not given:
        return ""
    place = located(given).absolute()
    folder = not place.suffix if isinstance(place, Remote) else place.is_dir()
    return f"{place if folder else place.parent}/"


class Extra(NamedTuple):
    """What the rows have beside the columns of `samples`.

    Attributes:
        columns: SQL of further columns, each after a comma.
        media: the modalities with files.
        joins: what the columns need.
        probabilities: see `views.probabilities_of`.
    """

    columns: str = ""
    media: tuple[str, ...] = ()
    joins: str = ""
    probabilities: Mapping[str, str] = MappingProxyType({})


def _extra(store: Store, run: Run) -> Extra:
    """What is known of where the media of a run are, and its class probabilities."""
    parts = [(m, part, kind) for m in run.modalities for part, kind in PARTS.items()]
    sources = {f"{part}_{m}": SOURCE.format(m=m, part=part, kind=kind) for m, part, kind in parts}
    some = f"SELECT {', '.join(f'count({sql}) > 0' for sql in sources.values())} FROM sample w WHERE data_id = ?"
    there = [name for name, known in zip(sources, store.rows(some, [run.data_id])[0], strict=True) if known]
    media = tuple(m for m in run.modalities if f"file_{m}" in there)
    sources |= {f"file_{m}": PATH.format(m=m) for m in media}
    asked = "SELECT DISTINCT modality FROM class_probability WHERE run_id = ? ORDER BY 1"
    probabilities = views.probabilities_of(run, [m for (m,) in store.rows(asked, [run.run_id])])
    columns = [*(f"{sources[name]} AS {name}" for name in there), *(f"s.{name}" for name in probabilities)]
    joins = f" LEFT JOIN sample w ON w.data_id = '{run.data_id}' AND w.sample_id = s.sample_id" if there else ""
    return Extra("".join(f", {c}" for c in columns), media, joins, probabilities)


def note(what: str, ids: Sequence[str] | NDArray[np.str_]) -> tuple[str, ...]:
    """A sentence that counts and names the samples of which something is not there; () if there are none."""
    return (f"{what} {counted(len(ids), 'sample')}: {shown(ids)}",) if len(ids) else ()


def need_one(rows: Rows, target: str) -> Run:
    """The run of the rows.

    Raises:
        CurateError: they are of several data sets.
    """
    if rows.run is None:
        raise CurateError(
            f"{target} takes the scored samples of one data set, the table has several or none",
            "name a run: --run",
        )
    return rows.run
