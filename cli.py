"""The command line: a command parses, makes one call, and renders. Heavy imports stand inside the bodies."""

# ruff: noqa: E402

from __future__ import annotations

import signal
import sys

STARTED = __name__ == "__main__" or sys.argv[0].endswith("/curate")
if STARTED and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends at once, until `main` is there to say how it ended

import io
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from curate.commands import precedence
from curate.commands.messages import (
    ignore,
    remark,
    repeatable,
    resumable,
    say,
    share,
    show,
    show_metrics,
    show_portions,
    tell_comparison,
    tell_findings,
    tell_growth,
    tell_media,
    tell_plan,
    tell_sample,
    tell_score,
    tell_selection,
)
from curate.config import LARGEST
from curate.errors import CurateError, unknown_name
from curate.render import Format, describe_verdicts, progress, readable_hint, readable_type

if TYPE_CHECKING:
    from curate.comparison.plan import Plan
    from curate.datasets import Dataset
    from curate.store.store import Store
    from curate.train.stages.session import Session
    from curate.types import Run

Db = Annotated[Path, typer.Option("--db", envvar="CURATE_DB", help="The sample table, a DuckDB file.")]
Cache = Annotated[Path | None, typer.Option(envvar="CURATE_CACHE", help="Folder of decoded media.")]
Root = Annotated[Path | None, typer.Option(envvar="CURATE_ROOT", help="Where the data set lies.")]
RunName = Annotated[str | None, typer.Option("--run", help="A run's name; the newest that fits when left out.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", envvar="CURATE_SET", metavar="SECTION.KEY=VALUE", help="Any setting, e.g. optim.lr=0.01; repeatable."
    ),
]
Device = Annotated[str, typer.Option(envvar="CURATE_DEVICE", help="auto, cpu or cuda:N.")]
Precision = Annotated[Literal["fp32", "bf16"], typer.Option(envvar="CURATE_PRECISION", help="Of the encoders.")]
Workers = Annotated[
    int | None,
    typer.Option(
        envvar="CURATE_WORKERS", min=0, max=1024, help="Processes that decode and load; left out, as the machine has."
    ),
]
SplitVariant = Annotated[
    str | None, typer.Option(help="Which public splits, where a data set has several: data.split_variant.")
]
DropLeaks = Annotated[
    bool | None, typer.Option("--drop-leaks", help="Leave out training samples whose media are in a later split too.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", envvar="CURATE_QUIET", help="Errors and warnings only.")]
Seed = Annotated[
    int, typer.Option(envvar="CURATE_SEED", min=0, max=LARGEST, help="Of weights, order and augmentation.")
]
Output = Annotated[Format, typer.Option("--format", help="How to print.")]
File = Annotated[Path | None, typer.Option("--output", "-o", help="Write to a .csv, .parquet or .txt (ids alone).")]

DB = Path("curate.duckdb")
TRIO = ("torch", "torchvision", "torchaudio")
"""What the model side needs, the extra `train`."""
MIXTURE = ("gap", "components", "family")
"""Options of `score` that stand for the settings of the same names."""
FITTED = (*MIXTURE, "paper")
"""Options of `score` that say which mixture is fitted."""
DATA = {"split_variant": "split_variant", "drop_leaks": "drop_leaks"}
"""Options that stand for settings of a data set."""

app = typer.Typer(
    name="curate",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find the samples of a multimodal training set that one modality carries alone, query them with SQL, and "
    "train with that knowledge.",
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 done but some samples failed, 4 table locked or run in use, "
    "5 empty selection, 130 interrupted.",
)


def main() -> None:
    """Run the command line; the one place where errors are told."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding lacks is still shown
    try:
        " ".join(sys.argv).encode()  # a name that is no text can be stored nowhere
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (CurateError, OSError, UnicodeError, MemoryError) as error:
        if os.environ.get("CURATE_DEBUG") == "1":
            raise
        told = as_user_error(error)
        remark("error: " + " ".join(told.message.split()))
        remark("hint: " + " ".join((told.hint or "CURATE_DEBUG=1 shows where").split()))
        sys.exit(told.exit_code)


def as_user_error(error: Exception) -> CurateError:
    """What the system refuses, as one line and a hint."""
    if isinstance(error, CurateError):
        return error
    if isinstance(error, UnicodeError):
        return CurateError(f"a name or an argument is no text in UTF-8: {error}", "write it in UTF-8")
    if isinstance(error, MemoryError):
        return CurateError(f"there is not enough memory: {error}", "give it less at once, or a machine with more")
    return CurateError(str(error), "check the path, who may write there, and the space left on the disk")


def version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        from importlib.metadata import version as installed

        typer.echo(f"curate {installed('curate-mm')}")
        raise typer.Exit


@app.callback()
def start(
    ctx: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="Version.")] = False,
) -> None:
    """Options left out come from CURATE_* variables, then from ./curate.toml."""
    ctx.default_map = precedence.command_defaults(_toml(), getattr(ctx.command, "commands", {}))


def _toml() -> Mapping[str, Any]:
    def methods() -> Sequence[str]:
        from curate.train.methods import catalog

        return catalog.names()

    return precedence.read_project(Path("curate.toml"), methods)


def _layers(
    ctx: typer.Context, *sections: str, method_name: str | None = None, **options: Mapping[str, str]
) -> list[precedence.Layer]:
    return precedence.layers(ctx, _toml(), sections, method_name, **options)


def _scoring_layers(ctx: typer.Context, *sections: str, **options: Mapping[str, str]) -> list[precedence.Layer]:
    """The layers of a command with a section `score`; `--paper` stands just below the options that are typed."""
    from curate.scores.scoring import PAPER

    layers = _layers(ctx, *sections, method_name=None, **options)
    if ctx.params["paper"]:
        layers.insert(-2, {"score": PAPER})
    return layers


@contextmanager
def working(
    db: Path, cache: Path | None, device: str, precision: str, workers: int | None, quiet: bool
) -> Iterator[Session]:
    """A workplace of the model side, with progress on standard error.

    Raises:
        CurateError: the model side or what it needs is not installed.
    """
    if missing := [name for name in TRIO if find_spec(name) is None]:
        raise CurateError(
            f"this needs a model, and {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            "pip install 'curate-mm[train]'",
        )
    from curate.datasets.cache import default_folder
    from curate.store.store import Store
    from curate.train.loop.engine import Runtime
    from curate.train.stages.session import Session, no_message

    with progress(quiet) as advance:
        runtime = Runtime(device=device, precision=precision, workers=workers)
        yield Session(Store(db), cache or default_folder(), runtime, advance, no_message if quiet else remark)


def unfinished(store: Store, kind: str, run: str | None, **where: str | None) -> Run:
    """The newest run of a kind that did not end.

    Raises:
        CurateError: there is none.
    """
    if run is not None:
        store.runs.find(run)  # an unknown name has its own error
    for found in store.runs.all(kind=kind, run_id=run, **{k: v or None for k, v in where.items()}):
        if found.status != "done":
            return found
    raise CurateError(f"no unfinished {kind} run to resume", "see `curate runs`")


def data_options(ctx: typer.Context, kind: type[Dataset]) -> Any:
    """The settings of a data set, of a command that has no other section."""
    from curate.config import build

    values = {k: v for layer in _layers(ctx, "data", data=DATA) for k, v in layer.get("data", {}).items()}
    return build(kind.Options, values, "data")


# --- commands --------------------------------------------------------------------------------------------------


@app.command()
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

    tell = ignore if quiet else remark
    if name is None:
        show(
            ["name", "needs --root", "what"],
            [[n, "yes" if find(n).layout else "no", find(n).summary] for n in names()],
            form,
        )
        return
    kind = find(name)
    hints = get_type_hints(kind.Options)
    knobs = [(f"data.{f.name}", readable_hint(hints[f.name]), f.default) for f in fields(kind.Options)]
    if kind.layout and root is None:
        tell(f"{name}: {kind.summary}\nexpected under --root: {kind.layout}")
        show(["setting", "type", "default"], knobs, form)
        return
    dataset = kind(root.resolve() if root else None, data_options(ctx, kind))
    if sample is not None:
        tell_sample(dataset, sample, output, form)
        return
    tell_findings(dataset, tell)
    counts: dict[str, dict[str, int]] = {c: {"train": 0, "val": 0, "test": 0} for c in dataset.classes}
    for item in dataset.samples:
        if item.label:
            counts[item.label][item.split] += 1
    tell(
        f"{name}: {len(dataset.samples)} samples, modalities {', '.join(dataset.modalities)}"
        + (f", {dataset.root}" if dataset.root else "")
    )
    show(["class", "train", "val", "test"], [[c, *n.values()] for c, n in counts.items()], form)


@app.command()
def prepare(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Option(help="Data set name, see `curate datasets`.")],
    root: Root = None,
    db: Db = DB,
    split_variant: SplitVariant = None,
    drop_leaks: DropLeaks = None,
    settings: Settings = None,
    cache: Cache = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Decode a data set's media once into the cache; what cannot be used is recorded with its reason."""
    from curate.datasets import checks, find
    from curate.datasets.cache import default_folder, describe_done
    from curate.datasets.cache import prepare as decode
    from curate.store.store import Store

    kind = find(dataset)
    opened = kind(root.resolve() if root else None, data_options(ctx, kind))
    store, folder = Store(db), cache or default_folder()
    processes = workers if workers is not None else (os.cpu_count() or 1) if opened.decodes else 0
    if not quiet:
        tell_plan(opened, folder, processes)
    with progress(quiet) as advance:
        made = decode(opened, folder, processes, lambda done, total: advance("decoding", done, total, "items"))
    store.samples.write(made.data_id, opened.samples, opened.classes, *made.summary(), made.media())
    if done := describe_done(made):
        remark(done)
    found = checks.check(opened)
    store.samples.write_findings(made.data_id, found)
    if found:
        remark(checks.summary(found))
    say(f"{len(made.sample_ids)} items, {int(made.usable.sum())} usable, in {made.folder}")
    raise typer.Exit(3 if tell_media(store, made.data_id) else 0)


@app.command()
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
    features: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Train heads on features computed beforehand; a file a modality.")
    ] = None,
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
    workers: Workers = None,
    cache: Cache = None,
    quiet: Quiet = False,
) -> None:
    """Warm up, predict every training sample, fit the mixture of gaps, and write posteriors to the table."""
    from curate.store.store import Store

    if refit:
        score_again(ctx, Store(db), refit)
        return
    if predictions:
        named = dataset if precedence.is_from(ctx, "COMMANDLINE", "dataset") else ""
        score_saved(ctx, Store(db), predictions, named, only_missing, embeddings or [])
        return
    if dry_run:
        raise CurateError("--dry-run goes with --predictions", "of a data set: `curate datasets NAME --root PATH`")
    if embeddings:
        raise CurateError("--embeddings goes with --predictions", "a model of ours has look-alikes of its own")
    if features:
        precedence.refuse_beside_features(ctx)
        dataset, root = "features", features
    if not dataset and not resume:
        raise CurateError("score needs --dataset NAME", "see `curate datasets`; e.g. curate score --dataset demo")
    from curate.datasets import find

    if dataset:
        dataset = find(dataset).name  # before torch is loaded
    if only_missing:
        fixed = (*FITTED, *DATA, "epochs", "folds", "checkpoint", "resume", "seed", "settings")
        precedence.refuse_beside_missing(ctx, *fixed)
        before = Store(db).runs.find(kind="score", dataset=dataset, status="done")
        need_model(before)
        with working(db, cache, device, precision, workers, quiet) as work:
            from curate.train.stages.growth import score_missing

            tell_growth(work.store, before, score_missing(work, before, root))
        raise typer.Exit(3 if tell_media(work.store, work.store.runs.find(kind="score").data_id) else 0)
    if resume:
        fixed = (*FITTED, *DATA, "root", "epochs", "folds", "checkpoint", "seed", "settings")
        precedence.refuse_beside_resume(ctx, *fixed)
        begun = unfinished(Store(db), "score", run, dataset=dataset)
        need_model(begun)
    with working(db, cache, device, precision, workers, quiet) as work, resumable(work.store, "score", DB):
        from curate.train.stages.score import resume_score
        from curate.train.stages.score import score as score_dataset

        if resume:
            done = resume_score(work, begun)
        else:
            options = {k: k for k in (*MIXTURE, "epochs", "folds")}
            layers = _scoring_layers(ctx, "data", "model", "optim", "score", score=options, data=DATA)
            done = score_dataset(work, dataset, root, layers, seed, checkpoint)
    tell_score(work.store, done)
    raise typer.Exit(3 if tell_media(work.store, done.data_id) else 0)


def score_saved(
    ctx: typer.Context,
    store: Store,
    files: Sequence[str],
    dataset: str,
    only_missing: bool = False,
    embeddings: Sequence[str] = (),
) -> None:
    """`score --predictions`: nothing of the model side is loaded."""
    from curate.predictions.score import score_missing_predictions, score_predictions, understand

    precedence.refuse_beside_predictions(ctx)
    tell = ignore if ctx.params["quiet"] else remark
    if only_missing:
        precedence.refuse_beside_missing(ctx, *FITTED, "settings", "embeddings", "dry_run")
        before, done = score_missing_predictions(store, files, dataset, tell)
        tell_growth(store, before, done)
        raise typer.Exit(3 if tell_media(store, done.data_id) else 0)
    layers = _scoring_layers(ctx, "score", score={k: k for k in MIXTURE})
    if ctx.params["dry_run"]:
        say(understand(files, layers, dataset).line)
        return
    done = score_predictions(store, files, layers, dataset, embeddings, tell)
    tell_score(store, done)
    raise typer.Exit(3 if tell_media(store, done.data_id) else 0)


def score_again(ctx: typer.Context, store: Store, name: str) -> None:
    """`score --refit`: another mixture on what a scored run kept."""
    from curate.predictions.refit import refit

    precedence.refuse_beside_refit(ctx)
    source = store.runs.find(name, kind="score", status="done")
    tell_score(store, refit(store, source, _scoring_layers(ctx, "score", score={k: k for k in MIXTURE})))


def need_model(run: Run) -> None:
    """Refuse a run that was scored from saved predictions, where a model is to go on."""
    if run.method == "predictions":
        raise CurateError(
            f"{run.run_id} was scored from saved predictions: there is no model to go on with",
            "name a run of `curate score --dataset NAME` with --run, or `curate select -o ids.txt` and train elsewhere",
        )


@app.command()
def select(
    threshold: Annotated[float | None, typer.Option(help="Keep p_balanced (or --by) >= this, 0..1.")] = None,
    where: Annotated[str | None, typer.Option(help="A condition on the columns of `samples`.")] = None,
    per_class: Annotated[int | None, typer.Option(help="Of those, this many of each class, highest first.")] = None,
    top: Annotated[int | None, typer.Option(help="Of those, this many, of highest p_balanced (or --by).")] = None,
    fraction: Annotated[float | None, typer.Option(help="The same as a share of all candidates, 0..1.")] = None,
    whole_groups: Annotated[bool, typer.Option("--whole-groups", help="Drop groups that lost a member.")] = False,
    by: Annotated[
        Literal["p_balanced", "usability", "gap"],
        typer.Option(help="What counts: p_balanced, 1 - imbalance by usability, or 1 - |gap|."),
    ] = "p_balanced",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what thresholds would keep; store nothing.")] = False,
    name: Annotated[str | None, typer.Option(help="Name of the selection.")] = None,
    output: File = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a selection of that name.")] = False,
    run: RunName = None,
    db: Db = DB,
    form: Output = "table",
    quiet: Quiet = False,
) -> None:
    """Name the training samples that a rule keeps, and say what that does to class balance.

    Without a rule it takes the one that the evidence supports: not broken, or else --threshold 0.8.
    The parts of a rule act in the order listed here, each on what the ones before left; ties are broken by id.
    """
    from curate.scores.selection import Rule
    from curate.store.store import Store

    rule: dict[str, Any] = {
        "threshold": threshold,
        "where": where,
        "per_class": per_class,
        "top": top,
        "fraction": fraction,
        "whole_groups": whole_groups,
        "by": by,
    }
    if dry_run and (name or output or replace):
        raise CurateError("--dry-run stores nothing", "leave --name, --output and --replace out")
    store, tell = Store(db), ignore if quiet else remark
    scored = store.runs.find(run, kind="score", status=None if run else "done")
    if scored.folds:
        tell(f"{scored.run_id} was scored out of fold, in {scored.folds} folds")
    if dry_run:
        rows = [(t, k, share(s, form), *least) for t, k, s, *least in store.selections.preview(scored.run_id, **rule)]
        show(["threshold", "kept", "share", "smallest class", "of it"], rows, form)
        return
    if all(v is None for k, v in rule.items() if k not in ("whole_groups", "by")):
        suggested, why = {"threshold": 0.8}, "no rule given"
        if by == "p_balanced":
            suggested, why = store.selections.suggest(scored.run_id)
        rule |= suggested
        tell(f"{why}; the same: curate select {Rule(**rule).options}")
    chosen = store.selections.make(scored.run_id, name=name, replace=replace, **rule)
    written = store.selections.export(chosen.name, output) if output else 0
    tell_selection(chosen, form, tell)
    if output:
        tell(f"wrote {written} rows to {output}")


@app.command()
def selections(
    names: Annotated[list[str] | None, typer.Argument(help="One in full, or two to compare; left out, all.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Delete the named one; its samples stay.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: File = None,
    db: Db = DB,
    form: Output = "table",
    quiet: Quiet = False,
) -> None:
    """List the stored selections; tell one in full, or write it to a file; compare two, or remove one."""
    from curate.store.store import Store

    store, named, tell = Store(db), names or [], ignore if quiet else remark
    if output and (len(named) != 1 or remove):
        raise CurateError("--output writes one selection", "e.g. curate selections clean -o clean.txt")
    if len(named) > 2 or (remove and len(named) != 1):
        raise CurateError(
            f"{len(named)} selections are named",
            "name one to be told or removed, two to be compared, none for the list",
        )
    if remove:
        store.selections.find(named[0])  # an unknown name has its own error
        if not yes and not (sys.stdin.isatty() and typer.confirm(f"delete the selection {named[0]}?", err=True)):
            raise CurateError(f"{named[0]} was not removed", "answer y, or give --yes")
        store.selections.remove(named[0])
        tell(f"removed {named[0]}")
    elif not named:
        columns = ["selection", "run", "data set", "rule", "kept", "of", "made (UTC)"]
        show(columns, store.selections.overview(), form)
    elif len(named) == 1:
        found = store.selections.describe(named[0])
        written = store.selections.export(found.name, output) if output else 0
        tell(f"{found.rule}, of {found.run_id}")
        tell_selection(found, form, tell)
        if output:
            tell(f"wrote {written} rows to {output}")
    else:
        show(["class", *named, "both", "Jaccard"], store.selections.compare(*named), form)


@app.command()
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
    workers: Workers = None,
    cache: Cache = None,
    quiet: Quiet = False,
) -> None:
    """Train a method from a scored run, choose the epoch by validation, measure the test split once."""
    from curate.train.methods import catalog

    if not method and not resume:
        raise CurateError("train needs --method NAME", f"known: {', '.join(catalog.names())}")
    if method and method not in catalog.names():
        raise unknown_name("method", method, catalog.names())
    from curate.store.store import Store

    if resume:
        precedence.refuse_beside_resume(ctx, "epochs", "start_at", "threshold", "selection", "seed", "settings")
        begun = unfinished(Store(db), "train", run, method=method)
    else:
        parent = Store(db).runs.find(run, kind="score", status=None if run else "done")
        need_model(parent)
        if selection and (made := Store(db).selections.find(selection).run_id) != parent.run_id:
            remark(f"warning: selection {selection} was made from {made}, the training starts from {parent.run_id}")
    with working(db, cache, device, precision, workers, quiet) as work, resumable(work.store, "train", DB):
        from curate.train.stages.training import resume_train
        from curate.train.stages.training import train as train_method

        if resume:
            done = resume_train(work, begun)
        else:
            layers = _layers(
                ctx,
                "model",
                "optim",
                "train",
                "method",
                method_name=method,
                train={"epochs": "epochs", "start": "start_at"},
                method={"threshold": "threshold", "selection": "selection"},
            )
            done = train_method(work, parent, method, layers, parent.seed if seed is None else seed)
    if not quiet:
        best = work.store.epochs.best(done.run_id)
        remark(f"{done.run_id}: {done.method} from {done.parent}, best epoch {best} by validation; test split:")
    show_metrics(work.store.epochs.test_metrics(done.run_id))


@app.command()
def compare(
    ctx: typer.Context,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[:SECTION.KEY=VALUE,...]", help="A method with its settings, or all; repeatable."),
    ] = None,
    table_name: Annotated[
        str | None, typer.Option("--table", help="A paper's table, a .toml file like one, or list.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="Data set name, see `curate datasets`.")] = "",
    root: Root = None,
    seeds: Annotated[str, typer.Option(help="How many, from 0 on; or a list such as 0,7.")] = "3",
    redraw: Annotated[bool, typer.Option("--redraw", help="Each seed redraws the data too: data.seed.")] = False,
    controls: Annotated[bool, typer.Option("--controls/--no-controls", help="Measure the controls too.")] = True,
    show_only: Annotated[bool, typer.Option("--show", help="Print what is in the table; run nothing.")] = False,
    name: Annotated[str | None, typer.Option(help="Name of the comparison; the table's, or `compare`.")] = None,
    output: Annotated[
        list[Path] | None, typer.Option("--output", "-o", help=".md, .csv, .tex or .html; repeatable.")
    ] = None,
    db: Db = DB,
    settings: Settings = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    workers: Workers = None,
    cache: Cache = None,
    quiet: Quiet = False,
    form: Output = "table",
) -> None:
    """Train several methods with several seeds under one protocol; mean, spread and paired differences.

    Finished cells are taken from the table, so the same command goes on after an interruption.
    """
    from curate.comparison import plan as plans
    from curate.comparison.layout import check_outputs
    from curate.store.store import Store

    if table_name == "list":
        show(["table", "what"], [[n, plans.read_table(n).title] for n in plans.table_names()], form)
        return
    check_outputs(output or [])
    store, plan = Store(db), plans.read_table(table_name) if table_name else None
    if show_only:
        stored = name or (plan.name if plan else None) or store.comparisons.newest()
        plan = plan or (plans.read_table(stored) if stored in plans.table_names() else None)
    else:
        plan = comparison_plan(plan, method or [], name, controls)
        stored, drawn = plan.name, plans.parse_seeds(seeds)
        from curate.datasets import find

        find(dataset)  # before torch is loaded
        layers = _layers(ctx, *plans.SHARED_SECTIONS)
        with working(db, cache, device, precision, workers, quiet) as work, repeatable(stored):
            from curate.train.stages.compare import Protocol
            from curate.train.stages.compare import compare as run_cells

            run_cells(work, plan, Protocol(dataset, root, layers, _toml().get("method", {}), redraw), drawn)
    failed = tell_comparison(store, stored, plan, form, quiet)
    for path in output or []:
        from curate.report.comparison import write_comparison

        write_comparison(store, stored, plan, path)
        remark(f"wrote {path}")
    raise typer.Exit(3 if failed and not show_only else 0)


def comparison_plan(plan: Plan | None, texts: Sequence[str], name: str | None, controls: bool) -> Plan:
    """What --method or --table asks for, with its controls.

    Raises:
        CurateError: both, or neither.
    """
    from dataclasses import replace

    from curate.comparison.plan import Plan, parse_methods, with_controls
    from curate.train.methods import catalog

    if bool(texts) == (plan is not None):
        raise CurateError(
            "compare needs either --method or --table",
            "e.g. --method iprm --method adaptive, --method all, --table list",
        )
    plan = plan or Plan("compare", tuple(parse_methods(texts, catalog.names())))
    own = {e.name: e.control for e in catalog.entries()}
    return with_controls(replace(plan, name=name or plan.name), own, controls)


@app.command()
def recommend(run: RunName = None, db: Db = DB) -> None:
    """Say in three lines, from the table alone, which methods are worth trying first and why."""
    from curate.advice.evidence import read_evidence
    from curate.advice.recommend import recommend as advise
    from curate.store.store import Store

    say("\n".join(advise(read_evidence(Store(db), run))))


@app.command()
def evaluate(
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which split.")] = "test",
    weighting: Annotated[
        Literal["none", "usability"], typer.Option(help="Of the modalities in the fusion; with its controls.")
    ] = "none",
    run: RunName = None,
    db: Db = DB,
    device: Device = "auto",
    precision: Precision = "fp32",
    workers: Workers = None,
    cache: Cache = None,
    quiet: Quiet = False,
    form: Output = "table",
) -> None:
    """Accuracy, macro-F1 and mean average precision of a run, per modality and fused."""
    from curate.store.store import Store

    found = Store(db).runs.find(run, status=None if run else "done")
    need_model(found)
    with working(db, cache, device, precision, workers, quiet) as work:
        from curate.train.stages import evaluate as evaluation

        measured = evaluation.evaluate if weighting == "none" else evaluation.evaluate_weighted
        values = measured(work, found, split)
    if not quiet:
        told = "" if weighting == "none" else "; the fusion by the weight of its modalities, and the weight's controls"
        remark(f"{found.run_id}: split {split}{told}")
    show_metrics(values, form)


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="A method; all are listed when left out.")] = None,
    form: Output = "table",
    quiet: Quiet = False,
) -> None:
    """List the methods; of one, its paper, where it starts, and what `--set` can change."""
    from curate.train.methods import catalog

    entries, tell = {e.name: e for e in catalog.entries()}, ignore if quiet else remark
    if name is None:
        show(["name", "start", "what"], [[e.name, e.start, e.summary] for e in entries.values()], form)
        tell("paper and settings of one: curate methods NAME")
        return
    if name not in entries:
        raise unknown_name("method", name, entries)
    entry = entries[name]
    tell(f"{name}: {entry.summary}\n{entry.paper}; starts from {entry.start} weights")
    knobs = [(f"method.{k}", readable_type(kind), default, what) for k, (kind, default, what) in entry.knobs.items()]
    show(["setting", "type", "default", "what"], knobs, form)


@app.command()
def runs(
    name: Annotated[str | None, typer.Argument(help="One run in full; all are listed when left out.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Delete this run's rows and checkpoints.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    db: Db = DB,
    form: Output = "table",
    quiet: Quiet = False,
) -> None:
    """List what has been run, newest first, or one run in full."""
    from curate.store.store import Store

    store = Store(db)
    if remove and name is None:
        raise CurateError("--remove needs the run's name", "e.g. curate runs adaptive-demo-1 --remove")
    if name is None:
        show(["run", "method", "dataset", "parent", "seed", "status", "test accuracy"], store.runs.overview(), form)
        return
    run = store.runs.find(name)
    if remove:
        if not yes and not (sys.stdin.isatty() and typer.confirm(f"delete {name}, its rows and its checkpoints?")):
            raise CurateError(f"{name} was not removed", "answer y, or give --yes")
        from curate.files.lock import claimed

        folder = store.path.with_suffix(".runs") / name
        with claimed(folder):
            store.remove_run(name)
            shutil.rmtree(folder, ignore_errors=True)
        if not quiet:
            remark(f"removed {name}")
        return
    rows: list[Sequence[Any]] = [
        [k, getattr(run, k)]
        for k in ("status", "parent", "note", "seed", "data_id", "root", "folder", "checkpoint_sha256")
    ]
    rows += [[f"{s}.{k}", v] for s, values in run.config.items() for k, v in values.items()]
    rows += [[f"version of {k}", v] for k, v in run.versions.items()]
    rows += store.rounds.mixture_rows(name)
    rows += [[f"usability of {m}", told] for m, told in describe_verdicts(store.usability.verdicts(name)).items()]
    show(["what", "value"], rows, form)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT; - reads standard input.")] = "-",
    allow_files: Annotated[bool, typer.Option("--allow-files", help="Let it read local files, e.g. 'x.csv'.")] = False,
    db: Db = DB,
    form: Output = "table",
    quiet: Quiet = False,
) -> None:
    """Read-only SQL on the table; views: samples, by_class, by_modality, failures, findings, history, results."""
    from curate.store.store import Store

    tell = ignore if quiet else remark
    if query == "-" and sys.stdin.isatty():
        tell("reading SQL from the terminal; end with Ctrl-D")
    try:
        text = sys.stdin.read() if query == "-" else query
    except UnicodeDecodeError as error:
        raise CurateError(f"standard input is no text in UTF-8: {error}", "give one SELECT") from None
    with Store(db).stream(text, allow_files) as (columns, portions):
        show_portions(columns, portions, form, tell)


@app.command()
def report(
    run: RunName = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for reports.")] = Path("reports"),
    db: Db = DB,
    cache: Cache = None,
) -> None:
    """Write one self-contained HTML page and its figures."""
    from curate.datasets.cache import default_folder
    from curate.report import build
    from curate.store.store import Store
    from curate.train.methods import catalog

    say(str(build(Store(db), run, output, cache or default_folder(), usual=catalog.usual_settings())))


@app.command()
def export(
    target: Annotated[Path | None, typer.Argument(help="The same as --output.")] = None,
    output: File = None,
    db: Db = DB,
    quiet: Quiet = False,
) -> None:
    """Write the view `samples` to a file."""
    from curate.store.store import Store

    path = output or target
    if path is None or (output and target):
        raise typer.BadParameter("one file is needed, e.g. curate export -o samples.parquet")
    written = Store(db).export_samples(path)
    if not quiet:
        remark(f"wrote {written} rows to {path}")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for table and report.")] = Path("curate-demo"),
    seed: Seed = 0,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """The whole path on the built-in data, in about two minutes: score, select, train, report."""
    db = output / "curate.duckdb"
    with working(db, output / "cache", device, "fp32", 0, quiet) as work:
        from curate.report import build
        from curate.train.methods import catalog
        from curate.train.stages.demo import run_demo

        outcome = run_demo(work, seed)
        usual = catalog.usual_settings()
        page = build(work.store, outcome.scored.run_id, output / "reports", work.cache_folder, usual=usual)
    tell_score(work.store, outcome.scored)
    show(["AUROC against planted", "", "0.5 = chance"], outcome.recovery_rows())
    show(["method", "test accuracy", *outcome.scored.modalities, "what it is"], outcome.result_rows())
    typer.echo(
        "Epochs were chosen by validation, the test split measured once. Differences of a few points on one seed "
        "are noise."
    )
    typed = "curate" if shutil.which("curate") else sys.argv[0]
    typer.echo(f"\nNext, look at the report: {page}")
    typer.echo(
        f'  ask the table:   {typed} sql --db {db} "SELECT label_name, count(*), avg(p_imbalanced) FROM samples '
        'GROUP BY 1 ORDER BY 3 DESC"'
    )
    typer.echo(f"  your own data:   {typed} score --dataset manifest --root clips.csv    (see `{typed} datasets`)")


if __name__ == "__main__":
    main()
