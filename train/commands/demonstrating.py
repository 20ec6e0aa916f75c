"""`curate demo`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from curate.commands.messages import print_rows, print_score, print_text
from curate.commands.options import Device, Quiet, Seed

from .opening import opened


def demo(
    ctx: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for table and report.")] = Path("curate-demo"),
    seed: Seed = 0,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """The whole path on the built-in data, in about two minutes: score, select, train, report."""
    db = output / "curate.duckdb"
    with opened(ctx, db, output / "cache") as session:
        from curate.report import build
        from curate.train.methods import catalog
        from curate.train.stages.demo import run_demo

        outcome = run_demo(session, seed)
        usual = catalog.usual_settings()
        page = build(session.store, outcome.scored.run_id, output / "reports", session.cache_folder, usual=usual)
    print_score(session.store, outcome.scored)
    print_rows(["AUROC against planted", "", "0.5 = chance"], outcome.recovery_rows())
    print_rows(["method", "test accuracy", *outcome.scored.modalities, "what it is"], outcome.result_rows())
    print_text(
        "Epochs were chosen by validation, the test split measured once. Differences of a few points on one seed "
        "are noise."
    )
    typed = "curate" if shutil.which("curate") else sys.argv[0]
    print_text(f"\nNext, look at the report: {page}")
    print_text(
        f'  ask the table:   {typed} sql --db {db} "SELECT label_name, count(*), avg(p_imbalanced) FROM samples '
        'GROUP BY 1 ORDER BY 3 DESC"'
    )
    print_text(f"  your own data:   {typed} score --dataset manifest --root clips.csv    (see `{typed} datasets`)")


COMMANDS = (demo,)
