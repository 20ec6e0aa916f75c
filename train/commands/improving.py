"""`curate improve`: remedies for what was found, beside their fair baseline."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.commands import precedence
from curate.commands.messages import messages, percent, print_message, print_rows
from curate.commands.options import (
    DB,
    Cache,
    Db,
    Device,
    Output,
    Precision,
    Quiet,
    RowsFile,
    RunName,
    Settings,
    Track,
    Workers,
)
from curate.errors import counted

from .opening import need_model, opened, repeatable

if TYPE_CHECKING:
    from curate.advice.evidence import Evidence
    from curate.render import Format, Message
    from curate.scores.relabel import Gain
    from curate.store.store import Store
    from curate.train.stages.improve import Improvement, Outcome
    from curate.types import Run

NOTHING_HELPS = (
    "in the studies nothing that was done about them beat augmentation and averaged weights, which all rows have"
)


def improve(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Train without asking.")] = False,
    seeds: Annotated[
        str | None, typer.Option(help="How many, from 0 on; or a list such as 0,7. Default: the scored run's.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each training.")] = None,
    control: Annotated[bool, typer.Option("--control", help="Also as many labels changed at random.")] = False,
    run: RunName = None,
    db: Db = DB,
    settings: Settings = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    track: Track = None,
    workers: Workers = None,
    cache: Cache = None,
    quiet: Quiet = False,
    output: RowsFile = None,
    form: Output = "table",
) -> None:
    """Say what would be changed and why, ask, and train with it and without it, side by side.

    Training labels that are probably wrong are replaced, people's marks first; or as many samples of each batch are
    left out, those with the largest loss. Validation chooses. Finished trainings are taken from the table, so the same
    command goes on after an interruption. Of saved predictions, which have no model, the changed labels are listed.
    """
    from curate.comparison.plan import parse_seeds
    from curate.store.store import Store

    store = Store(db, writes=True)
    parent = store.runs.find(run, kind="score", status=None if run else "done")
    from curate.advice.evidence import read_evidence

    if parent.method == "predictions" and not (yes or seeds or epochs or control):
        _listed(store, parent, form, output, messages(quiet))
        return
    need_model(parent)
    drawn = parse_seeds(seeds) if seeds else [parent.seed]
    layers = precedence.layers(ctx, ("optim", "train"), None, train={"epochs": "epochs"})
    with opened(ctx) as session:
        from curate.train.stages.improve import improve as train_rows
        from curate.train.stages.improve import plan_improvement

        plan = plan_improvement(session, parent, layers, drawn, control)
    say = messages(quiet and yes)  # without --yes this is all that the command says
    for line in explanation(plan, read_evidence(store, parent.run_id)):
        say(line)
    if len(plan.rows) < 2 or not (yes or not plan.cost or _agreed()):
        return
    with opened(ctx) as session, repeatable("improve"):
        results = train_rows(session, plan)
    print_rows(*(_cells if output is None and form in ("table", "markdown") else _records)(results, form), form, output)
    for line in conclusion(results):
        messages(quiet)(line)


def _listed(store: Store, parent: Run, form: Format, output: Path | None, say: Message) -> None:
    """Print, or write to a file, the labels that a training would change, where there is no model to train."""
    from curate.advice.relabelling import find_corrections

    found = find_corrections(store, parent, "corrected", parent.seed)
    say(f"{parent.run_id} was scored from saved predictions: nothing is trained; the labels to change are listed")
    say(f"change: {found.describe()}")
    if not (found.sample_ids or output):
        return
    rows = list(zip(found.sample_ids, found.given, found.used, found.why, strict=True))
    print_rows(["sample_id", "label", "new_label", "why"], rows, form, output)
    if output:
        say(f"wrote {counted(len(rows), 'row')} to {output}")
    else:
        say(f"`curate improve --run {parent.run_id} -o labels.csv` writes them to a file; train with new_label")


def explanation(plan: Improvement, evidence: Evidence) -> Iterator[str]:
    """What would be changed and why, what is left as it is, and what would be trained."""
    from curate.advice.conclusions import conclusions

    yield f"{plan.parent.run_id} of {plan.parent.dataset}"
    yield from (line for line in conclusions(evidence) if line.split(":")[0] in ("learnt", "by heart", "labels"))
    yield f"change: {plan.corrections.describe()}"
    if plan.wrong:
        yield f"leave out: {plan.wrong}; of each batch so many, those with the largest loss"
    if evidence.broken:
        shares = ", ".join(f"{m} {share:.0%}" for m, share in evidence.broken.items())
        yield f"left as they are: broken sides ({shares}): {NOTHING_HELPS}"
    if len(plan.rows) < 2:
        name = f" --run {plan.parent.run_id}"
        baseline = f"curate train{name} --method warmup --set train.augment=shift --set optim.ema=0.99"
        yield f"nothing to train beside the baseline, which is `{baseline}`"
        return
    rows = "; ".join(row.label for row in plan.rows)
    seeds = ", ".join(map(str, plan.seeds))
    yield (
        f"train: the warm-up continued, with augmentation and averaged weights: {rows}; seeds {seeds}; "
        f"{plan.cost or 'all are done'}"
    )


def _agreed() -> bool:
    """Whether the person at the terminal wants it; without a terminal nobody was asked, so no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        print_message("nothing was trained: nobody to ask; --yes trains")
        return False
    return typer.confirm("train?", err=True)


def conclusion(results: Sequence[Outcome]) -> Iterator[str]:
    """What validation chose, what that is worth on the test split, and what it cost."""
    from curate.train.stages.improve import chosen

    first, *others = results
    best = chosen(results)
    seen = ", ".join(f"{r.label} {r.on_val.text}" for r in others if r.on_val and not r.control)
    yield f"chosen by validation: {best.label} ({seen} points there); run {', '.join(best.runs)}"
    for r in others:
        found = r.on_test
        assert found is not None
        what = f"{r.label} minus {first.label} on test"
        if r.control:
            yield f"{what}, the control: {found.text} points"
        else:
            minutes = f"{r.minutes:.1f} minutes of training beside {first.minutes:.1f}"
            yield f"{what}: {found.text} points, {_verdict(found)}; {minutes}"
    yield (
        "intervals of 95 % are over the samples, paired; trainings differ by themselves too, by up to a point or more, "
        "which --seeds shows; wrong labels in validation and test hide a part of every difference"
    )


def _verdict(found: Gain) -> str:
    """Whether both intervals leave zero out: over the samples, and Student's over the seeds.

    Trainings that differ in next to nothing differ in accuracy, which only several seeds show.
    """
    from curate.comparison.summary import BETTER, EVEN, UNJUDGED, WORSE, difference

    over_seeds = difference(dict(enumerate(found.by_run)), dict.fromkeys(range(len(found.by_run)), 0.0))
    verdict = UNJUDGED if over_seeds is None else over_seeds.verdict
    agreed = {BETTER: found.low > 0, WORSE: found.high < 0}.get(verdict, True)
    return verdict if agreed else EVEN


def _cells(results: Sequence[Outcome], form: Format) -> tuple[list[str], list[list[Any]]]:
    """Rows for people."""
    head = ["labels", "validation", "minus given, points", "test", "minus given, points", "minutes"]
    return head, [
        [
            r.label,
            percent(r.val, form),
            r.on_val.text if r.on_val else "",
            percent(r.test, form),
            r.on_test.text if r.on_test else "",
            f"{r.minutes:.1f}",
        ]
        for r in results
    ]


def _records(results: Sequence[Outcome], form: Format) -> tuple[list[str], list[list[Any]]]:
    """Rows for programs: every number by itself, shares in 0..1."""
    parts = ("mean", "low", "high")
    head = ["labels", "runs", "minutes", "validation", "test"]
    head += [f"{split}_gain_{part}" for split in ("validation", "test") for part in parts]
    rows = []
    for r in results:
        gains = [getattr(g, part) if g else None for g in (r.on_val, r.on_test) for part in parts]
        rows.append([r.label, " ".join(r.runs), r.minutes, r.val, r.test, *gains])
    return head, rows


COMMANDS = (improve,)
