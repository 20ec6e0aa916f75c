"""`curate score`: finds out which kind of scoring was asked for; each kind has one function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from curate.commands import precedence
from curate.commands.messages import messages, print_growth, print_score, print_text, warn_unusable
from curate.commands.options import (
    DATA,
    DB,
    Cache,
    Db,
    Device,
    DropLeaks,
    Engine,
    Features,
    MaxCache,
    Precision,
    Processes,
    Quiet,
    Root,
    Seed,
    Settings,
    SplitVariant,
    Track,
    Workers,
    place,
)
from curate.config import Layer
from curate.errors import CurateError

from .opening import need_model, opened, resumable, unfinished

if TYPE_CHECKING:
    from curate.store.store import Store
    from curate.types import Run

MIXTURE = ("gap", "components", "family")
"""Options that set the settings of the same names."""
FITTED = (*MIXTURE, "paper")
"""Options that choose the mixture."""


def score(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Option(help="Data set name, see `curate datasets`.")] = "",
    root: Root = None,
    db: Db = DB,
    gap: Annotated[
        Literal["prob", "kl", "log_prob", "log_odds"] | None,
        typer.Option(help="Modality gap: of probability, KL, log-probability or log-odds."),
    ] = None,
    components: Annotated[
        int | None, typer.Option(min=2, max=3, help="2, or 3: both tails and a balanced middle.")
    ] = None,
    family: Annotated[
        Literal["two-sided", "gaussian", "student-t"] | None,
        typer.Option(help="Mixture: ours, a peak at zero with two tails, or the paper's components."),
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="The paper's own mixture: two Gaussians, the larger one balanced.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(min=1, help="Warm-up epochs.")] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Score out of fold; as many more warm-ups.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Score with these weights; no warm-up.")] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(metavar="[MODALITY=]FILE", help="Score saved predictions, no model; .parquet .csv .npz .jsonl."),
    ] = None,
    embeddings: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="With --predictions: .npz of each sample's embeddings, to rank usability."),
    ] = None,
    media: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", callback=place, help="With --predictions: a manifest of their media, to look at in `view`."
        ),
    ] = None,
    features: Features = None,
    refit: Annotated[
        str | None, typer.Option(metavar="RUN", help="Fit another mixture to what this scored run kept; no warm-up.")
    ] = None,
    only_missing: Annotated[
        bool, typer.Option("--only-missing", help="Only samples without a score, as the newest scored run did.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --predictions: say what the files hold; compute and store nothing.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the newest unfinished scoring.")] = False,
    run: Annotated[str | None, typer.Option("--run", help="With --resume: which.")] = None,
    seed: Seed = 0,
    split_variant: SplitVariant = None,
    drop_leaks: DropLeaks = None,
    settings: Settings = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    track: Track = None,
    workers: Workers = None,
    engine: Engine = "processes",
    processes: Processes = 1,
    cache: Cache = None,
    max_cache_gb: MaxCache = None,
    quiet: Quiet = False,
) -> None:
    """Warm up, predict every training sample, fit the mixture of gaps, and write posteriors to the table."""
    from curate.store.store import Store

    store = Store(db, writes=True)
    if refit:
        done = _refit(ctx, store, refit)
    elif predictions:
        done = _saved(ctx, store, predictions, dataset, only_missing, embeddings or [])
    else:
        dataset, root = _named_dataset(ctx, dataset, root, features, resume)
        if only_missing:
            done = _missing(ctx, store, dataset, root)
        elif resume:
            done = _resumed(ctx, store, dataset, run)
        else:
            done = _warmed_up(ctx, store, dataset, root, seed, checkpoint)
    raise typer.Exit(3 if done and warn_unusable(store, done.data_id) else 0)


def _refit(ctx: typer.Context, store: Store, name: str) -> Run | None:
    """`--refit`: another mixture on what a scored run kept; that run has already reported what cannot be used."""
    from curate.predictions.refit import refit

    precedence.refuse_beside_refit(ctx)
    source = store.runs.find(name, kind="score", status="done")
    _print(ctx, store, refit(store, source, _layers(ctx, "score", score=_same(MIXTURE))))
    return None


def _saved(
    ctx: typer.Context, store: Store, files: Sequence[str], dataset: str, only_missing: bool, embeddings: Sequence[str]
) -> Run | None:
    """`--predictions`: scores saved predictions; nothing of the model side is loaded."""
    from curate.predictions.score import score_missing_predictions, score_predictions, understand

    precedence.refuse_beside_predictions(ctx)
    message = messages(ctx.params["quiet"])
    name = dataset if precedence.is_from(ctx, "COMMANDLINE", "dataset") else ""
    if only_missing:
        precedence.refuse_beside_missing(ctx, *FITTED, "settings", "embeddings", "media", "dry_run")
        before, done = score_missing_predictions(store, files, name, message)
        print_growth(store, before, done, ctx.params["quiet"])
        return done
    layers = _layers(ctx, "score", score=_same(MIXTURE))
    if ctx.params["dry_run"]:
        read = understand(files, layers, name)
        print_text(read.line)
        for line in read.saved.notes:
            message(line)
        return None
    done = score_predictions(store, files, layers, name, embeddings, message, ctx.params["media"])
    _print(ctx, store, done)
    return done


def _named_dataset(
    ctx: typer.Context, dataset: str, root: Path | None, features: Path | None, resume: bool
) -> tuple[str, Path | None]:
    """The data set to score with a model, and its folder; '' if a run on any data set may be resumed.

    Raises:
        CurateError: none is named, or an option belongs to another kind of scoring.
    """
    if ctx.params["dry_run"]:
        raise CurateError("--dry-run goes with --predictions", "of a data set: `curate datasets NAME --root PATH`")
    if ctx.params["embeddings"]:
        raise CurateError("--embeddings goes with --predictions", "a model of ours has look-alikes of its own")
    if ctx.params["media"]:
        raise CurateError("--media goes with --predictions", "a data set names its media itself")
    if features:
        precedence.refuse_beside_features(ctx)
        dataset, root = "features", features
    if not dataset and not resume:
        raise CurateError("score needs --dataset NAME", "see `curate datasets`; e.g. curate score --dataset demo")
    from curate.datasets import full_name

    return (full_name(dataset) if dataset else ""), root


def _missing(ctx: typer.Context, store: Store, dataset: str, root: Path | None) -> Run:
    """`--only-missing`: scores new samples with the network that scored the others."""
    precedence.refuse_beside_missing(ctx, *FITTED, *DATA, "epochs", "folds", "checkpoint", "resume", "seed", "settings")
    before = store.runs.find(kind="score", dataset=dataset, status="done")
    need_model(before)
    with opened(ctx) as session:
        from curate.train.stages.growth import score_missing

        done = score_missing(session, before, root)
    print_growth(store, before, done, ctx.params["quiet"])
    return done


def _resumed(ctx: typer.Context, store: Store, dataset: str, name: str | None) -> Run:
    """`--resume`: continues the newest unfinished scoring, or the named one, with its own settings."""
    fixed = (*FITTED, *DATA, "root", "epochs", "folds", "checkpoint", "seed", "settings")
    precedence.refuse_beside_resume(ctx, *fixed)
    begun = unfinished(store, "score", name, dataset=dataset)
    need_model(begun)
    with opened(ctx) as session, resumable(ctx, store, begun):
        from curate.train.stages.score import resume_score

        done = resume_score(session, begun)
    _print(ctx, store, done)
    return done


def _warmed_up(
    ctx: typer.Context, store: Store, dataset: str, root: Path | None, seed: int, checkpoint: Path | None
) -> Run:
    """Warms up, or loads a checkpoint instead, and scores every training sample."""
    with opened(ctx) as session, resumable(ctx, store):
        from curate.train.stages.score import score as score_dataset

        options = _same((*MIXTURE, "epochs", "folds"))
        layers = _layers(ctx, "data", "model", "optim", "score", score=options, data=DATA)
        done = score_dataset(session, dataset, root, layers, seed, checkpoint)
    _print(ctx, store, done)
    return done


def _layers(ctx: typer.Context, *sections: str, **options: Mapping[str, str]) -> list[Layer]:
    """Settings in rising precedence; `--paper` is just below the options that are typed, which must agree with it."""
    from curate.scores.scoring import PAPER

    layers = precedence.layers(ctx, sections, None, **options)
    if ctx.params["paper"]:
        if precedence.is_from(ctx, "COMMANDLINE", "paper"):
            for key, value in PAPER.items():
                if key in MIXTURE:
                    precedence.refuse_other_value(ctx, key, value, "paper")
                precedence.refuse_contradiction(ctx, "paper", value, layers[-1], f"score.{key}")
        layers.insert(-2, {"score": PAPER})
    return layers


def _print(ctx: typer.Context, store: Store, done: Run) -> None:
    """What was found; with --quiet it is in the table alone."""
    if not ctx.params["quiet"]:
        print_score(store, done)


def _same(names: Sequence[str]) -> dict[str, str]:
    """{option: setting} for options that have the same names as their settings."""
    return {name: name for name in names}


COMMANDS = (score,)
