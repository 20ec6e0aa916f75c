"""What is found of wrong labels, few and many, on four data sets of features.

    python reports/studies/labels.py FSDD_FOLDER [WORK_FOLDER] [--seeds 1,2,3] [--only digits]

digits, bands and halves have 10 and 6 classes and two views, tumours two classes and three views: see `several.py`. A
share of the labels is replaced, in every split, by any other class or by the next one. Each is scored by `curate score
--features` with its usual settings and `model.encoder=mlp`. A scored world and seed stays in the work folder, so that a
stopped study goes on.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from several import Data, curate, made, write

from curate.advice.evidence import read_evidence
from curate.scores.two_groups import CLAIMED
from curate.store.store import Store

WORLDS = {
    "nothing": (0.0, False),
    "5 %": (0.05, False),
    "15 %": (0.15, False),
    "30 %": (0.3, False),
    "45 %": (0.45, False),
    "next 25 %": (0.25, True),
}
"""{name: share of wrong labels, whether they are the next class}."""
HEAD = (
    "| data | wrong labels | seed | right, held out | wrong there, at least | claimed | precision / recall |\n"
    + "| --- " * 7
    + "|"
)


def planted(data: Data, share: float, following: bool, seed: int) -> tuple[Data, np.ndarray]:
    """The data with wrong labels, and (N,) whether a sample has one."""
    rng, count, classes = np.random.default_rng(seed), len(data.labels), sorted(set(data.labels))
    wrong = np.isin(np.arange(count), rng.permutation(count)[: round(share * count)])
    steps = np.where(wrong, 1 if following else rng.integers(1, len(classes), count), 0)
    labels = [
        classes[(classes.index(label) + step) % len(classes)]
        for label, step in zip(data.labels, steps.tolist(), strict=True)
    ]
    return replace(data, labels=labels), wrong


def row(name: str, data: Data, world: str, seed: int, work: Path) -> str:
    """Plant, score and count."""
    changed, wrong = planted(data, *WORLDS[world], seed)
    folder = work / f"{name}-{list(WORLDS).index(world)}-{seed}"
    write(folder, changed)
    store = Store(folder / "curate.duckdb")
    if not store.path.exists() or not store.runs.all(status="done"):
        store.path.unlink(missing_ok=True)
        arguments = ("--features", str(folder), "--db", str(store.path), "--seed", str(seed))
        curate("score", *arguments, "--quiet", "--set", "model.encoder=mlp", out=sys.stderr)
    known = store.relabelled.known(store.runs.find(kind="score", status="done"))
    wrong = wrong[[int(i[1:]) for i in known.sample_ids.tolist()]]
    held, claimed = read_evidence(store).held_out, known.p_mislabelled > CLAIMED
    hits = (claimed & wrong).sum()
    cells = [
        f"{held.accuracy['fused']:.0%}",
        f"{held.wrong:.0%}",
        "not judged" if np.isnan(known.p_mislabelled).any() else f"{claimed.mean():.1%}",
        f"{hits / claimed.sum():.2f} / {hits / wrong.sum():.2f}" if claimed.any() and wrong.any() else "",
    ]
    return f"| {name} | {world} | {seed} | {' | '.join(cells)} |"


def main() -> None:
    """Print a row for each data set, world and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fsdd", type=Path)
    parser.add_argument("work", type=Path, nargs="?", default=Path("labels"))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--only", nargs="*", help="Of the data sets.")
    options = parser.parse_args()
    print(HEAD)
    for name, data in made(options.fsdd).items():
        if not options.only or name in options.only:
            for world in WORLDS:
                for seed in map(int, options.seeds.split(",")):
                    print(row(name, data, world, seed, options.work), flush=True)


if __name__ == "__main__":
    main()
