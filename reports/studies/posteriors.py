"""What `select --threshold 0.8` keeps, and how well p_balanced ranks, by every form of the mixture.

    python reports/studies/posteriors.py FSDD_FOLDER [--work FOLDER] [--seeds 0,1,2]

Worlds of real recordings with real handwritten digits (`avdigits`), and of made-up predictions. One warm-up a world and
seed, kept in the work folder, is read by every form. Seed 0 was looked at while the bounds of `scores.two_sided` were
chosen; the made-up predictions of seeds 2 and more, and all worlds of seeds 1 and more, were not.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from curate.scores.metrics import auroc, degraded_in_part
from curate.scores.scoring import PAPER, MixtureConfig, fit_known
from curate.store.store import Store
from curate.types import GapScores, Known, Round

NOTHING = {"degraded_audio": 0.0, "degraded_visual": 0.0}
WORLDS: dict[str, dict[str, object]] = {
    "recordings": {},
    "hard": {"degrade": True},
    "hard fast": {"degrade": True},
    "clean": {"degrade": True, "noise": "clean"},
    "audio": {"degrade": True, "degraded_audio": 0.25, "degraded_visual": 0.0},
    "pictures": {"degrade": True, "degraded_audio": 0.0},
    "swapped": {"degrade": True, **NOTHING, "swapped_audio": 0.12, "swapped_visual": 0.25},
    "nothing": {"degrade": True, **NOTHING},
    "nothing fast": {"degrade": True, **NOTHING},
    "three": {"degrade": True, "second_voice": True},
    "300": {"degrade": True, "train_samples": 300},
}
"""Settings of avdigits; `fast` trains at 0.01 and knows its samples by heart."""
FORMS: dict[str, dict[str, object]] = {
    "two-sided": {},
    "the paper's": dict(PAPER),
    "second moment, BIC": {"family": "gaussian"},
    "absolute": {"input": "absolute"},
    "Student-t": {"family": "student-t"},
}
KEPT = 0.8


def recorded(root: Path, work: Path, world: str, seed: int) -> tuple[GapScores, Known, int, np.ndarray]:
    """Gaps, what they are made of, classes, and the truth of a world, from its warm-up."""
    import torch

    from curate.train.loop.engine import Runtime
    from curate.train.stages.score import score
    from curate.train.stages.session import Session

    torch.set_num_threads(1)
    name = f"{world.replace(' ', '-')}-{seed}"
    place = Session(Store(work / f"{name}.duckdb"), work / "cache", Runtime(device="cpu", workers=0))
    if not place.store.path.exists():
        settings = {"data": {"seed": seed, **WORLDS[world]}, "optim": {"lr": 1e-2 if "fast" in world else 2e-3}}
        epochs = {"score": {"folds": 0, **({"epochs": 160} if world == "300" else {})}}
        score(place, "avdigits", root, [settings, epochs], seed)
    run = place.store.runs.find(kind="score", status="done")
    gaps, known = place.store.rounds.read(run.run_id).gaps, place.store.rounds.known(run.run_id)
    truth = degraded_in_part(place.store.samples.planted(run.run_id), len(run.modalities))
    return GapScores(gaps.sample_ids, gaps.pairs, gaps.prob, gaps.kl), known, len(run.classes), truth


def made_up(seed: int, samples: int = 2000) -> Iterator[tuple[str, GapScores, Known, int, np.ndarray]]:
    """Predictions of models with known skills: a fifth of the samples is broken in one modality."""
    from curate.scores import gap
    from curate.types import Predictions

    for classes in (2, 10, 100, 1000):
        for name, skills, sharp in (
            ("calibrated, even", (2.0, 2.0), 1.0),
            ("calibrated, one ahead", (4.0, 1.0), 1.0),
            ("over-confident", (3.0, 2.0), 8.0),
            ("three, uneven", (3.0, 2.0, 1.0), 1.0),
        ):
            rng = np.random.default_rng([seed, classes, len(name)])
            y = rng.integers(0, classes, samples)
            broken = rng.random((samples, len(skills))) < 0.2
            names = ("audio", "visual", "text")[: len(skills)]
            probs = {}
            for m, skill, bad in zip(
                (*names, "fused"), (*skills, 3.0), (*broken.T, np.zeros(samples, bool)), strict=True
            ):
                z = rng.normal(0, 1, (samples, classes))
                z[np.arange(samples), y] += np.where(bad, 0, skill + (np.log(classes) - 1) * (classes > 2))
                e = np.exp(sharp * (z - z.max(axis=1, keepdims=True)))
                probs[m] = e / e.sum(axis=1, keepdims=True)
            ids = np.array([f"s{i:04d}" for i in range(samples)])
            said = Predictions(ids, y, tuple(f"c{k:04d}" for k in range(classes)), names, probs)
            truth = broken.any(axis=1) & ~broken.all(axis=1)
            yield f"{classes} classes, {name}", gap.modality_gap(said), gap.known(said), classes, truth
    for mean in (-0.3, -0.7):
        rng = np.random.default_rng([seed, int(-10 * mean)])
        truth = rng.random(samples) < 0.2
        first = np.clip(rng.normal(0.15, 0.05, samples), 0, 1)
        second = np.clip(first - mean + rng.normal(0, 0.12, samples) + 0.2 * truth, 0, 1)
        p = np.stack([first, second], axis=1)
        ids = np.array([f"s{i:04d}" for i in range(samples)])
        known = Known(ids, ("audio", "visual"), p, np.ones_like(p), p > 0.5)
        gaps = GapScores(ids, (("audio", "visual"),), first[:, None] - second[:, None], first[:, None] * 0)
        yield f"mean gap {mean}", gaps, known, 10, truth


def measured(world: str, seed: int, form: str, found: Round, truth: np.ndarray) -> dict[str, object]:
    """A row of the study."""
    size = np.abs(found.gaps.prob).max(axis=1)
    mine, gap = auroc(1 - found.balanced, truth), auroc(size, truth)
    return {
        "world": world,
        "seed": seed,
        "form": form,
        "outcome": found.fits[0].outcome,
        "kept": float((found.balanced >= KEPT).mean()),
        "largest": float(found.balanced.max()),
        "AUROC": mine,
        "AUROC of |gap|": gap,
        "widest kept": float(size[found.balanced >= KEPT].max(initial=0)),
    }


def table(frame: pd.DataFrame) -> str:
    """Markdown: a row a world and form; of several seeds each seed's share, and the means of the rest."""
    lines = [
        "| world | form | outcome | kept at 0.8, by seed | highest | widest gap kept | AUROC | of \\|gap\\| |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (world, form), rows in frame.groupby(["world", "form"], sort=False):
        shares = " ".join(f"{share:.1%}" for share in rows["kept"])
        outcomes = ", ".join(dict.fromkeys(rows["outcome"]))
        ranks = ["" if rows[c].isna().all() else f"{rows[c].mean():.3f}" for c in ("AUROC", "AUROC of |gap|")]
        reached = f"{rows['largest'].min():.3f} | {rows['widest kept'].max():.2f}"
        lines.append(f"| {world} | {form} | {outcomes} | {shares} | {reached} | {ranks[0]} | {ranks[1]} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="the Free Spoken Digit Dataset")
    parser.add_argument("--work", type=Path, default=Path("posteriors"))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--kept", action="store_true", help="only worlds whose warm-up is in the work folder")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    logging.getLogger("curate").setLevel(logging.ERROR)
    seeds, real, fake = [int(s) for s in options.seeds.split(",")], [], []
    for world in WORLDS:
        for seed in seeds:
            if options.kept and not (options.work / f"{world.replace(' ', '-')}-{seed}.done").exists():
                continue
            gaps, known, classes, truth = recorded(options.root.resolve(), options.work, world, seed)
            for form, settings in FORMS.items():
                found = fit_known(gaps, known, MixtureConfig(**settings), classes)
                real.append(measured(world, seed, form, found, truth))
    for seed in seeds:
        for world, gaps, known, classes, truth in made_up(seed):
            for form, settings in FORMS.items():
                found = fit_known(gaps, known, MixtureConfig(**settings), classes)
                fake.append(measured(world, seed, form, found, truth))
    for title, rows in (("Real recordings and digits", real), ("Made-up predictions", fake)):
        frame = pd.DataFrame(rows)
        print(f"## {title}\n\n{table(frame)}\n")


if __name__ == "__main__":
    main()
