"""What is a low group: broken, a set of classes, a readable minority? Before and after, on the same warm-ups.

Usage: python reports/studies/groups.py FSDD_FOLDER [--work FOLDER] [--seeds 0,1] [--worlds "minority,shuffled"]
The table goes to standard output. A warm-up takes 1500 training samples and 20 epochs at learning rate 0.01; what
usability is judged by is kept in the work folder, so that a stopped study goes on. "Before" is the same evidence judged
without labels and content, which claims as was done before groups were told apart.
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")

from curate.datasets.worlds import Fault, Planted
from curate.scores.guard import Labels
from curate.scores.metrics import auroc
from curate.scores.usability import DENIED, Evidence, Usability, assess, contradiction

RAW = {"degrade": False}
NOTHING = {"degrade": True, "noise": "clean", "degraded_audio": 0.0, "degraded_visual": 0.0}
DIGITS = tuple("0123456789")
WORLDS = {
    "nothing": (RAW, []),
    "nothing noisy": (NOTHING, []),
    "ambiguous": (RAW, [Fault(kind="ambiguous", modality="visual", share=1, classes=("3", "5", "8", "9"))]),
    "minority": (RAW, [Fault(kind="minority", modality="visual", share=0.04)]),
    "minority small": (RAW, [Fault(kind="minority", modality="visual", share=0.025)]),
    "minority sound": (RAW, [Fault(kind="minority", modality="audio", share=0.04)]),
    "class": (RAW, [Fault(kind="noise", modality="visual", share=0.6, classes=("3",))]),
    "class sound": (RAW, [Fault(kind="noise", modality="audio", share=0.6, classes=("3",))]),
    "shuffled": (
        RAW,
        [Fault(kind="shuffle", modality="visual", share=0.25), Fault(kind="shuffle", modality="audio", share=0.12)],
    ),
    "noise spread": (RAW, [Fault(kind="noise", modality="visual", share=0.4, spread=True)]),
    "labels": (RAW, [Fault(kind="wrong_label", share=0.1)]),
    "swapped": (RAW, [Fault(kind="wrong_clip", modality="visual", share=0.1)]),
    "hard": ({"degrade": True}, []),
    "hard clean": ({"degrade": True, "noise": "clean"}, []),
}


def collect(root: Path, work: Path, world: str, seed: int) -> Path:
    """One warm-up, and what it is judged by, in an NPZ file; nothing is done if that is there."""
    from curate.store.store import Store
    from curate.train.loop.engine import Runtime
    from curate.train.stages.assess import gather
    from curate.train.stages.score import score
    from curate.train.stages.session import Session
    from curate.train.stages.setup import LAST, prepare

    path = work / f"{world}-{seed}.npz"
    if path.exists():
        return path
    options, faults = WORLDS[world]
    db = work / f"{world}-{seed}.duckdb"
    place, made = Session(Store(db), work / "cache", Runtime(device="cpu", workers=0)), []
    settings = {"data": {"seed": seed, "train_samples": 1500, **options}, "optim": {"lr": 1e-2}, "score": {"folds": 0}}

    def change(dataset):
        made.append(Planted(dataset, faults, seed))
        return made[0]

    run = score(place, "avdigits", root, [settings], seed, change=change)
    job = prepare(place, run, made[0])
    job.load(job.folder / LAST)
    ids, p_true, margins = place.store.dynamics.means(run.run_id)
    truth = {s.sample_id: s for s in made[0].samples}
    kept = {"p": p_true, "fused": margins[:, -1], "labels": job.data.fit.labels}
    for m, e in gather(job, p_true).items():
        kept |= {f"x_{m}": e.appearance, f"h_{m}": e.held_appearance, f"hp_{m}": e.held_p_true}
        kept |= {f"pattern_{m}": e.pattern, "hlabels": e.labels.held}
    kept["planted"] = np.array([truth[i].planted or "" for i in ids])
    kept["fault"] = np.array([truth[i].extra.get("fault", "") for i in ids])
    np.savez_compressed(path, ids=ids, **kept)
    db.unlink()
    return path


def evidence(known) -> dict[str, Evidence]:
    """{modality: its evidence} of a kept warm-up."""
    labels = Labels(known["labels"], known["hlabels"], DIGITS)
    return {
        m: Evidence(
            known["p"][:, j],
            known[f"x_{m}"],
            known[f"hp_{m}"],
            known[f"h_{m}"],
            False,
            labels,
            known.get(f"pattern_{m}"),
        )
        for j, m in enumerate(("audio", "visual"))
    }


def measured(found: Usability, known) -> list[str]:
    """Claimed, precision and recall of claims, AUROC of imbalance, and what selecting 90 % keeps of the planted."""
    claimed = found.p_broken > 0.5
    damaged = np.stack([[m in p.split("+") for p in known["planted"]] for m in found.modalities], axis=1)
    hits, alone = (claimed & damaged).sum(), damaged.sum(axis=1) == 1
    kept = found.imbalance <= np.quantile(found.imbalance, 0.9)
    planted = known["fault"] != ""
    return [
        f"{claimed.any(axis=1).mean():.1%}",
        f"{hits / claimed.sum():.2f} / {hits / damaged.sum():.2f}" if claimed.any() and damaged.any() else "",
        f"{auroc(found.imbalance, alone):.3f}" if alone.any() else "",
        f"{kept[planted].mean():.0%}" if planted.any() else "",
    ]


def row(world: str, seed: int, path: Path) -> str:
    """One line of the table."""
    with np.load(path) as file:
        known = {name: file[name] for name in file.files}
    now = evidence(known)
    ids, before = known["ids"], {m: replace(e, labels=None, pattern=None) for m, e in now.items()}
    pairs = zip(*(measured(assess(ids, e, len(DIGITS)), known) for e in (before, now)), strict=True)
    cells = [f"{a} to {b}" if a or b else "" for a, b in pairs]
    found = assess(ids, now, len(DIGITS))
    said = "; ".join(f"{m}: {g.verdict.split(': ')[0]}" for m, g in zip(found.modalities, found.guards, strict=True))
    denied = (contradiction(known["fused"]) > DENIED) & ~(found.p_broken > 0.5).all(axis=1)
    wrong = np.char.find(known["fault"], "wrong_label") >= 0
    right = f", {wrong[denied].mean():.2f} / {denied[wrong].mean():.2f}" if wrong.any() and denied.any() else ""
    return f"| {world} | {seed} | " + " | ".join(cells) + f" | {denied.mean():.1%}{right} | {said} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="the Free Spoken Digit Dataset")
    parser.add_argument("--work", type=Path, default=Path("groups"))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--kept", action="store_true", help="only what is in the work folder already")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    logging.getLogger("curate").setLevel(logging.ERROR)
    columns = ("world", "seed", "claimed", "precision / recall", "AUROC of imbalance", "kept of the planted by 90 %")
    head = f"| {' | '.join((*columns, 'labels denied, precision / recall', 'said'))} |"
    print(head + "\n" + "|---" * 8 + "|")
    for world in options.worlds.split(","):
        for seed in map(int, options.seeds.split(",")):
            path = options.work / f"{world}-{seed}.npz"
            if path.exists() or not options.kept:
                print(row(world, seed, collect(options.root.resolve(), options.work, world, seed)), flush=True)


if __name__ == "__main__":
    main()
