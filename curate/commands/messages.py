"""What a command says: rows on standard output, and on standard error how it went and what to do next."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from curate.render import Format, describe_round, pieces, printable

if TYPE_CHECKING:
    from curate.comparison.plan import Plan
    from curate.datasets import Dataset
    from curate.store.store import Store
    from curate.types import Run, Selection


Tell = Callable[[str], None]
MOST_ROWS = 10_000
"""Of a table for people."""


def remark(text: str) -> None:
    """Lines on standard error, safe for a terminal."""
    typer.echo(printable(text, keep="\n"), err=True)


def say(text: str) -> None:
    """Lines on standard output, safe for a terminal."""
    typer.echo(printable(text, keep="\n"))


def ignore(text: str) -> None:
    """A line that nobody is to see."""


def show(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: Format = "table") -> None:
    """Rows to standard output; never folded in a pipe."""
    show_portions(columns, [rows], form)


def show_portions(
    columns: Sequence[str], portions: Iterable[Sequence[Sequence[Any]]], form: Format, tell: Tell = remark
) -> None:
    """Rows to standard output as they come; of a table, which needs all before the first, so many as can be read."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    if form == "table":
        rows = list(islice(chain.from_iterable(portions), MOST_ROWS + 1))
        portions = [rows[:MOST_ROWS]]
        if len(rows) > MOST_ROWS:
            tell(f"these are the first {MOST_ROWS} rows, there are more: --format csv gives all")
    for piece in pieces(columns, portions, form, width):
        # With color=True nothing is taken out: in a pipe an id stays the id.
        typer.echo(printable(piece, keep="\n\t") if terminal else piece, color=True)


def share(value: float, form: Format) -> str | float:
    """A share in 0..1, in percent where people read it."""
    return f"{value:.1%}" if form in ("table", "markdown") else value


def show_metrics(values: Mapping[str, Mapping[str, float]], form: Format = "table") -> None:
    """{modality: {metric: value}} as a table."""
    names = list(next(iter(values.values())))
    show(["", *names], [[m, *(v[k] for k in names)] for m, v in values.items()], form)


@contextmanager
def resumable(store: Store, kind: str, usual: Path) -> Iterator[None]:
    """Ctrl-C ends with what was kept and how to go on; `usual` is where the table is if nobody says."""
    try:
        yield
    except KeyboardInterrupt:
        run = next(iter(store.runs.all(kind=kind)), None) if store.path.exists() else None
        if run and run.status in ("interrupted", "running"):
            db = "" if store.path == usual else f" --db {store.path}"
            remark(f"interrupted: {run.run_id} keeps every finished epoch; go on with `curate {kind} --resume{db}`")
        else:
            remark("interrupted: no run was begun; media decoded so far are kept for the next time")
        raise typer.Exit(130) from None


@contextmanager
def repeatable(name: str) -> Iterator[None]:
    """Ctrl-C ends with how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        remark(f"interrupted: {name} keeps its finished cells and epochs; the same command goes on from there")
        raise typer.Exit(130) from None


def tell_media(store: Store, data_id: str) -> bool:
    """Say how many items of a data set cannot be used, and why; whether there are any."""
    bad = store.samples.status_counts(data_id)
    if bad:
        remark(
            "not usable: "
            + ", ".join(f"{count} {status}" for status, count in bad)
            + "; listed by `curate sql \"SELECT sample_id, status, reason FROM samples WHERE status <> 'ok'\"`"
        )
    return bool(bad)


def tell_plan(dataset: Dataset, folder: Path, workers: int) -> None:
    """What is decoded, where to, how much disk that takes, and about how long."""
    from curate.datasets.cache import describe_plan

    for note in dataset.notes:
        remark(f"note: {note}")
    remark(describe_plan(dataset, folder, workers))


def tell_sample(dataset: Dataset, sample_id: str, folder: Path, form: Format) -> None:
    """What was done to the media of a sample, and where it is to be seen and heard."""
    from curate.datasets.sample_files import find_sample, write_sample

    sample = find_sample(dataset, sample_id)
    rows, written = write_sample(dataset, sample, folder)
    remark(f"{dataset.name}: {sample.sample_id}, {sample.split}, {sample.label}")
    show(["modality", "fact", "value", "what"], rows, form)
    for path in written:
        remark(f"written: {path}")


def tell_findings(dataset: Dataset, remark: Tell = remark) -> None:
    """How a data set was read, which of its files are there, and what is suspicious about it."""
    from curate.datasets import checks

    for note in dataset.notes:
        remark(f"note: {note}")
    for modality, counts in checks.files_found(dataset).items():
        remark(f"{modality} files: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    found = checks.check(dataset)
    for kind, what in checks.KINDS.items():
        own = [f for f in found if f.kind == kind]
        if own:
            shown = "; ".join(printable(f"{f.sample_id}: {f.detail}") for f in own[:3])
            shown += "; ..." if len(own) > 3 else ""
            remark(f"{kind}, {what}: {len(own)}, e.g. {shown}")


def tell_score(store: Store, run: Run) -> None:
    """A scored run: what was found, the strongest signal first, and below it the mixture in numbers."""
    from curate.advice.evidence import conclusions, read_evidence

    evidence = read_evidence(store, run.run_id)
    typer.echo(f"{run.run_id}: {evidence.samples} training samples")
    for line in conclusions(evidence):
        typer.echo(f"  {line}")
    typer.echo("\n".join(describe_round(run, store.rounds.read(run.run_id))))
    if run.folds:
        own, more = store.epochs.warm_up_seconds(run.run_id)
        typer.echo(
            f"  out of fold: {run.folds} models, each scored the fold it had not seen, in {more:.0f} s; "
            f"the warm-up took {own:.0f} s"
        )


def tell_growth(store: Store, before: Run, grown: Run) -> None:
    """What `--only-missing` found to do."""
    if grown.run_id == before.run_id:
        remark(f"nothing is missing: every training sample has its score in {before.run_id}")
    else:
        remark(f"{grown.run_id}: {grown.note}, under its mixture; the others keep their scores")
        tell_score(store, grown)


def tell_selection(chosen: Selection, form: Format, remark: Tell = remark) -> None:
    """What a selection kept, and what that does to class balance."""
    kept = len(chosen.sample_ids)
    remark(f"{chosen.name}: kept {kept} of {chosen.candidates} ({kept / chosen.candidates:.1%})")
    if kept == chosen.candidates:
        remark("that is every scored sample: to train on it is to train on all")
    show(["class", "kept", "of", "share"], [[c, k, n, share(k / n, form)] for c, (k, n) in chosen.kept.items()], form)


def tell_comparison(store: Store, name: str, plan: Plan | None, form: Format, quiet: bool) -> bool:
    """Print a stored comparison and how to read it; whether a cell has no result."""
    from curate.comparison.layout import cells, notes, records
    from curate.comparison.plan import CONTROLS
    from curate.comparison.summary import missing_controls, summarize

    found = store.comparisons.find(name)
    lines = summarize(found)
    head, rows = cells(lines, plan) if form in ("table", "markdown") else records(lines)
    show(head, rows, form)
    for dataset, control in missing_controls(lines, CONTROLS):
        remark(f"warning: {dataset}: the control {control} is missing; without it anything looks like a gain")
    if not quiet:
        for note in notes(plan):
            remark(note)
    return any(cell.run_id is None for cell in found)
