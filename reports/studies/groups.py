"""What is found of planted faults, and by cleanlab on the same probabilities.

Usage: python reports/studies/groups.py FSDD_FOLDER [--work FOLDER] [--seeds 1,2] [--count 600] [--worlds "hard"]
Two tables go to standard output: what is claimed, and a row a kind of fault. A warm-up takes `count` training samples
and 20 epochs at learning rate 0.01, with `--adam` 30 epochs of Adam at 0.001, which knows the samples by heart; what
usability is judged by is kept in the work folder, so that a stopped study goes on. cleanlab gets means over the epochs
of the warm-up, of the network that was trained on the samples. `--alike` weighs all epochs alike for labels and swaps.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")

from curate.datasets.worlds import DecodedSamples, Fault, Planted
from curate.scores.bounds import decider, limited, read_at_least, wrong_among
from curate.scores.gap import true_class_probability
from curate.scores.guard import Labels
from curate.scores.labels import Denied, judge, vouched
from curate.scores.metrics import accuracy, auroc
from curate.scores.preferences import Preferences
from curate.scores.two_groups import CLAIMED
from curate.scores.usability import Evidence, Usability, assess
from curate.store.dynamics import Dynamics
from curate.types import FUSED, Predictions

HEAD = (
    "| world | seed | claimed | precision / recall | AUROC of imbalance | kept of the planted by 90 % "
    "| rare, precision / recall | said |",
    "|---" * 8 + "|",
)
KINDS = (
    "| world | seed | fault | share | AUROC | claims, precision / recall | self-confidence | normalised margin "
    "| find_label_issues | calibration error |",
    "|---" * 10 + "|",
)
SGD, ADAM = ({"lr": 1e-2}, 20), ({"optimizer": "adam", "lr": 1e-3}, 30)
"""Settings of a warm-up, and its epochs."""
RAW = {"degrade": False}
NOTHING = {"degrade": True, "noise": "clean", "degraded_audio": 0.0, "degraded_visual": 0.0}
DIGITS = tuple("0123456789")
WORLDS = {
    "nothing": (RAW, []),
    "nothing noisy": (NOTHING, []),
    "ambiguous": (RAW, [Fault(kind="ambiguous", modality="visual", share=1, classes=("3", "5", "8", "9"))]),
    "minority": (RAW, [Fault(kind="minority", modality="visual", share=0.04)]),
    "minority small": (RAW, [Fault(kind="minority", modality="visual", share=0.025)]),
    "damage small": (RAW, [Fault(kind="noise", modality="visual", share=0.025)]),
    "minority sound": (RAW, [Fault(kind="minority", modality="audio", share=0.04)]),
    "class": (RAW, [Fault(kind="noise", modality="visual", share=0.6, classes=("3",))]),
    "class sound": (RAW, [Fault(kind="noise", modality="audio", share=0.6, classes=("3",))]),
    "shuffled": (
        RAW,
        [Fault(kind="shuffle", modality="visual", share=0.25), Fault(kind="shuffle", modality="audio", share=0.12)],
    ),
    "static": (RAW, [Fault(kind="static", modality="audio", share=0.1)]),
    "noise spread": (RAW, [Fault(kind="noise", modality="visual", share=0.4, spread=True)]),
    "labels": (RAW, [Fault(kind="wrong_label", share=0.1)]),
    "swapped": (RAW, [Fault(kind="wrong_clip", modality="visual", share=0.1)]),
    "natural": (
        RAW,
        [
            Fault(kind="band_pass", modality="audio", share=0.1, strength=0.9),
            Fault(kind="clipping", modality="audio", share=0.1, strength=0.98),
            Fault(kind="occlusion", modality="visual", share=0.15, strength=0.9),
            Fault(kind="blur", modality="visual", share=0.15, strength=0.6),
        ],
    ),
    "labels without sound": (
        RAW,
        [Fault(kind="noise", modality="audio", share=1), Fault(kind="wrong_label", share=0.1)],
    ),
    "labels without pictures": (
        RAW,
        [Fault(kind="noise", modality="visual", share=1), Fault(kind="wrong_label", share=0.1)],
    ),
    "without sound": (RAW, [Fault(kind="noise", modality="audio", share=1)]),
    "without pictures": (RAW, [Fault(kind="noise", modality="visual", share=1)]),
    "labels next": (RAW, [Fault(kind="wrong_label_next", share=0.1)]),
    "swapped labels": (
        RAW,
        [
            Fault(kind="wrong_clip", modality="visual", share=0.1),
            Fault(kind="wrong_clip", modality="audio", share=0.05),
            Fault(kind="wrong_label", share=0.05),
        ],
    ),
    "labels as many as swaps": (
        RAW,
        [Fault(kind="wrong_clip", modality="visual", share=0.1), Fault(kind="wrong_label", share=0.1)],
    ),
    "labels and swapped sound": (
        RAW,
        [Fault(kind="wrong_clip", modality="audio", share=0.1), Fault(kind="wrong_label", share=0.1)],
    ),
    "hard labels": ({"degrade": True}, [Fault(kind="wrong_label", share=0.1)]),
    "mixed": (
        RAW,
        [
            Fault(kind="noise", modality="visual", share=0.1),
            Fault(kind="wrong_clip", modality="audio", share=0.08),
            Fault(kind="wrong_label", share=0.05),
            Fault(kind="minority", modality="visual", share=0.04),
        ],
    ),
    "hard": ({"degrade": True}, []),
    "hard clean": ({"degrade": True, "noise": "clean"}, []),
}


class Kept(Dynamics):
    """The predictions of every epoch, as they are stored, and the probabilities of all classes."""

    def write(self, run_id, epoch, predictions, complete=True) -> None:
        """Store them, and keep all classes."""
        super().write(run_id, epoch, predictions, complete)
        sums = self.__dict__.setdefault("sums", {})
        for m, probs in predictions.probs.items():
            sums.setdefault(m, []).append(probs.astype(np.float32))


def collect(root: Path, work: Path, world: str, seed: int, count: int, warm_up=SGD) -> Path:
    """One warm-up, and what it is judged by, in an NPZ file; nothing is done if that is there."""
    from curate.datasets.cache import prepare as decode
    from curate.store.store import Store
    from curate.train.loop.engine import Runtime, predict
    from curate.train.stages.assess import gather
    from curate.train.stages.score import score
    from curate.train.stages.session import Session
    from curate.train.stages.setup import LAST, prepare

    path = work / f"{world}-{seed}.npz"
    if path.exists():
        return path
    options, faults = WORLDS[world]
    optim, epochs = warm_up
    db = work / f"{world}-{seed}.duckdb"
    place, made = Session(Store(db), work / "cache", Runtime(device="cpu", workers=0)), []
    place.store.dynamics = Kept(place.store.db)
    settings = {"data": {"seed": seed, "train_samples": count, **options}, "optim": optim}
    settings |= {"score": {"folds": 0, "epochs": epochs}}

    def change(dataset):
        base = DecodedSamples(dataset, decode(dataset, work / "cache"), {"train": count, "val": 300}, seed)
        made.append(Planted(base, faults, seed))
        return made[0]

    run = score(place, "avdigits", root, [settings], seed, change=change)
    job = prepare(place, run, made[0])
    job.load(job.folder / LAST)
    ids, p_true, margins = place.store.dynamics.means(run.run_id)
    truth = {s.sample_id: s for s in made[0].samples}
    kept = {"p": p_true, "margins": margins, "labels": job.data.fit.labels}
    for m, probs in place.store.dynamics.sums.items():
        kept |= {f"probs_{m}": probs[-1], f"mean_{m}": np.mean(probs, axis=0)}
        kept[f"epochs_{m}"] = np.stack([true_class_probability(p, job.data.fit.labels) for p in probs])
    held = predict(job.trainer, job.data, job.data.val)
    kept |= {f"hprobs_{m}": p.astype(np.float32) for m, p in held.probs.items()}
    for way, known in (("weighed", len(held.labels)), ("alike", 0)):
        said = place.store.dynamics.preferences(run.run_id, known, decider(held))
        kept |= {f"{way}_own": said.own, f"{way}_other": said.other, f"{way}_cross": said.cross}
    for m, e in gather(job, p_true, held).items():
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


def row(world: str, seed: int, found: Usability, known) -> str:
    """One line of the first table: claims, and what selecting 90 % keeps of the planted."""
    claimed, damaged = found.p_broken > 0.5, damage(found, known)
    hits, alone = (claimed & damaged).sum(), damaged.sum(axis=1) == 1
    kept, planted = np.zeros(len(claimed), dtype=bool), known["fault"] != ""
    kept[np.argsort(-found.usability.min(axis=1), kind="stable")[: round(0.9 * len(kept))]] = True
    minority, rare = np.char.find(known["fault"], "minority") >= 0, found.kinds["rare"].any(axis=1)
    cells = [
        f"{claimed.any(axis=1).mean():.1%}",
        f"{hits / claimed.sum():.2f} / {hits / damaged.sum():.2f}" if claimed.any() and damaged.any() else "",
        f"{auroc(found.imbalance, alone):.3f}" if alone.any() and not alone.all() else "",
        f"{kept[planted].mean():.0%}" if planted.any() else "",
        both(rare, minority) if minority.any() or rare.any() else "",
        "; ".join(f"{m}: {g.verdict.split(': ')[0]}" for m, g in zip(found.modalities, found.guards, strict=True)),
    ]
    return f"| {world} | {seed} | {' | '.join(cells)} |"


def denied(found: Usability, known, way: str) -> Denied:
    """Which labels are wrong and which clips are swapped; epochs are `weighed`, or all count `alike`."""
    said = Preferences(*(known[f"{way}_{part}"] for part in ("own", "other", "cross")))
    labels, names = known["labels"], (*found.modalities, FUSED)
    probs = {m: (p := known[f"hprobs_{m}"].astype(np.float64)) / p.sum(axis=1, keepdims=True) for m in names}
    held = Predictions(np.arange(len(known["hlabels"])).astype(str), known["hlabels"], DIGITS, found.modalities, probs)
    by = decider(held)
    wrong = limited(wrong_among(held, by), (known.get(f"pattern_{m}") for m in found.modalities), labels, 0)
    reads = read_at_least(accuracy(probs[by], held.labels), wrong.least)
    vouches = vouched((known[f"x_{m}"] for m in found.modalities), labels)
    return judge(said, labels, found.p_broken, reads, vouches=vouches, wrong=wrong, looks=tuple(found.looks.values()))


def damage(found: Usability, known) -> np.ndarray:
    """(N, M) whether a modality was damaged."""
    return np.stack([[m in p.split("+") for p in known["planted"]] for m in found.modalities], axis=1)


def kinds(world: str, seed: int, found: Usability, known, way: str) -> list[str]:
    """Lines of the second table: damage and wrong clips of each modality, and wrong labels; beside cleanlab."""
    denies, lines, damaged = denied(found, known, way), [], damage(found, known)
    for j, m in enumerate(found.modalities):
        broken, swapped = found.p_broken[:, j], denies.p_swapped[:, j]
        truth = np.char.find(known["fault"], f"wrong_clip {m}") >= 0
        cases = (
            (f"damage, {m}", damaged[:, j], 1 - found.usability[:, j], broken),
            (f"wrong clip, {m}", truth, _margins(known, j), swapped),
        )
        lines += [line(world, seed, *case, known, m) for case in cases if case[1].any() or (case[3] > CLAIMED).any()]
    wrong, p = np.char.find(known["fault"], "wrong_label") >= 0, denies.p_mislabelled
    if wrong.any() or (p > CLAIMED).any():
        lines.append(line(world, seed, "wrong label", wrong, _margins(known, -1), p, known, "fused"))
    return lines


def _margins(known, column: int) -> np.ndarray:
    """(N,) how much another class is preferred: what the column `contradiction` rises with."""
    return -known["margins"][:, column]


def line(world: str, seed: int, kind: str, truth, score, p, known, modality: str) -> str:
    """One line of the second table."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_normalized_margin_for_each_label, get_self_confidence_for_each_label

    probs = known[f"mean_{modality}"].astype(np.float64)
    probs /= probs.sum(axis=1, keepdims=True)
    labels = known["labels"]
    issues = find_label_issues(labels, probs, n_jobs=1)
    cells = [
        ranked(score, truth),
        "not judged" if np.isnan(p).any() else both(p > CLAIMED, truth),
        ranked(-get_self_confidence_for_each_label(labels, probs), truth),
        ranked(-get_normalized_margin_for_each_label(labels, probs), truth),
        both(issues, truth),
        "" if np.isnan(p).any() else f"{calibration_error(p, truth):.2f}",
    ]
    return f"| {world} | {seed} | {kind} | {truth.mean():.0%} | {' | '.join(cells)} |"


def ranked(score, truth) -> str:
    """AUROC; '' of nothing, and of all."""
    return f"{auroc(score, truth):.2f}" if truth.any() and not truth.all() else ""


def both(claimed, truth) -> str:
    """Precision / recall; of nothing, the share that is claimed."""
    if not truth.any():
        return f"claims {claimed.mean():.1%}"
    return f"{truth[claimed].mean():.2f} / {claimed[truth].mean():.2f}" if claimed.any() else "no claim"


def calibration_error(p, truth, bins: int = 10) -> float:
    """Mean over samples of |mean probability - share that is true| of the sample's bin of even width."""
    at = np.minimum((p * bins).astype(int), bins - 1)
    return float(sum(abs(p[at == b].mean() - truth[at == b].mean()) * (at == b).mean() for b in np.unique(at)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="the Free Spoken Digit Dataset")
    parser.add_argument("--work", type=Path, default=Path("groups"))
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--count", type=int, default=600, help="training samples")
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--adam", action="store_true", help="a warm-up that knows the samples by heart")
    parser.add_argument("--alike", action="store_true", help="all epochs count alike for labels and swaps")
    parser.add_argument("--kept", action="store_true", help="only what is in the work folder already")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    logging.getLogger("curate").setLevel(logging.ERROR)
    first, second = [], []
    for world in options.worlds.split(","):
        for seed in map(int, options.seeds.split(",")):
            path = options.work / f"{world}-{seed}.npz"
            if not path.exists() and options.kept:
                continue
            warm_up = ADAM if options.adam else SGD
            with np.load(collect(options.root.resolve(), options.work, world, seed, options.count, warm_up)) as file:
                known = {name: file[name] for name in file.files}
            found = assess(known["ids"], evidence(known), len(DIGITS))
            first.append(row(world, seed, found, known))
            second += kinds(world, seed, found, known, "alike" if options.alike else "weighed")
    print("\n".join((*HEAD, *first, "", *KINDS, *second)))


if __name__ == "__main__":
    main()
