"""What a command prints: rows on standard output; how it went and what to do next on standard error."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from curate.advice.describe import describe_round
from curate.errors import counted
from curate.files.writing import replacing
from curate.render import Format, Message, cut, no_message, pieces, printable

from .typed import as_typed

if TYPE_CHECKING:
    from curate.comparison.plan import Plan
    from curate.datasets import Dataset
    from curate.store.store import Store
    from curate.types import Run, Selection


ENDINGS: Mapping[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".md": "markdown",
}
"""Of files of rows."""
MOST_ROWS = 10_000
"""Most rows printed in the format `table`."""


def print_message(text: str) -> None:
    """Lines on standard error, safe for a terminal."""
    typer.echo(printable(as_typed(text), keep="\n"), err=True)


def print_text(text: str) -> None:
    """Lines on standard output, safe for a terminal."""
    typer.echo(printable(as_typed(text), keep="\n"))


def messages(quiet: bool) -> Message:
    """The function that prints a command's messages; with `quiet` it prints nothing."""
    return no_message if quiet else print_message


def print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], form: Format = "table", output: Path | None = None
) -> None:
    """Rows to standard output, where lines are never wrapped in a pipe, or to a file."""
    print_portions(columns, [rows], form, output=output)


def print_portions(
    columns: Sequence[str],
    portions: Iterable[Sequence[Sequence[Any]]],
    form: Format,
    message: Message = print_message,
    output: Path | None = None,
    longest: int | None = None,
) -> None:
    """Rows to standard output as they come; in the format `table`, which needs all first, `MOST_ROWS` at most.

    Args:
        output: the file that gets all of them instead; its suffix is one of `ENDINGS`, see `options.RowsFile`.
        longest: most characters of a cell in the format `table`; None: any number.

    Raises:
        CurateError: the file cannot be written.
    """
    if output is not None:
        _write_portions(columns, portions, output)
        return
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    if form == "table":
        rows = list(islice(chain.from_iterable(portions), MOST_ROWS + 1))
        kept, short = cut(rows[:MOST_ROWS], longest) if longest else (rows[:MOST_ROWS], False)
        portions = [kept]
        if short:
            message(f"cells of more than {longest} characters are cut: --format csv gives them in full")
        if len(rows) > MOST_ROWS:
            message(f"these are the first {MOST_ROWS} rows, there are more: --format csv gives all")
    for piece in pieces(columns, portions, form, width):
        # With color=True typer removes no characters: in a pipe an id is printed unchanged.
        typer.echo(printable(piece, keep="\n\t") if terminal else piece, color=True)


def _write_portions(columns: Sequence[str], portions: Iterable[Sequence[Sequence[Any]]], output: Path) -> None:
    with replacing(output) as fresh, fresh.open("w", encoding="utf-8") as file:
        for piece in pieces(columns, portions, ENDINGS[output.suffix]):
            file.write(piece + "\n")


def percent(value: float, form: Format) -> str | float:
    """A share in 0..1: as text in percent in the formats `table` and `markdown`, else the number."""
    return f"{value:.1%}" if form in ("table", "markdown") else value


def print_metrics(
    values: Mapping[str, Mapping[str, float]], form: Format = "table", output: Path | None = None
) -> None:
    """{modality: {metric: value}} as a table."""
    names = list(next(iter(values.values())))
    print_rows(["", *names], [[m, *(v[k] for k in names)] for m, v in values.items()], form, output)


def warn_unusable(store: Store, data_id: str) -> bool:
    """Print how many items of a data set cannot be used, and why; returns whether there are any."""
    bad = store.samples.status_counts(data_id)
    if bad:
        scored = store.runs.all(kind="score", status="done", dataset=data_id.partition("-")[0])
        hidden = scored and scored[0].data_id != data_id  # `samples` shows the newest scored run of a data set
        where = f"sample WHERE data_id = '{data_id}' AND" if hidden else "samples WHERE"
        print_message(
            "not usable: "
            + ", ".join(f"{count} {status}" for status, count in bad)
            + f"; listed by `curate sql \"SELECT sample_id, status, reason FROM {where} status <> 'ok'\"`"
        )
    return bool(bad)


def print_plan(dataset: Dataset, folder: Path, workers: int, engine: str) -> None:
    """Print what is decoded, where to, how much disk space that takes, and about how long."""
    from curate.datasets.cache import describe_plan

    for note in dataset.notes:
        print_message(f"note: {note}")
    print_message(describe_plan(dataset, folder, workers, engine == "processes"))


def print_sample(dataset: Dataset, sample_id: str, folder: Path, form: Format, message: Message) -> None:
    """Print what was done to the media of a sample, and which files show the result."""
    from curate.datasets.sample_files import find_sample, write_sample

    sample = find_sample(dataset, sample_id)
    rows, written = write_sample(dataset, sample, folder)
    message(f"{dataset.name}: {sample.sample_id}, {sample.split}, {sample.label}")
    print_rows(["modality", "fact", "value", "what"], rows, form)
    for path in written:
        message(f"written: {path}")


def print_findings(dataset: Dataset, message: Message = print_message) -> None:
    """Print how a data set was read, which of its files are there, and what is suspicious about it."""
    from curate.datasets import checks

    for note in dataset.notes:
        message(f"note: {note}")
    every = checks.files_found(dataset)
    missing = checks.first_missing(dataset) if any("missing" in counts for counts in every.values()) else {}
    for modality, counts in every.items():
        what = "texts" if dataset.specs[modality].kind == "text" else "files"
        shown = ", ".join(f"{count} {status}" for status, count in counts.items())
        first = f"; first missing: {printable(missing[modality])}" if modality in missing else ""
        message(f"{modality} {what}: {shown}{first}")
    found = checks.check(dataset)
    for kind, what in checks.KINDS.items():
        own = [f for f in found if f.kind == kind]
        if own:
            shown = "; ".join(printable(f"{f.sample_id}: {f.detail}") for f in own[:3])
            shown += "; ..." if len(own) > 3 else ""
            message(f"{kind}, {what}: {len(own)}, e.g. {shown}")


def print_score(store: Store, run: Run) -> None:
    """Print a scored run: what was found, the strongest signal first, and below it the mixture in numbers."""
    from curate.advice.conclusions import conclusions
    from curate.advice.evidence import read_evidence

    found = store.rounds.read(run.run_id)
    evidence = read_evidence(store, run.run_id, found)
    print_text(f"{run.run_id}: {counted(evidence.samples, 'training sample')}")
    for line in conclusions(evidence):
        print_text(f"  {line}")
    print_text("\n".join(describe_round(run, found)))
    if run.folds:
        own, more = store.epochs.warm_up_seconds(run.run_id)
        print_text(
            f"  out of fold: {run.folds} models, each scored the fold it had not seen, in {more:.0f} s; "
            f"the warm-up took {own:.0f} s"
        )


def print_growth(store: Store, before: Run, grown: Run, quiet: bool) -> None:
    """Print what `--only-missing` had to score, unless `quiet`."""
    if quiet:
        return
    if grown.run_id == before.run_id:
        print_message(f"nothing is missing: every training sample has its score in {before.run_id}")
    else:
        print_message(f"{grown.run_id}: {grown.note}, under its mixture; the others keep their scores")
        print_score(store, grown)


def print_selection(chosen: Selection, form: Format, message: Message, ranked: bool = False) -> None:
    """Print what a selection kept, and how that changes class balance; of a ranking also `thin_classes`."""
    kept = len(chosen.sample_ids)
    message(f"{chosen.name}: kept {kept} of {chosen.candidates} ({kept / chosen.candidates:.1%})")
    if kept == chosen.candidates:
        message("that is every scored sample: to train on it is to train on all")
    if ranked and (thin := thin_classes(chosen)):
        message(thin)
    print_rows(
        ["class", "kept", "of", "share"], [[c, k, n, percent(k / n, form)] for c, (k, n) in chosen.kept.items()], form
    )


def thin_classes(chosen: Selection) -> str:
    """A line on the classes of which less than half as much is kept as of all samples; '' if there is none."""
    share = len(chosen.sample_ids) / max(chosen.candidates, 1)
    thin = [f"{c} ({k} of {n})" for c, (k, n) in sorted(chosen.kept.items()) if k < share * n / 2]
    if not thin:
        return ""
    named = ", ".join(thin[:5]) + (f", ... ({len(thin)} in all)" if len(thin) > 5 else "")
    return (
        f"of some classes less than half as much is kept as of all: {named}; these may be hard rather than bad, and a "
        "model that is trained without them will not know them; --per-class N keeps the best of each"
    )


def print_comparison(store: Store, name: str, plan: Plan | None, form: Format, quiet: bool) -> bool:
    """Print a stored comparison and how to read it; returns whether a cell has no result."""
    from curate.advice.kept import measured
    from curate.comparison.layout import aside, cells, in_paper, notes, records
    from curate.comparison.paper import EXPLAINED
    from curate.comparison.plan import CONTROLS, IMPROVE
    from curate.comparison.ranks import mean_ranks
    from curate.comparison.summary import missing_controls

    lines, people, found = measured(store, name), form in ("table", "markdown"), store.comparisons.find(name)
    head, rows = cells(lines, plan) if people else records(lines, plan)
    remarks: list[str] = []
    if form == "table":
        head, rows, remarks = aside(head, rows)
    print_rows(head, rows, form)
    for line, remark in zip(lines, remarks, strict=False):
        if remark:
            print_text(f"{line.label}: {remark}")
    if people and (paper := in_paper(lines, plan)):
        head, rows = paper
        print_text("")
        print_rows(head, rows, form)
        if not quiet:
            print_message(EXPLAINED)
    for dataset, control in missing_controls(lines, () if name == IMPROVE else CONTROLS):
        print_message(f"warning: {dataset}: the control {control} is missing; without it anything looks like a gain")
    if not quiet:
        for note in notes(lines, plan):
            print_message(note)
        ranks = mean_ranks(found) if len({line.dataset for line in lines}) > 1 else None
        if ranks:
            print_message(ranks.said)
    return any(cell.run_id is None for cell in found)
