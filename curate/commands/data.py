"""`curate datasets` and `curate prepare`: what a data set holds, and its media decoded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.errors import counted
from curate.render import progress, readable_hint

from . import precedence
from .messages import (
    messages,
    print_findings,
    print_message,
    print_plan,
    print_rows,
    print_sample,
    print_text,
    warn_unusable,
)
from .options import (
    DATA,
    DB,
    Cache,
    Db,
    DropLeaks,
    Engine,
    MaxCache,
    Output,
    Quiet,
    Root,
    Settings,
    SplitVariant,
    Workers,
)

if TYPE_CHECKING:
    from curate.datasets import Dataset


def datasets(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A data set; all are listed when left out.")] = None,
    root: Root = None,
    split_variant: SplitVariant = None,
    drop_leaks: DropLeaks = None,
    settings: Settings = None,
    sample: Annotated[
        str | None, typer.Option(metavar="ID", help="What was done to this sample; written as PNG and WAV.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="With --sample: folder of the files.")] = Path(),
    form: Output = "table",
    quiet: Quiet = False,
) -> None:
    """List the data sets; of one, its layout and settings, or with --root what is there, or one sample."""
    from dataclasses import fields
    from typing import get_type_hints

    from curate.datasets import find, names

    message = messages(quiet)
    if name is None:
        print_rows(
            ["name", "needs --root", "what"],
            [[n, "yes" if find(n).layout else "no", find(n).summary] for n in names()],
            form,
        )
        return
    kind = find(name)
    hints = get_type_hints(kind.Options)
    knobs = [(f"data.{f.name}", readable_hint(hints[f.name]), f.default) for f in fields(kind.Options)]
    if kind.layout and root is None:
        message(f"{name}: {kind.summary}\nexpected under --root: {kind.layout}")
        print_rows(["setting", "type", "default"], knobs, form)
        return
    dataset = kind(root.resolve() if root else None, data_options(ctx, kind, name))
    if sample is not None:
        print_sample(dataset, sample, output, form, message)
        return
    print_findings(dataset, message)
    counts: dict[str, dict[str, int]] = {c: {"train": 0, "val": 0, "test": 0} for c in dataset.classes}
    for item in dataset.samples:
        if item.label:
            counts[item.label][item.split] += 1
    message(
        f"{dataset.name}: {counted(len(dataset.samples), 'sample')}, modalities {', '.join(dataset.modalities)}"
        + (f", {dataset.root}" if dataset.root else "")
    )
    print_rows(["class", "train", "val", "test"], [[c, *n.values()] for c, n in counts.items()], form)


def prepare(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Option(help="Data set name, see `curate datasets`.")],
    root: Root = None,
    db: Db = DB,
    split_variant: SplitVariant = None,
    drop_leaks: DropLeaks = None,
    settings: Settings = None,
    cache: Cache = None,
    max_cache_gb: MaxCache = None,
    workers: Workers = None,
    engine: Engine = "processes",
    quiet: Quiet = False,
) -> None:
    """Decode a data set's media once into the cache; what cannot be used is recorded with its reason."""
    from curate.datasets import checks, find
    from curate.datasets.cache import default_folder, describe_done
    from curate.datasets.cache import prepare as decode
    from curate.datasets.cluster import ENGINES
    from curate.store.store import Store

    kind = find(dataset)
    opened = kind(root.resolve() if root else None, data_options(ctx, kind, dataset))
    store, folder = Store(db, writes=True), cache or default_folder()
    processes = workers if workers is not None else (os.cpu_count() or 1) if opened.decodes else 0
    if not quiet:
        print_plan(opened, folder, processes, engine)
    try:
        with progress(quiet) as advance:
            made = decode(
                opened,
                folder,
                processes,
                lambda done, total: advance("decoding", done, total, "items"),
                retry=True,
                engine=ENGINES[engine],
            )
    except KeyboardInterrupt:
        print_message("interrupted: media decoded so far are kept; the same command goes on where it was")
        raise typer.Exit(130) from None
    store.samples.write(
        made.data_id, opened.samples, opened.classes, *made.summary(), made.media(), opened.all_sources()
    )
    if not quiet and (done := describe_done(made)):
        print_message(done)
    found = checks.check(opened, made.status)
    store.samples.write_findings(made.data_id, found)
    if found:
        print_message(checks.summary(found))
    if not quiet:
        print_text(f"{counted(len(made.sample_ids), 'item')}, {int(made.usable.sum())} usable, in {made.folder}")
    raise typer.Exit(3 if warn_unusable(store, made.data_id) else 0)


def data_options(ctx: typer.Context, kind: type[Dataset], name: str) -> Any:
    """The settings of a data set, typed as `name`, for a command that has no other section."""
    from curate.config import build
    from curate.datasets import own_name

    layers = [*precedence.layers(ctx, ["data"], data=DATA), own_name(name)]
    values = {k: v for layer in layers for k, v in layer.get("data", {}).items()}
    return build(kind.Options, values, "data")


COMMANDS = (datasets, prepare)
