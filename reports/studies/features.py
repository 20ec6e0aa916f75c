"""What is found in features computed beforehand: damage, swapped vectors, wrong labels.

    python reports/studies/features.py FSDD_FOLDER [WORK_FOLDER] [--emoji FOLDER] [--watch FOLDER] [--only digits]

digits, bands, halves, emoji and watch are those of `several.py`; a share of each view's vectors is damaged or replaced.
embedded: real digits with recordings, whose media are damaged, and then read by networks that were trained on 500 other
pairs: a stand-in for embeddings of damaged files. Each is scored by `curate score --features` with its usual settings
and `model.encoder=mlp`. A scored world and seed stays in the work folder, so that a stopped study goes on.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from improve import NATURAL, WORLDS, World
from several import Data, curate, emoji, made, watch, write

from curate import datasets
from curate.datasets.worlds import Fault
from curate.datasets.worlds.damages import apply
from curate.scores.metrics import auroc
from curate.scores.two_groups import CLAIMED
from curate.store.store import Store

VECTORS = {
    "nothing": {},
    "blank": {"silence": (0.08, 1.0)},
    "noise": {"noise": (0.08, 0.5)},
    "shuffled": {"shuffle": (0.08, 1.0)},
    "swapped": {"wrong_clip": (0.1, 1.0)},
    "labels": {"wrong_label": (0.15, 1.0)},
    "minority": {"minority": (0.05, 1.0)},
}
"""{world: {kind: (share, strength)}}; of damage the share is of each view, swapped and rare are those of the first."""
MEDIA = {
    "nothing": [],
    "natural": NATURAL,
    "shuffled": [Fault(kind="shuffle", modality=m, share=0.1) for m in ("audio", "visual")],
    "noise": [Fault(kind=k, modality=m, share=0.1) for k, m in (("static", "audio"), ("noise", "visual"))],
    "swapped": [Fault(kind="wrong_clip", modality="visual", share=0.1)],
    "minority": [Fault(kind="minority", modality="visual", share=0.04)],
}
HEAD = (
    "| data | world | seed | view | usability AUROC | claimed broken | right / found | claimed swapped | right / found "
    "| labels claimed | right / found |\n" + "| --- " * 11 + "|"
)


def planted(data: Data, world: str, seed: int) -> tuple[Data, list[str]]:
    """The data with the faults of a world in samples of their own, and the faults of each sample, joined by `; `."""
    rng, count = np.random.default_rng(seed), len(data.labels)
    free, faults = list(rng.permutation(count)), [""] * count
    views, labels = {m: x.reshape(count, -1).astype(np.float32) for m, x in data.views.items()}, np.array(data.labels)
    first = list(views)[:1]
    for kind, (share, strength) in VECTORS[world].items():
        for view in {"wrong_clip": first, "minority": first, "wrong_label": [""]}.get(kind, list(views)):
            chosen, free = free[: round(share * count)], free[round(share * count) :]
            before = views[view].copy() if view else None
            for i in chosen:
                other = rng.choice(np.flatnonzero(np.array(data.labels) != data.labels[i]))
                if kind == "wrong_label":
                    labels[i] = data.labels[other]
                elif kind == "wrong_clip":
                    views[view][i] = before[other]
                else:
                    views[view][i] = apply(kind, before[i], rng, strength)
                faults[i] = f"{kind} {view}".strip()
    return replace(data, views=views, labels=labels.tolist()), faults


@cache
def network(root: Path, work: Path, seed: int):
    """A network trained on 500 pairs of digits and recordings."""
    from curate.train.loop.engine import Runtime
    from curate.train.stages.score import score
    from curate.train.stages.session import Session

    place = Session(Store(work / f"network-{seed}.duckdb"), work / "cache", Runtime(device="cpu", workers=0))
    found = place.store.runs.all(status="done") if place.store.path.exists() else []
    layer = {"data": {"seed": seed, "train_samples": 500, "world": "nothing"}, "optim": {"lr": 1e-2}}
    run = found[0] if found else score(place, "world", root, [layer, {"score": {"folds": 0, "epochs": 15}}], seed)
    return place, run


def embedded(root: Path, work: Path, world: str, seed: int) -> tuple[Data, list[str]]:
    """What the network makes of 1617 other pairs with the faults of a world."""
    from curate.train.loop.engine import encode
    from curate.train.stages.setup import LAST, prepare

    place, run = network(root, work, seed)
    WORLDS["media"] = MEDIA[world]
    dataset = World(root, World.Options(seed=seed, train_samples=500, world="media"))
    job = prepare(place, run, dataset)
    job.load(job.folder / LAST)
    samples = job.samples("test")
    known = {s.sample_id: s for s in dataset.samples}
    own = [known[i] for i in samples.sample_ids.tolist()]
    data = Data([f"digit {s.label}" for s in own], encode(job.trainer, job.data, samples))
    return data, [str(s.extra.get("fault", "")) for s in own]


def rows(name: str, folder: Path, world: str, seed: int) -> list[str]:
    """Score, and count by view."""
    store = Store(folder / "curate.duckdb")
    if not store.path.exists() or not store.runs.all(status="done"):
        store.path.unlink(missing_ok=True)
        arguments = ("--features", str(folder), "--db", str(store.path), "--seed", str(seed))
        curate("score", *arguments, "--quiet", "--set", "model.encoder=mlp", out=sys.stderr)
    with (folder / "faults.csv").open() as file:
        faults = {i: text.split("; ") for i, text in csv.reader(file)}
    found = store.frame("SELECT * FROM samples WHERE imbalance IS NOT NULL ORDER BY sample_id", [])
    own = [faults[i] for i in found["sample_id"]]
    lines, labels = [], np.array(["wrong_label" in f for f in own])
    for view in store.runs.find(kind="score", status="done").modalities:
        here = [[kind for kind, _, of in (t.partition(" ") for t in f) if of == view] for f in own]
        swapped, rare = (np.array([kind in f for f in here]) for kind in ("wrong_clip", "minority"))
        damaged = np.array([bool(f) for f in here]) & ~swapped & ~rare
        usable = found[f"usability_{view}"].to_numpy(dtype=float)
        cells = [f"{auroc(1 - usable, damaged):.2f}" if damaged.any() else ""]
        cells += counted(found[f"p_broken_{view}"], damaged) + counted(found[f"p_swapped_{view}"], swapped)
        cells += counted(found["p_mislabelled"], labels)
        lines.append(f"| {name} | {world} | {seed} | {view} | {' | '.join(cells)} |")
    return lines


def counted(p, truth: np.ndarray) -> list[str]:
    """How many are claimed, how many of these rightly, and how many of the true ones."""
    p = p.to_numpy(dtype=float)
    if np.isnan(p).any():
        return ["not judged", ""]
    claimed = p > CLAIMED
    right = f"{truth[claimed].mean():.2f} / {claimed[truth].mean():.2f}" if claimed.any() and truth.any() else ""
    return [f"{claimed.mean():.1%}", right]


def main() -> None:
    """Print a row for each data set, world, seed and view."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fsdd", type=Path)
    parser.add_argument("work", type=Path, nargs="?", default=Path("features"))
    parser.add_argument("--seeds", default="31,32,33")
    parser.add_argument("--emoji", type=Path, help="An unpacked npm package.")
    parser.add_argument("--watch", type=Path, help="A folder with an unpacked PyPI package.")
    parser.add_argument("--only", nargs="*", help="Of the data sets.")
    options = parser.parse_args()
    known = datasets._found
    datasets._found = lambda: {**known(), World.name: World}
    options.work.mkdir(parents=True, exist_ok=True)
    found = {name: data for name, data in made(options.fsdd).items() if name != "tumours"}  # of 10 numbers
    for name, make, place in (("emoji", emoji, options.emoji), ("watch", watch, options.watch)):
        if place is not None:
            found[name] = make(place)
    print(HEAD)
    for name in options.only or [*found, "embedded"]:
        for number, world in enumerate(MEDIA if name == "embedded" else VECTORS):
            for seed in map(int, options.seeds.split(",")):
                folder = options.work / f"{name}-{number}-{seed}"
                if not (folder / "faults.csv").exists():
                    if name == "embedded":
                        data, faults = embedded(options.fsdd.resolve(), options.work, world, seed)
                    else:
                        data, faults = planted(found[name], world, seed)
                    write(folder, data)
                    with (folder / "faults.csv").open("w", newline="") as file:
                        csv.writer(file).writerows((f"s{i:04}", text) for i, text in enumerate(faults))
                print("\n".join(rows(name, folder, world, seed)), flush=True)


if __name__ == "__main__":
    main()
