"""Which detector finds planted damage? Worlds, regimes and seeds on real speech, every detector on the same warm-ups.

Usage: python reports/studies/detectors.py FSDD_FOLDER [--work FOLDER] [--jobs N] [--worlds "hard,clean"]
The tables go to standard output; of some worlds alone, those.

A world says what is wrong with the pairs, or what else is different from the first, `hard`; a regime says how fast the
warm-up learns. Seeds redraw scans, pairs, noise, damage and weights. Every finished warm-up is kept in the work folder,
so that a stopped study goes on. Seeds 0 and 1 were looked at while the thresholds of `curate.scores.usability` were
chosen; seeds 2 to 4 were not.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

os.environ.setdefault("OMP_NUM_THREADS", "1")

PLANTED = {"hard": {}, "clean": {"noise": "clean"}, "one-sided": {"degraded_audio": 0.0}}
NOTHING = {"degraded_audio": 0.0, "degraded_visual": 0.0}
OTHERWISE = {
    "300 samples": {"train_samples": 300},
    "300 samples out of fold": {"train_samples": 300},
    "three modalities": {"second_voice": True},
    "features": {},
    "ResNet-18": {},
}
WORLDS = {
    **PLANTED,
    "nothing": NOTHING,
    "nothing clean": {**NOTHING, "noise": "clean"},
    "harmless": {**NOTHING, "harmless_audio": 0.2, "harmless_visual": 0.35},
    "swapped": {**NOTHING, "swapped_audio": 0.12, "swapped_visual": 0.25},
    "hard and swapped": {"swapped_audio": 0.04, "swapped_visual": 0.08},
    "one class": {"degraded_class": "3", "degraded_audio": 0.3, "degraded_visual": 0.8},
    **OTHERWISE,
}
FURTHER = {
    "300 samples": {"score": {"epochs": 160}},
    "300 samples out of fold": {"score": {"epochs": 160, "folds": 5}},
    "ResNet-18": {"model": {"encoder": "resnet18"}},
}
"""Other settings of a world; 160 epochs of 300 samples are as many steps as 20 of 2400."""
REGIMES = {"slow": 2e-3, "fast": 1e-2}
CHOSEN, UNSEEN = (0, 1), (2, 3, 4)
SEEDS = {"ResNet-18": (2,)}
"""Of worlds that take long: ten minutes a warm-up."""
FOLDED = ("hard", "clean")
CONTRADICTS = 0.82
Job = tuple[str, str, int]


def jobs(worlds: list[str]) -> list[Job]:
    """(world, regime, seed) of some worlds, the seeds that chose nothing first."""
    looked_at = [w for w in ("hard", "clean", "nothing") if w in worlds]
    everywhere = [(w, r, s) for s in UNSEEN for w in worlds for r in REGIMES if s in SEEDS.get(w, UNSEEN)]
    return everywhere + [(w, r, s) for s in CHOSEN for w in looked_at for r in REGIMES]


def measure(root: Path, work: Path, job: Job) -> None:
    """One warm-up and what every detector makes of it, to a JSON file; nothing if that is there."""
    world, regime, seed = job
    path = work / f"{world}-{regime}-{seed}.json"
    if not path.exists():
        import torch

        torch.set_num_threads(1)
        found = scores(root, work, job)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found))
        part.rename(path)


def scores(root: Path, work: Path, job: Job) -> dict[str, float | None]:
    """{detector: measurement} of one warm-up."""
    from curate.store.store import Store
    from curate.train.loop.engine import Runtime
    from curate.train.stages.score import score
    from curate.train.stages.session import Session

    world, regime, seed = job
    layers = [{"data": {"degrade": True, "seed": seed, **WORLDS[world]}, "optim": {"lr": REGIMES[regime]}}]
    db = work / f"{world}-{regime}-{seed}.duckdb"
    place = Session(Store(db), work / "cache", Runtime(device="cpu", workers=0))
    if world == "features":
        folder, truth = extract(place, root, layers, work / f"{world}-{regime}-{seed}", seed)
        run = score(place, "features", folder, [{"optim": {"lr": REGIMES[regime]}}], seed)
    else:
        run, truth = score(place, "avdigits", root, [*layers, FURTHER.get(world, {})], seed), None
    found = {**looks(place.store, run, truth), **weighting(place, run)}
    if world not in OTHERWISE:
        found |= mixtures(place.store, run)
    if world in FOLDED:
        folded = score(place, "avdigits", root, [*layers, {"score": {"folds": 2, "dynamics": False}}], seed)
        found |= {f"{k}, out of fold": v for k, v in mixtures(place.store, folded).items()}
    db.unlink()
    return found


def extract(place, root, layers, folder: Path, seed: int):
    """Features of `hard` by networks trained on other pairs with weaker noise, a stand-in for encoders trained
    elsewhere: the folder that `features` reads, and {sample: what was planted}."""
    from curate.config import build
    from curate.datasets import find
    from curate.train.stages.score import score
    from curate.train.stages.setup import prepare

    elsewhere = {"data": {**layers[0]["data"], "noise": "clean", "seed": 1000 + seed, **NOTHING}}
    trained = score(place, "avdigits", root, [elsewhere], seed)
    kind = find("avdigits")
    dataset = kind(root, build(kind.Options, layers[0]["data"], "data"))
    job = prepare(place, trained, dataset)
    job.load(job.folder / "last.pt")
    trainer, data = job.trainer, job.data
    said = {s.sample_id: s for s in dataset.samples}
    rows, parts = [], {m: [] for m in dataset.modalities}
    trainer.model.eval()
    trainer.transform.eval()
    for split in ("train", "val", "test"):
        for raw in data.ordered_batches(job.samples(split)):
            for m, features in trainer.model.encode(trainer.transform(raw).inputs).items():
                parts[m].append(features.detach().numpy())
            rows += [{"sample_id": i, "label": f"digit {said[i].label}", "split": split} for i in raw.sample_ids]
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / "samples.csv", index=False)
    for m, found in parts.items():
        np.save(folder / f"{m}.npy", np.concatenate(found))
    return folder, {i: s.planted or "" for i, s in said.items()}


def mixtures(table, run) -> dict[str, float | None]:
    """Gaps of every kind and form, and the posteriors of mixtures fitted to them."""
    from curate.scores.gap import mean_gap
    from curate.scores.metrics import auroc, degraded_alone, direction_auroc
    from curate.scores.scoring import MixtureConfig, fit_known
    from curate.types import GapScores

    known, gaps = table.rounds.known(run.run_id), table.rounds.read(run.run_id).gaps
    gaps = GapScores(gaps.sample_ids, gaps.pairs, gaps.prob, gaps.kl)
    alone, pair, found = degraded_alone(table.samples.planted(run.run_id)), gaps.pairs[0], {}
    epochs = list(table.dynamics.read(run.run_id))

    def fit(**settings):
        config = MixtureConfig(check="none", **settings)
        averaged = mean_gap(config.gap, epochs) if config.average == "warmup" else None
        return fit_known(gaps, known, config, len(run.classes), averaged)

    forms = {
        "signed": {},
        "signed, larger weight": {"rule": "weight"},
        "signed, Student-t": {"family": "student-t"},
        "three components": {"components": 3},
        "absolute": {"input": "absolute"},
    }
    for name, form in forms.items():
        p = 1 - fit(**form).p_balanced[:, 0]
        found[f"posterior {name}"] = auroc(p, alone != "")
        found[f"claims {name}"] = float((p >= 0.5).mean())
    for kind in ("prob", "kl", "log_prob", "log_odds"):
        for average in ("last", "warmup") if epochs else ("last",):
            gap = fit(gap=kind, average=average).gaps.seen(kind)[:, 0]
            name = f"{kind}, {'mean of epochs' if average == 'warmup' else 'last epoch'}"
            found[f"|gap| {name}"] = auroc(np.abs(gap), alone != "")
            found[f"direction {name}"] = direction_auroc(gap, alone, pair)
    return found


def looks(table, run, truth) -> dict[str, float | None]:
    """Usability, the claims it makes, and contradictions; truth: {sample: what was planted}, if the table lacks it."""
    from curate.scores.metrics import auroc, degraded_alone, degraded_in_part, direction_auroc
    from curate.types import modality_pairs

    frame = table.samples_frame()
    frame = frame[(frame["run_id"] == run.run_id) & frame["imbalance"].notna()].sort_values("sample_id")
    planted = (frame["sample_id"].map(truth) if truth else frame["planted"]).to_numpy()
    count = len(run.modalities)
    alone, partly = degraded_alone(planted), degraded_in_part(planted, count)
    said = frame["broken"].fillna("").to_numpy()
    claimed, side = degraded_in_part(said, count), said == planted
    worth = {m: frame[f"usability_{m}"].to_numpy() for m in run.modalities}
    ways = [direction_auroc(worth[a] - worth[b], alone, (a, b)) for a, b in modality_pairs(run.modalities)]
    known = [w for w in ways if w is not None]
    swapped = frame["extra"].map(lambda text: json.loads(text).get("swapped", "") if isinstance(text, str) else "")
    denied = frame[[f"contradiction_{m}" for m in run.modalities]].max(axis=1).to_numpy()
    whole = {m: ~frame["broken"].fillna("").str.split("+").map(lambda names, m=m: m in names) for m in run.modalities}
    rule = [whole[m] & (frame[f"contradiction_{m}"] > CONTRADICTS) for m in run.modalities]  # also where withheld
    flagged, wrong = np.any(rule, axis=0), (swapped != "").to_numpy()
    guards = table.usability.guards(run.run_id)
    return {
        "size of the gap": auroc(frame["gap"].abs().to_numpy(), partly),
        "posterior": auroc(frame["p_imbalanced"].to_numpy(), partly),
        "usability": auroc(frame["imbalance"].to_numpy(), partly),
        "usability direction": float(np.mean(known)) if known else None,
        "usability claims": float(claimed.mean()),
        "usability precision": float(partly[claimed].mean()) if claimed.any() and partly.any() else None,
        "usability recall": float(claimed[partly].mean()) if partly.any() else None,
        "usability side": float(side[claimed & partly].mean()) if (claimed & partly).any() else None,
        "contradiction": auroc(denied, wrong),
        "contradiction flags": float(flagged.mean()),
        "contradiction precision": float(wrong[flagged].mean()) if flagged.any() and wrong.any() else None,
        "contradiction recall": float(flagged[wrong].mean()) if wrong.any() else None,
        **{f"ratio {m}": guard.ratio for m, guard in guards.items()},
    }


def weighting(place, run) -> dict[str, float]:
    """What weighting the unimodal logits by usability adds to test accuracy, in points, beside its controls."""
    from curate.train.stages.evaluate import evaluate_weighted

    right = {how: 100 * found["accuracy"] for how, found in evaluate_weighted(place, run, "test").items()}
    names = {"usability": "usability", "shuffled": "shuffled", "constant": "mean"}
    gained = {f"weighted by {name}": right[how] - right["none"] for how, name in names.items()}
    return {**gained, "test accuracy": right["none"]}


# --- tables ----------------------------------------------------------------------------------------------------


def table(frame: pd.DataFrame, columns: dict[str, str], worlds: list[str], seeds: tuple[int, ...], form: str) -> str:
    """Markdown: a row a world and regime, the mean over seeds and in brackets the worst, or the seeds one by one."""
    chosen = frame[frame["seed"].isin(seeds) & frame["world"].isin(worlds)]
    lines = ["| world | regime | " + " | ".join(columns.values()) + " |", "|" + "---|" * (len(columns) + 2)]
    for world in worlds:
        for regime in REGIMES:
            part = chosen[(chosen["world"] == world) & (chosen["regime"] == regime)].sort_values("seed")
            if len(part):
                cells = [cell(part.get(c, pd.Series(dtype=float)).dropna().tolist(), form) for c in columns]
                lines.append(f"| {world} | {regime} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(values: list[float], form: str) -> str:
    """One cell: `auroc` mean (worst), `share` mean in percent (largest), `points` seed by seed."""
    if not values:
        return ""
    if form == "share":
        return f"{np.mean(values):.1%} ({max(values):.1%})"
    if form == "points":
        return f"{np.mean(values):+.1f} [" + " ".join(f"{v:+.1f}" for v in values) + "]"
    return f"{np.mean(values):.3f} ({min(values):.3f})"


def report(frame: pd.DataFrame) -> str:
    """The whole study as Markdown."""
    planted, empty = list(PLANTED), ["nothing", "nothing clean", "harmless", "swapped"]
    posteriors = ["signed", "signed, larger weight", "signed, Student-t", "three components", "absolute"]
    kinds = ["prob", "kl", "log_prob", "log_odds"]
    last = {f"|gap| {k}, last epoch": f"{k}" for k in kinds}
    mean = {f"|gap| {k}, mean of epochs": f"{k}, mean" for k in kinds}
    ways = {f"direction {k}, last epoch": f"{k}" for k in kinds} | {"direction prob, mean of epochs": "prob, mean"}
    folded = {
        "posterior signed": "posterior, in sample",
        "posterior signed, out of fold": "posterior, out of fold",
        "|gap| prob, last epoch": "\\|gap\\|, in sample",
        "|gap| prob, last epoch, out of fold": "\\|gap\\|, out of fold",
        "direction prob, last epoch": "direction, in sample",
        "direction prob, last epoch, out of fold": "direction, out of fold",
    }
    claims = {
        "usability": "AUROC",
        "usability direction": "direction",
        "usability precision": "precision of claims",
        "usability recall": "recall",
        "usability side": "right side",
        "usability claims": "claimed",
    }
    beside = {"posterior": "posterior", "size of the gap": "\\|gap\\|", **claims}
    swaps = {
        "contradiction": "AUROC",
        "contradiction precision": "precision of flags",
        "contradiction recall": "recall",
        "contradiction flags": "flagged",
    }
    gains = {f"weighted by {k}": k for k in ("usability", "shuffled", "mean")}
    claimed, flagged = {"usability claims": "claimed"}, {"contradiction flags": "flagged"}
    every, unswapped = list(WORLDS), [w for w in WORLDS if "swapped" not in w]
    fitted = {f"posterior {n}": n for n in posteriors}
    claiming = {f"claims {n}": n for n in posteriors}
    sections = [
        ("The mixture's posterior (AUROC, planted damage)", fitted, planted, "auroc"),
        ("The size of the gap (AUROC)", last | mean, planted, "auroc"),
        ("Direction: which one is damaged (AUROC)", ways, planted, "auroc"),
        ("In sample or out of fold, two folds (AUROC)", folded, list(FOLDED), "auroc"),
        ("Claimed by a posterior of at least 0.5 where nothing is broken", claiming, empty, "share"),
        ("Usability", claims, [*planted, "hard and swapped", "one class"], "auroc"),
        ("Usability in the hard world, otherwise", beside, list(OTHERWISE), "auroc"),
        ("Claimed by usability where nothing is broken", claimed, empty, "share"),
        ("Contradicting the label", swaps, ["swapped", "hard and swapped"], "auroc"),
        (
            "Flagged where nothing is swapped (withheld: features, out of fold)",
            flagged,
            unswapped,
            "share",
        ),
        ("Test accuracy gained by weighting logits, points", gains, every, "points"),
    ]
    parts = []
    blocks = {"Seeds 2 to 4, which chose nothing": UNSEEN, "Seeds 0 and 1, looked at while choosing": CHOSEN}
    for heading, seeds in blocks.items():
        parts.append(f"# {heading}")
        for title, columns, worlds, form in sections:
            body = table(frame, columns, worlds, seeds, form)
            if body.count("\n") > 1:
                parts += [f"## {title}", body]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="the Free Spoken Digit Dataset")
    parser.add_argument("--work", type=Path, default=Path("detectors"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--worlds", default=",".join(WORLDS))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    logging.getLogger("curate").setLevel(logging.ERROR)
    todo = jobs(options.worlds.split(","))
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        for done in [pool.submit(measure, options.root.resolve(), options.work.resolve(), job) for job in todo]:
            done.result()
    rows = []
    for world, regime, seed in todo:
        found = json.loads((options.work / f"{world}-{regime}-{seed}.json").read_text())
        rows.append({"world": world, "regime": regime, "seed": seed, **found})
    print(report(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
