"""`curate selfcheck`: what would be found on a data set, measured by faults planted in a copy of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.commands import precedence
from curate.commands.messages import messages, percent, print_rows
from curate.commands.options import (
    DATA,
    Cache,
    Device,
    DropLeaks,
    Features,
    Output,
    Precision,
    Quiet,
    Root,
    RowsFile,
    Seed,
    Settings,
    SplitVariant,
    Workers,
)
from curate.errors import CurateError

from .opening import opened

if TYPE_CHECKING:
    from curate.render import Format
    from curate.scores.planted import Found, Share


def selfcheck(
    ctx: typer.Context,
    dataset: Annotated[
        str, typer.Option(help="Data set name, see `curate datasets`; of a --root FILE it is manifest.")
    ] = "",
    root: Root = None,
    features: Features = None,
    kinds: Annotated[str, typer.Option(help="Kinds of fault, with commas; left out, all that apply.")] = "",
    share: Annotated[float, typer.Option(help="Of the training samples with each kind, up to 0.1.")] = 0.05,
    samples: Annotated[int, typer.Option(min=40, help="Training samples to plant faults in, at most.")] = 2000,
    epochs: Annotated[int | None, typer.Option(min=1, help="Warm-up epochs; left out, a short warm-up.")] = None,
    seed: Seed = 0,
    split_variant: SplitVariant = None,
    drop_leaks: DropLeaks = None,
    settings: Settings = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    workers: Workers = None,
    cache: Cache = None,
    quiet: Quiet = False,
    output: RowsFile = None,
    form: Output = "table",
) -> None:
    """Plant faults in a copy of a data set, score it, and print by kind what would be found."""
    name, place = _named(ctx, dataset, root, features)
    with opened(ctx, Path("unused.duckdb")) as session:
        from curate.train.stages.selfcheck import MOST, Check
        from curate.train.stages.selfcheck import selfcheck as check

        layers = precedence.layers(
            ctx, ("data", "model", "optim", "score"), None, score={"epochs": "epochs"}, data=DATA
        )
        wanted = tuple(k.strip() for k in kinds.split(",") if k.strip())
        plan = Check(share, wanted, {**MOST, "train": samples})
        results = check(session, name, place, layers, seed, plan)
    people = output is None and form in ("table", "markdown")
    print_rows(*(_cells(results, form) if people else _records(results)), form, output)
    messages(quiet)(
        "intervals of 95 %; claimed: by a probability above 0.5; right = claims that are of planted samples: a fault "
        "that the data have of their own counts against it; first = among as many as are planted, and AUROC: ranked by "
        "usability, wrong labels and clips by how much they are contradicted, claimed or not; a longer warm-up, and "
        "folds, can find more"
    )


def _named(ctx: typer.Context, dataset: str, root: Path | None, features: Path | None) -> tuple[str, Path | None]:
    """The data set, and its folder or file."""
    if features:
        precedence.refuse_beside_features(ctx)
        return "features", features
    if not dataset and root is not None and root.is_file():
        return "manifest", root
    if not dataset and root is not None and not root.exists():
        raise CurateError(f"no file at {root}", "check the path; a folder needs --dataset NAME too")
    if not dataset:
        raise CurateError("selfcheck needs --dataset NAME, or --root FILE", "e.g. curate selfcheck --root clips.csv")
    return dataset, root


def _cells(results: list[Found], form: Format) -> tuple[list[str], list[list[Any]]]:
    """Rows for people."""

    def shown(share: Share) -> str:
        if share.value is None:
            return "no claim"
        low, high = share.interval
        return f"{percent(share.value, form)} ({low:.0%} to {high:.0%})"

    head = ["fault", "in", "planted", "claimed", "right", "first", "AUROC", "in words"]
    return head, [
        [
            r.kind,
            r.modality or "labels",
            r.first.of,
            shown(r.claimed),
            "" if r.harmless else shown(r.right),
            shown(r.first),
            f"{r.auroc:.2f} ({r.low:.2f} to {r.high:.2f})",
            r.words,
        ]
        for r in results
    ]


def _records(results: list[Found]) -> tuple[list[str], list[list[Any]]]:
    """Rows for programs: every number by itself."""
    head = ["kind", "modality", "harmless", "planted"]
    head += [f"{what}{end}" for what in ("claimed", "right", "first", "auroc") for end in ("", "_low", "_high")]
    rows = []
    for r in results:
        shares = [v for s in (r.claimed, r.right, r.first) for v in (s.value, *s.interval)]
        rows.append([r.kind, r.modality, r.harmless, r.first.of, *shares, r.auroc, r.low, r.high, r.words])
    return [*head, "words"], rows


COMMANDS = (selfcheck,)
