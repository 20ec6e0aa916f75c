"""The command line: a command parses, makes one call, and renders. Heavy imports stand inside the bodies."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from curate.errors import CurateError, unknown_name
from curate.render import Format, render

if TYPE_CHECKING:
    from curate.table import Table
    from curate.types import Run
    from train.stages import Workplace

Db = Annotated[Path, typer.Option("--db", envvar="CURATE_DB", help="The sample table, a DuckDB file.")]
Cache = Annotated[Path | None, typer.Option(envvar="CURATE_CACHE", help="Folder of decoded media.")]
Root = Annotated[Path | None, typer.Option(envvar="CURATE_ROOT", help="Where the data set lies.")]
RunName = Annotated[str | None, typer.Option("--run", help="A run's name; the newest that fits when left out.")]
Settings = Annotated[list[str] | None, typer.Option("--set", envvar="CURATE_SET", metavar="SECTION.KEY=VALUE",
                                             help="Any setting, e.g. optim.lr=0.01; repeatable.")]
Device = Annotated[str, typer.Option(envvar="CURATE_DEVICE", help="auto, cpu or cuda:N.")]
Precision = Annotated[Literal["fp32", "bf16"], typer.Option(envvar="CURATE_PRECISION", help="Of the encoders.")]
Workers = Annotated[int, typer.Option(envvar="CURATE_WORKERS", min=0, help="Decoding and loading processes.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", envvar="CURATE_QUIET", help="No progress, no remarks.")]
Output = Annotated[Format, typer.Option("--format", help="How to print.")]

DB = Path("curate.duckdb")
SECTIONS = ("data", "model", "optim", "score", "train", "method")

app = typer.Typer(
    name="curate", no_args_is_help=True, pretty_exceptions_enable=False,
    help="Find the samples of a multimodal training set that one modality carries alone, query them with SQL, and "
         "train with that knowledge.",
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 done but some samples failed, 4 table locked, 5 empty selection, "
           "130 interrupted.",
)


def main() -> None:
    """Run the command line; the one place where errors are told."""
    try:
        app()
    except CurateError as error:
        if os.environ.get("CURATE_DEBUG") == "1":
            raise
        remark(f"error: {error.message}")
        if error.hint:
            remark(f"hint: {error.hint}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def remark(text: str) -> None:
    """A line on standard error."""
    typer.echo(text, err=True)


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
    options = {k: v for k, v in _toml().items() if not isinstance(v, dict)}
    commands: Mapping[str, Any] = getattr(ctx.command, "commands", {})
    known = {p.name for c in commands.values() for p in c.params}
    for name in options:
        if name not in known:
            raise unknown_name("option in curate.toml", name, known)
    ctx.default_map = {c: options for c in commands}


def _toml() -> Mapping[str, Any]:
    path = Path("curate.toml")
    if not path.exists():
        return {}
    from curate.config import read_toml

    content = read_toml(path)
    for name, value in content.items():
        if isinstance(value, dict) and name not in SECTIONS:
            raise unknown_name("section in curate.toml", name, SECTIONS)
    return content


def _layers(assignments: Sequence[str] | None, sections: Sequence[str], method_name: str | None = None,
            **given: Mapping[str, Any]) -> list[Mapping[str, Mapping[str, Any]]]:
    """Settings in rising precedence: curate.toml, options of the command that stand for a setting, --set."""
    from curate.config import parse_set

    toml = {k: v for k, v in _toml().items() if k in sections and isinstance(v, dict)}
    if "method" in toml:
        toml["method"] = toml["method"].get(method_name, {})
    options = {s: {k: v for k, v in values.items() if v is not None} for s, values in given.items()}
    return [toml, {s: v for s, v in options.items() if v}, parse_set(assignments or ())]


def show(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: Format = "table") -> None:
    """Rows to standard output; never folded in a pipe."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    typer.echo(render(columns, rows, form, width))


@contextmanager
def working(db: Path, cache: Path | None, device: str, precision: str, workers: int,
            quiet: bool) -> Iterator[Workplace]:
    """A workplace of the model side, with a progress bar on a terminal's standard error."""
    import train as room

    if getattr(room, "HOUSE", None) != "curate":
        raise CurateError(f"another package named `train` hides curate's: {room.__file__}",
                          "install curate in an environment of its own")
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from curate.cache import default_folder
    from curate.table import Table
    from train.engine import Runtime
    from train.stages import Workplace

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
               TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def advance(label: str, done: int, total: int, note: str) -> None:
            if label not in tasks:
                tasks[label] = bar.add_task(label, total=total, note=note)
            bar.update(tasks[label], completed=done, total=total, note=note)

        runtime = Runtime(device=device, precision=precision, workers=workers)
        yield Workplace(Table(db), cache or default_folder(), runtime, advance)


@contextmanager
def resumable(table: Table, kind: str) -> Iterator[None]:
    """Ctrl-C ends with what was kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        run = next(iter(table.runs(kind=kind)), None)
        kept = f"{run.run_id} keeps every finished epoch" if run else "nothing was begun"
        remark(f"interrupted: {kept}; go on with `curate {kind} --resume`")
        raise typer.Exit(130) from None


def unfinished(table: Table, kind: str, run: str | None, method: str | None = None) -> Run:
    """The newest run of a kind that did not end.

    Raises:
        CurateError: there is none.
    """
    for found in table.runs(kind=kind, run_id=run, method=method):
        if found.status != "done":
            return found
    raise CurateError(f"no unfinished {kind} run to resume", "see `curate runs`")


def tell_media(table: Table, data_id: str) -> bool:
    """Say how many items of a data set cannot be used, and why; whether there are any."""
    bad = table.status_counts(data_id)
    if bad:
        remark("not usable: " + ", ".join(f"{count} {status}" for status, count in bad)
               + "; listed by `curate sql \"SELECT sample_id, status, reason FROM samples WHERE status <> 'ok'\"`")
    return bool(bad)


# --- commands --------------------------------------------------------------------------------------------------


@app.command()
def datasets(
    name: Annotated[str | None, typer.Argument(help="A data set; all are listed when left out.")] = None,
    root: Root = None,
    settings: Settings = None,
    form: Output = "table",
) -> None:
    """List the data sets, or say of one what is expected, what was found, and the counts of splits and classes."""
    from curate.config import build
    from curate.datasets import find, names

    if name is None:
        show(["name", "needs --root", "what"], [[n, "yes" if find(n).layout else "no", find(n).summary]
                                                  for n in names()], form)
        return
    kind = find(name)
    layers = _layers(settings, ("data",))
    values = {k: v for layer in layers for k, v in layer.get("data", {}).items()}
    dataset = kind(root.resolve() if root else None, build(kind.Options, values, "data"))
    counts: dict[str, dict[str, int]] = {c: {"train": 0, "val": 0, "test": 0} for c in dataset.classes}
    for sample in dataset.samples:
        counts[sample.label][sample.split] += 1
    remark(f"{name}: {len(dataset.samples)} samples, modalities {', '.join(dataset.modalities)}"
           + (f", {dataset.root}" if dataset.root else ""))
    show(["class", "train", "val", "test"], [[c, *n.values()] for c, n in counts.items()], form)


@app.command()
def prepare(
    dataset: Annotated[str, typer.Option(help="Data set name, see `curate datasets`.")],
    root: Root = None,
    db: Db = DB,
    settings: Settings = None,
    cache: Cache = None,
    workers: Workers = 2,
    quiet: Quiet = False,
) -> None:
    """Decode a data set's media once into the cache; what cannot be used is recorded with its reason."""
    with working(db, cache, "cpu", "fp32", workers, quiet) as work:
        from curate.datasets import find
        from train.stages import configure

        kind = find(dataset)
        options = configure(kind, {"data": kind.Options}, *_layers(settings, ("data",)))["data"]
        opened = kind(root.resolve() if root else None, options)
        made = work.open_cache(opened)
        typer.echo(f"{len(made.sample_ids)} items, {int(made.usable.sum())} usable, in {made.folder}")
        failed = tell_media(work.table, made.data_id)
    raise typer.Exit(3 if failed else 0)


@app.command()
def score(
    dataset: Annotated[str, typer.Option(help="Data set name, see `curate datasets`.")] = "",
    root: Root = None,
    db: Db = DB,
    gap: Annotated[Literal["prob", "kl"] | None, typer.Option(help="Modality gap: probability or KL.")] = None,
    family: Annotated[Literal["gaussian", "student-t"] | None, typer.Option(help="Mixture components.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Warm-up epochs.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Score with these weights; no warm-up.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the newest unfinished scoring.")] = False,
    run: RunName = None,
    seed: Annotated[int, typer.Option(envvar="CURATE_SEED", min=0)] = 0,
    settings: Settings = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    workers: Workers = 0,
    cache: Cache = None,
    quiet: Quiet = False,
) -> None:
    """Warm up, predict every training sample, fit the mixture of gaps, and write posteriors to the table."""
    if not dataset and not resume:
        raise CurateError("score needs --dataset NAME", "see `curate datasets`; e.g. curate score --dataset demo")
    with working(db, cache, device, precision, workers, quiet) as work, resumable(work.table, "score"):
        from train import stages

        if resume:
            done = stages.resume_score(work, unfinished(work.table, "score", run))
        else:
            layers = _layers(settings, ("data", "model", "optim", "score"),
                             score={"gap": gap, "family": family, "epochs": epochs})
            done = stages.score(work, dataset, root, layers, seed, checkpoint)
    tell_score(work.table, done)
    raise typer.Exit(3 if tell_media(work.table, done.data_id) else 0)


def tell_score(table: Table, run: Run) -> None:
    """A scored run in a few lines: the mixture, what it says, and what speaks against it."""
    found = table.read_round(run.run_id)
    for j, (pair, fitted) in enumerate(zip(found.gaps.pairs, found.fits, strict=True)):
        gaps, p = found.gaps.of(run.gap_kind or "prob")[:, j], found.p_balanced[:, j]
        typer.echo(f"{run.run_id}: {len(gaps)} training samples, {run.gap_kind} gap {pair[0]} - {pair[1]}, "
                   f"{fitted.family} mixture ({fitted.outcome})")
        for k in range(len(fitted.weights)):
            kind = "balanced" if k == fitted.balanced else "imbalanced"
            typer.echo(f"  {kind:<11} weight {fitted.weights[k]:.3f}  location {fitted.locs[k]:+.3f}  "
                       f"scale {fitted.scales[k]:.3f}")
        typer.echo(f"  p_balanced < 0.5 on {(p < 0.5).mean():.1%}; {pair[0]} ahead on {(gaps > 0).mean():.1%}")
        for note in fitted.warnings:
            typer.echo(f"  warning: {note}")


@app.command()
def select(
    threshold: Annotated[float | None, typer.Option(help="Keep p_balanced >= this, 0..1.")] = None,
    top: Annotated[int | None, typer.Option(help="Keep this many of highest p_balanced.")] = None,
    where: Annotated[str | None, typer.Option(help="A condition on the columns of `samples`.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the selection.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help=".csv, .parquet, or .txt with ids.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a selection of that name.")] = False,
    run: RunName = None,
    db: Db = DB,
    form: Output = "table",
) -> None:
    """Name the samples that a rule keeps, and say what that does to class balance."""
    from curate import selection as rules
    from curate.table import Table
    from curate.types import Selection

    if threshold is None and top is None and where is None:
        raise CurateError("select needs a rule", "give --threshold 0.8, --top 1000 or --where \"gap < 0.2\"")
    table = Table(db)
    scored = table.find_run(run, kind="score", status=None if run else "done")
    labelled = table.scored_labels(scored.run_id)
    ids, p = labelled["sample_id"], labelled["p_balanced"]
    kept = rules.select_above(p, 0 if threshold is None else threshold)
    if where is not None:
        import numpy as np

        kept &= np.isin(ids, table.scored_labels(scored.run_id, where)["sample_id"])
    if top is not None:
        chosen = rules.select_top(p[kept], ids[kept], top)
        kept[kept.nonzero()[0][~chosen]] = False
    parts = [f"p_balanced >= {threshold}" if threshold is not None else "", where or "", f"top {top}" if top else ""]
    rule = " and ".join(part for part in parts if part)
    balance = rules.class_balance(labelled["label_name"], kept)
    selection = Selection(name or f"{scored.run_id}: {rule}", scored.run_id, rule, ids[kept], len(ids), balance)
    table.write_selection(selection, replace)
    remark(f"{selection.name}: kept {kept.sum()} of {len(ids)} ({kept.mean():.1%})")
    if output:
        remark(f"wrote {table.export_selection(selection.name, output)} rows to {output}")
    show(["class", "kept", "of", "share"], [[c, k, n, k / n] for c, (k, n) in balance.items()], form)


@app.command()
def train(
    method: Annotated[str, typer.Option(help="Method name, see `curate methods`.")] = "",
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of the method.")] = None,
    start_at: Annotated[Literal["auto", "warm", "scratch"] | None,
                        typer.Option("--from", help="Starting weights.")] = None,
    threshold: Annotated[float | None, typer.Option(help="For subset: keep p_balanced >= this.")] = None,
    selection: Annotated[str | None, typer.Option(help="For subset: a stored selection.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the newest unfinished training.")] = False,
    run: RunName = None,
    db: Db = DB,
    seed: Annotated[int | None, typer.Option(envvar="CURATE_SEED", min=0, help="Default: the scored run's.")] = None,
    settings: Settings = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    workers: Workers = 0,
    cache: Cache = None,
    quiet: Quiet = False,
) -> None:
    """Train a method from a scored run, choose the epoch by validation, measure the test split once."""
    from train import catalog

    if not method and not resume:
        raise CurateError("train needs --method NAME", f"known: {', '.join(catalog.names())}")
    if method and method not in catalog.names():
        raise unknown_name("method", method, catalog.names())
    with working(db, cache, device, precision, workers, quiet) as work, resumable(work.table, "train"):
        from train import stages

        if resume:
            done = stages.resume_train(work, unfinished(work.table, "train", run, method or None))
        else:
            parent = work.table.find_run(run, kind="score", status=None if run else "done")
            layers = _layers(settings, ("model", "optim", "train", "method"), method,
                             train={"epochs": epochs, "start": start_at},
                             method={"threshold": threshold, "selection": selection})
            done = stages.train(work, parent, method, layers, parent.seed if seed is None else seed)
    best = work.table.best_epoch(done.run_id)
    remark(f"{done.run_id}: {done.method} from {done.parent}, best epoch {best} by validation; test split:")
    show_metrics(work.table.test_metrics(done.run_id))


def show_metrics(values: Mapping[str, Mapping[str, float]], form: Format = "table") -> None:
    """{modality: {metric: value}} as a table."""
    names = list(next(iter(values.values())))
    show(["", *names], [[m, *(v[k] for k in names)] for m, v in values.items()], form)


@app.command()
def evaluate(
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which split.")] = "test",
    run: RunName = None,
    db: Db = DB,
    device: Device = "auto",
    precision: Precision = "fp32",
    workers: Workers = 0,
    cache: Cache = None,
    quiet: Quiet = False,
    form: Output = "table",
) -> None:
    """Accuracy, macro-F1 and mean average precision of a run, per modality and fused."""
    with working(db, cache, device, precision, workers, quiet) as work:
        from train import stages

        found = work.table.find_run(run, status=None if run else "done")
        values = stages.evaluate(work, found, split)
    remark(f"{found.run_id}: split {split}")
    show_metrics(values, form)


@app.command()
def methods(form: Output = "table") -> None:
    """List the methods: paper, where they start, and what `--set method.KEY=VALUE` can change."""
    from train import catalog

    rows = [[e.name, e.paper, e.start, e.summary, "  ".join(f"{k}={v}" for k, (_, v) in e.knobs.items())]
            for e in catalog.entries()]
    show(["name", "paper", "start", "what", "knobs"], rows, form)


@app.command()
def runs(
    name: Annotated[str | None, typer.Argument(help="One run in full; all are listed when left out.")] = None,
    db: Db = DB,
    form: Output = "table",
) -> None:
    """List what has been run, newest first, or one run in full."""
    from curate.table import Table

    table = Table(db)
    if name is None:
        show(["run", "method", "dataset", "parent", "seed", "status", "test accuracy"], table.run_list(), form)
        return
    run = table.find_run(name)
    rows: list[Sequence[Any]] = [[k, getattr(run, k)] for k in (
        "status", "parent", "note", "seed", "data_id", "root", "folder", "checkpoint_sha256")]
    rows += [[f"{s}.{k}", v] for s, values in run.config.items() for k, v in values.items()]
    rows += [[f"version of {k}", v] for k, v in run.versions.items()]
    rows += table.mixture_rows(name)
    show(["what", "value"], rows, form)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT; - reads standard input.")] = "-",
    db: Db = DB,
    form: Output = "table",
) -> None:
    """Read-only SQL on the table; the views are `samples`, `history` and `results`."""
    from curate.table import Table

    text = sys.stdin.read() if query == "-" else query
    show(*Table(db).query(text), form)


@app.command()
def report(
    run: RunName = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for reports.")] = Path("reports"),
    db: Db = DB,
    cache: Cache = None,
) -> None:
    """Write one self-contained HTML page and its figures."""
    from curate.cache import default_folder
    from curate.report import build
    from curate.table import Table

    typer.echo(build(Table(db), run, output, cache or default_folder()))


@app.command()
def export(
    output: Annotated[Path, typer.Argument(help="A .parquet or .csv file.")],
    db: Db = DB,
) -> None:
    """Write the view `samples` to a file."""
    from curate.table import Table

    remark(f"wrote {Table(db).export_samples(output)} rows to {output}")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for table and report.")] = Path("curate-demo"),
    seed: Annotated[int, typer.Option(envvar="CURATE_SEED", min=0)] = 0,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """The whole path on the built-in data, in about a minute: score, select, train, report."""
    db = output / "curate.duckdb"
    with working(db, output / "cache", device, "fp32", 0, quiet) as work:
        from curate.report import build
        from train.demo import run_demo

        outcome = run_demo(work, seed)
        page = build(work.table, outcome.scored.run_id, output / "reports", work.cache_folder)
    tell_score(work.table, outcome.scored)
    show(["AUROC against planted", "", "0.5 = chance"], outcome.recovery_rows())
    show(["method", "test accuracy", *outcome.scored.modalities, "what it is"], outcome.result_rows())
    typer.echo("Epochs were chosen by validation, the test split measured once. Differences of a point or two on one "
               "seed are noise.")
    typer.echo(f"\nNext, look at the report: {page}")
    typer.echo(f"  ask the table:   curate sql --db {db} \"SELECT label_name, count(*), avg(p_imbalanced) FROM samples "
               "GROUP BY 1 ORDER BY 3 DESC\"")
    typer.echo("  your own data:   curate score --dataset manifest --root clips.csv    (see `curate datasets`)")


if __name__ == "__main__":
    main()
