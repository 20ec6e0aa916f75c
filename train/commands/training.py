"""`curate train` and `curate evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from curate.commands import precedence
from curate.commands.messages import messages, print_metrics
from curate.commands.options import (
    DB,
    Cache,
    Db,
    Device,
    Output,
    Precision,
    Processes,
    Quiet,
    RowsFile,
    RunName,
    Settings,
    Track,
    Workers,
)
from curate.config import LARGEST, Layer
from curate.errors import CurateError, unknown_name

from .opening import need_model, opened, resumable, unfinished


def train(
    ctx: typer.Context,
    method: Annotated[str, typer.Option(help="Method name, see `curate methods`.")] = "",
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of the method.")] = None,
    start_at: Annotated[
        Literal["auto", "warm", "scratch"] | None, typer.Option("--from", help="Starting weights.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="For subset: keep p_balanced >= this.")] = None,
    selection: Annotated[str | None, typer.Option(help="For subset: a stored selection.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the newest unfinished training.")] = False,
    run: RunName = None,
    db: Db = DB,
    seed: Annotated[
        int | None, typer.Option(envvar="CURATE_SEED", min=0, max=LARGEST, help="Default: the scored run's.")
    ] = None,
    settings: Settings = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    track: Track = None,
    workers: Workers = None,
    processes: Processes = 1,
    cache: Cache = None,
    quiet: Quiet = False,
    output: RowsFile = None,
    form: Output = "table",
) -> None:
    """Train a method from a scored run, choose the epoch by validation, measure the test split once."""
    from curate.train.methods import catalog

    if not method and not resume:
        raise CurateError("train needs --method NAME", f"known: {', '.join(catalog.names())}")
    if method and method not in catalog.names():
        raise unknown_name("method", method, catalog.names())
    from curate.store.store import Store

    store = Store(db, writes=True)
    begun = None
    if resume:
        precedence.refuse_beside_resume(ctx, "epochs", "start_at", "threshold", "selection", "seed", "settings")
        begun = unfinished(store, "train", run, method=method)
    else:
        parent = store.runs.find(run, kind="score", status=None if run else "done")
        need_model(parent)
    with opened(ctx) as session, resumable(ctx, store, begun):
        from curate.train.stages.training import resume_train
        from curate.train.stages.training import train as train_method

        if begun:
            done = resume_train(session, begun)
        else:
            done = train_method(session, parent, method, _layers(ctx, method), parent.seed if seed is None else seed)
    best, tested = store.epochs.chosen(done.run_id), store.epochs.test_metrics(done.run_id)
    where = "test split" if tested else "there is no test split; validation, which chose the epoch"
    messages(quiet)(f"{done.run_id}: {done.method} from {done.parent}, best epoch {best} by validation; {where}:")
    print_metrics(tested or store.epochs.metrics(done.run_id, "val", best), form, output)


def _layers(ctx: typer.Context, method: str) -> list[Layer]:
    """Settings in rising precedence.

    Raises:
        CurateError: two options contradict each other.
    """
    threshold, selection = (ctx.params[name] for name in ("threshold", "selection"))
    if all(precedence.is_from(ctx, "COMMANDLINE", name) for name in ("threshold", "selection")):
        raise precedence.contradiction(f"--threshold {threshold:g}", f"--selection {selection}")
    return precedence.layers(
        ctx,
        ("model", "optim", "train", "method"),
        method,
        train={"epochs": "epochs", "start": "start_at"},
        method={"threshold": "threshold", "selection": "selection"},
    )


def evaluate(
    ctx: typer.Context,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which split.")] = "test",
    weighting: Annotated[
        Literal["none", "usability"], typer.Option(help="Of the modalities in the fusion; with its controls.")
    ] = "none",
    features: Annotated[
        Path | None, typer.Option(help="A folder for the encoders' features, and maps of them by t-SNE.")
    ] = None,
    run: RunName = None,
    db: Db = DB,
    device: Device = "auto",
    precision: Precision = "fp32",
    workers: Workers = None,
    processes: Processes = 1,
    cache: Cache = None,
    quiet: Quiet = False,
    output: RowsFile = None,
    form: Output = "table",
) -> None:
    """Accuracy, macro-F1 and mean average precision of a run, per modality and fused."""
    from curate.store.store import Store

    found = Store(db).runs.find(run, status=None if run else "done")
    need_model(found)
    with opened(ctx) as session:
        from curate.train.stages import evaluate as evaluation

        measured = evaluation.evaluate if weighting == "none" else evaluation.evaluate_weighted
        values = measured(session, found, split)
        written = evaluation.write_features(session, found, split, features) if features else []
    for path in written:
        messages(quiet)(f"wrote {path}")
    how = "" if weighting == "none" else "; the fusion by the weight of its modalities, and the weight's controls"
    messages(quiet)(f"{found.run_id}: split {split}{how}")
    print_metrics(values, form, output)


COMMANDS = (train, evaluate)
