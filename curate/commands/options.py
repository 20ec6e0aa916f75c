"""The options that several commands share, each defined once."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

import typer

from curate.config import LARGEST
from curate.errors import CurateError
from curate.files.copies import LIMIT
from curate.files.here import table_here
from curate.files.remote import Remote, located
from curate.files.writing import check_output, check_protocol
from curate.render import Format

from .messages import ENDINGS
from .typed import name_table


def place(value: Path | None) -> Path | None:
    """A path of this machine, or a remote one, as it was typed."""
    return None if value is None else located(value)


def places(values: list[Path] | None) -> list[Path] | None:
    """As `place`, of several."""
    return None if values is None else [located(value) for value in values]


def written_place(value: Path | None) -> Path | None:
    """As `place`, of what a command writes: not to the memory of its own process, which ends with it."""
    if (found := place(value)) is not None:
        check_protocol(found)
        if isinstance(found, Remote) and str(found).startswith("memory:"):
            raise CurateError(
                f"cannot write {found}: the memory of this command is gone when it ends",
                "name a file here, or in a bucket; in Python, `curate.open(...).export` writes there",
            )
    return found


def written_places(values: list[Path] | None) -> list[Path] | None:
    """As `written_place`, of several."""
    return None if values is None else [found for value in values if (found := written_place(value)) is not None]


def _rows_file(value: Path | None) -> Path | None:
    """The path of a file of rows, checked before the command begins."""
    return _output(value, ENDINGS)


def _file(value: Path | None) -> Path | None:
    """The path of a file that DuckDB writes, checked before the command begins."""
    if value is None:
        return None
    from curate.store.connection import COPIED

    return _output(value, COPIED)


def _output(value: Path | None, suffixes: Collection[str]) -> Path | None:
    if (found := written_place(value)) is not None:
        check_output(found, suffixes)
    return found


def _table(ctx: typer.Context, value: Path) -> Path:
    """The path of a table, which messages name from now on."""
    found = table_here(value)
    name_table(ctx, found)
    return found


def _keep_limit(ctx: typer.Context, value: float | None) -> float | None:
    """Hand the bound on to all processes of this command."""
    if value is not None:
        before = os.environ.get(LIMIT)
        os.environ[LIMIT] = str(value)
        ctx.call_on_close(lambda: os.environ.pop(LIMIT) if before is None else os.environ.update({LIMIT: before}))
    return value


Db = Annotated[Path, typer.Option("--db", envvar="CURATE_DB", callback=_table, help="The sample table, a DuckDB file.")]
Cache = Annotated[Path | None, typer.Option(envvar="CURATE_CACHE", callback=place, help="Folder of decoded media.")]
Root = Annotated[Path | None, typer.Option(envvar="CURATE_ROOT", callback=place, help="Where the data set lies.")]
MaxCache = Annotated[
    float | None,
    typer.Option(
        envvar=LIMIT, min=0, callback=_keep_limit, help="Most GB of copies of remote media on this machine; 10."
    ),
]
RunName = Annotated[str | None, typer.Option("--run", help="A run's name; the newest that fits when left out.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", envvar="CURATE_SET", metavar="SECTION.KEY=VALUE", help="Any setting, e.g. optim.lr=0.01; repeatable."
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(metavar="DIR", callback=place, help="Train heads on features computed beforehand; a file a modality."),
]
Device = Annotated[str, typer.Option(envvar="CURATE_DEVICE", help="auto, cpu or cuda:N.")]
Precision = Annotated[Literal["fp32", "bf16", "fp16"], typer.Option(envvar="CURATE_PRECISION", help="Of the encoders.")]
Track = Annotated[
    Literal["tensorboard", "mlflow", "wandb", "trackio"] | None,
    typer.Option(envvar="CURATE_TRACK", help="Send epochs and pictures to a tracker too."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        envvar="CURATE_WORKERS", min=0, max=1024, help="Processes that decode and load; left out, as the machine has."
    ),
]
Engine = Annotated[
    Literal["processes", "ray"],
    typer.Option(envvar="CURATE_ENGINE", help="What decodes: processes here, or the Ray cluster of RAY_ADDRESS."),
]
Processes = Annotated[
    int,
    typer.Option(
        envvar="CURATE_PROCESSES", min=1, max=1024, help="Processes that run the encoders; `torchrun` starts them too."
    ),
]
SplitVariant = Annotated[
    str | None, typer.Option(help="Which public splits, where a data set has several: data.split_variant.")
]
DropLeaks = Annotated[
    bool | None, typer.Option("--drop-leaks", help="Leave out training samples whose media are in a later split too.")
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", envvar="CURATE_QUIET", help="Errors and warnings only, and the rows or the path asked for."
    ),
]
Seed = Annotated[
    int, typer.Option(envvar="CURATE_SEED", min=0, max=LARGEST, help="Of weights, order and augmentation.")
]
Output = Annotated[Format, typer.Option("--format", help="How to print.")]
RowsFile = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", callback=_rows_file, help="Write the rows to a .csv, .tsv, .json, .jsonl or .md instead."
    ),
]
File = Annotated[
    Path | None,
    typer.Option("--output", "-o", callback=_file, help="Write to a .csv, .parquet or .txt (ids alone)."),
]

DB = Path("curate.duckdb")
DATA = {"split_variant": "split_variant", "drop_leaks": "drop_leaks"}
"""Options that stand for settings of a data set."""
