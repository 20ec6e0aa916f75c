"""What correcting labels and leaving out wrong ones are worth: beside those given, random changes, and the truth.

Usage: python reports/studies/improve.py FSDD_FOLDER [--work FOLDER] [--seeds 1,2,3,4,5] [--worlds "labels"] [--kept]
Real digits with recordings, `count` training samples, wrong labels and damage planted by `curate.datasets.worlds` in
every split. 15 epochs of warm-up at learning rate 0.01, then 12 of each row, all with augmentation and averaged
weights, from the same weights with the same batches. Accuracy on test is by the true labels, and by those given.
A finished world and seed is kept in the work folder, so that a stopped study goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")

from curate import datasets
from curate.comparison.summary import Difference, difference
from curate.datasets.avdigits import AvDigits
from curate.datasets.worlds import Fault, Planted
from curate.scores.relabel import gain
from curate.types import FUSED

NATURAL = [
    Fault(kind="band_pass", modality="audio", share=0.1, strength=0.9),
    Fault(kind="clipping", modality="audio", share=0.1, strength=0.98),
    Fault(kind="occlusion", modality="visual", share=0.15, strength=0.9),
    Fault(kind="blur", modality="visual", share=0.15, strength=0.6),
]
WORLDS = {
    "labels": [Fault(kind="wrong_label", share=0.2)],
    "many labels": [Fault(kind="wrong_label", share=0.4)],
    "labels next": [Fault(kind="wrong_label_next", share=0.2)],
    "natural labels": [*NATURAL, Fault(kind="wrong_label", share=0.2)],
    "nothing": [],
    "natural": NATURAL,
}
GIVEN, CORRECTED, DROPPED, RANDOM, TRUTH = "as given", "corrected", "dropped", "random", "true"
TRIMMED, UNTOLD = "trimmed", "trimmed, random"
PLAIN = {"train": {"augment": "shift", "epochs": 12}, "optim": {"ema": 0.99}}


class World(Planted):
    """The digits with the faults of a world, which a run can open again by its settings."""

    name = "world"
    summary = "of this study"

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(AvDigits.Options):
        """Which world."""

        world: str = "nothing"

    def __init__(self, root, options) -> None:
        own = {f.name: getattr(options, f.name) for f in dataclasses.fields(AvDigits.Options)}
        super().__init__(AvDigits(root, AvDigits.Options(**own)), WORLDS[options.world], options.seed)
        self.options, self.name = options, "world"


def measure(root: Path, work: Path, world: str, seed: int, count: int) -> Path:
    """One warm-up and all of its rows, in an NPZ file; nothing is done if that is there."""
    from curate.store.store import Store
    from curate.train.loop.engine import Runtime, predict
    from curate.train.stages.evaluate import loaded
    from curate.train.stages.score import score
    from curate.train.stages.session import Session
    from curate.train.stages.training import train

    path, db = work / f"{world}-{seed}.npz", work / f"{world}-{seed}.duckdb"
    if path.exists():
        return path
    db.unlink(missing_ok=True)
    place, started = Session(Store(db), work / "cache", Runtime(device="cpu", workers=0)), time.perf_counter()
    data = {"seed": seed, "train_samples": count, "world": world}
    settings = {"data": data, "optim": {"lr": 1e-2}, "score": {"folds": 0, "epochs": 15}}
    run = score(place, "world", root, [settings], seed)
    dataset = World(root, World.Options(**data))
    truth = {s.sample_id: str(s.extra.get("true_label", s.label)) for s in dataset.samples}
    kept: dict[str, object] = {}
    for row in rows(world):
        layers = [PLAIN]
        method = "warmup"
        if row in (CORRECTED, RANDOM):
            layers.append({"train": {"labels": row}})
        elif row == TRUTH:
            mark_truth(place.store, dataset, truth)
            layers.append({"train": {"labels": "marked"}})
        elif row == DROPPED:  # `subset` has the loss of `warmup`
            drop_denied(place.store, run)
            method = "subset"
            layers.append({"method": {"selection": "left"}})
        elif row in (TRIMMED, UNTOLD):
            method = "trim"
            layers.append({"method": {"control": "random" if row == UNTOLD else "none"}})
        done = train(place, run, method, layers, seed)
        if row == CORRECTED:
            kept |= found(place.store, done, dataset, truth)
        job = loaded(place, done)
        said = predict(job.trainer, job.data, job.samples("test"))
        best = said.probs[FUSED].argmax(axis=1)
        true = np.array([dataset.classes.index(truth[i]) for i in said.sample_ids.tolist()])
        kept |= {f"true {row}": best == true, f"given {row}": best == said.labels}
        val = place.store.rows(
            "SELECT max(value) FROM epoch WHERE run_id = ? AND split = 'val' AND modality = 'fused' "
            "AND metric = 'accuracy'",
            [done.run_id],
        )
        kept[f"val {row}"] = val[0][0]
        print(f"{world}, seed {seed}, {row}: {np.mean(best == true):.3f}", flush=True)
    np.savez_compressed(path, seconds=time.perf_counter() - started, **kept)
    return path


def rows(world: str) -> tuple[str, ...]:
    """What is trained in a world: without wrong labels, only what would be done there."""
    if "labels" in world:
        return (GIVEN, CORRECTED, DROPPED, RANDOM, TRIMMED, UNTOLD, TRUTH)
    return (GIVEN, CORRECTED, TRIMMED)


def found(store, run, dataset, truth) -> dict[str, float]:
    """How many labels were changed, were wrong, are right now; and how many of all are wrong, before and after."""
    changed = store.relabelled.read(run.run_id)
    given = {s.sample_id: s.label for s in dataset.samples if s.split == "train"}
    wrong = {i for i, label in given.items() if label != truth[i]}
    after = sum(changed.get(i, label) != truth[i] for i, label in given.items())
    return {
        "changed": len(changed),
        "hit": len(wrong & changed.keys()),
        "repaired": sum(changed[i] == truth[i] for i in changed),
        "wrong": len(wrong),
        "after": after,
        "samples": len(given),
    }


def mark_truth(store, dataset, truth) -> None:
    """People's marks that give every wrong training label its true class."""
    from curate.store.marks import Mark

    wrong = [s for s in dataset.samples if s.split == "train" and s.label != truth[s.sample_id]]
    marks = [
        Mark(mark_id=s.sample_id, sample_id=s.sample_id, mark="fix_label", new_label=truth[s.sample_id]) for s in wrong
    ]
    store.marks.write("world", marks, "truth")


def drop_denied(store, run) -> None:
    """The selection of the samples whose label would not be changed."""
    from curate.advice.relabelling import find_corrections
    from curate.types import Selection

    known = store.relabelled.known(run).sample_ids
    gone = find_corrections(store, run, "corrected", run.seed).sample_ids
    left = known[~np.isin(known, gone)]
    store.selections.write(Selection("left", run.run_id, "not denied", left, len(known)))


def tables(work: Path, worlds: list[str], seeds: list[int]) -> None:
    """What was found, and a row of accuracies for each world and row."""
    done = {(w, s): dict(np.load(p)) for w in worlds for s in seeds if (p := work / f"{w}-{s}.npz").exists()}
    print(
        "| world | seed | labels changed | were wrong | are right now | wrong before | wrong after |",
        "|---" * 7 + "|",
        sep="\n",
    )
    for (world, seed), k in done.items():
        n, c = int(k["samples"]), int(k["changed"])
        shares = [f"{k['hit'] / c:.2f}", f"{k['repaired'] / c:.2f}"] if c else ["", ""]
        print(f"| {world} | {seed} | {c} of {n} | {' | '.join(shares)} | {k['wrong'] / n:.1%} | {k['after'] / n:.1%} |")
    head = "world,labels,accuracy %,minus as given over seeds,over samples,by seed,by given labels,validation,seeds"
    print(f"\n| {head.replace(',', ' | ')} |\n{'|---' * (head.count(',') + 1)}|")
    for world in worlds:
        own = {s: k for (w, s), k in done.items() if w == world}
        for row in rows(world) if own else ():
            right = {s: k[f"true {row}"].astype(float) for s, k in own.items()}
            cells = [""] * 5
            if row != GIVEN:
                base = {s: k[f"true {GIVEN}"].astype(float) for s, k in own.items()}
                by_given = [np.concatenate([k[f"given {r}"].astype(float) for k in own.values()]) for r in (row, GIVEN)]
                val = np.mean([k[f"val {row}"] - k[f"val {GIVEN}"] for k in own.values()])
                pooled = gain(*(np.concatenate([*x.values()])[None] for x in (right, base)))
                seeded = over_seeds([right], [base])
                each = " ".join(f"{100 * d:+.1f}" for d in seeded.by_seed.values())
                cells = [seeded.text, pooled.text, each, gain(*(x[None] for x in by_given)).text, f"{100 * val:+.1f}"]
            accuracy = f"{100 * np.mean([r.mean() for r in right.values()]):.1f}"
            print(f"| {' | '.join([world, row, accuracy, *cells, str(len(own))])} |")
    noisy = [{s: k for (w, s), k in done.items() if w == world} for world in worlds if "labels" in world]
    for row in rows("labels")[1:] if len(noisy) > 1 else ():
        mine, base = ([{s: k[f"true {r}"] for s, k in own.items()} for own in noisy] for r in (row, GIVEN))
        print(f"all worlds with wrong labels, {row}: {over_seeds(mine, base).text}")


def over_seeds(mine, base) -> Difference:
    """The paired difference in accuracy, averaged over worlds, with Student's interval over the seeds."""
    every = sorted(set.intersection(*(set(own) for own in base)))
    means = [{s: np.mean([own[s].mean() for own in found]) for s in every} for found in (mine, base)]
    return difference(*means)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="the Free Spoken Digit Dataset")
    parser.add_argument("--work", type=Path, default=Path("improve"))
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--count", type=int, default=500, help="training samples")
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--kept", action="store_true", help="only what is in the work folder already")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    logging.getLogger("curate").setLevel(logging.ERROR)
    known = datasets._found
    datasets._found = lambda: {**known(), World.name: World}
    worlds, seeds = options.worlds.split(","), [int(s) for s in options.seeds.split(",")]
    for seed in seeds if not options.kept else ():
        for world in worlds:
            measure(options.root.resolve(), options.work, world, seed, options.count)
    tables(options.work, worlds, seeds)


if __name__ == "__main__":
    main()
