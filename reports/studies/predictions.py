"""What predictions alone tell of wrong labels, beside cleanlab on the same probabilities.

    python reports/studies/predictions.py [--seeds 1,2,3]

Tables of scikit-learn, each cut into two modalities, and two that it makes. Each modality is predicted out of fold by a
logistic regression, a network of one layer, or a random forest; nothing but the predictions is given to `curate`, and
their normalised product to cleanlab. Labels are replaced by any class or by the next one; or the second modality is
replaced by noise or by that of another sample, where no label is wrong.
"""

from __future__ import annotations

import argparse
import os
import warnings

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")

from cleanlab.filter import find_label_issues
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from curate.predictions.judging import judge_labels
from curate.predictions.values import Reading, product, resolution
from curate.scores.two_groups import CLAIMED
from curate.types import FUSED, Predictions

HEAD = "| data | model | fault | right | curate, claims | cleanlab, claims |", "|---" * 6 + "|"
FAULTS = {
    "nothing": ("", 0.0),
    "5 %": ("any", 0.05),
    "15 %": ("any", 0.15),
    "30 %": ("any", 0.3),
    "next 15 %": ("next", 0.15),
    "noise 15 %": ("noise", 0.15),
    "swapped 10 %": ("swap", 0.1),
}


def halves(load) -> tuple[list[np.ndarray], np.ndarray]:
    """Two modalities of a table, its first columns and the others, and the labels."""
    x, y = load(return_X_y=True)
    return [x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]], y


def made(seed: int, weights=None, classes: int = 6) -> tuple[list[np.ndarray], np.ndarray]:
    """Overlapping classes in 40 numbers, 20 a modality."""
    x, y = make_classification(
        1500, 40, n_informative=24, n_redundant=4, n_classes=classes, weights=weights, class_sep=1.8, flip_y=0,
        random_state=seed,
    )  # fmt: skip
    columns = np.random.default_rng(seed).permutation(40)
    return [x[:, columns[:20]], x[:, columns[20:]]], y


DATA = {
    "digits": lambda seed: halves(load_digits),
    "cancer": lambda seed: halves(load_breast_cancer),
    "wine": lambda seed: halves(load_wine),
    "six": made,
    "unequal": lambda seed: made(seed, [0.5, 0.25, 0.15, 0.07, 0.03], 5),
}


def models(seed: int) -> dict[str, ClassifierMixin]:
    """The classifiers, by name."""
    return {
        "linear": LogisticRegression(max_iter=300),
        "network": MLPClassifier((64,), max_iter=60, random_state=seed),
        "forest": RandomForestClassifier(100, random_state=seed),
    }


def planted(kind: str, share: float, views: list[np.ndarray], labels: np.ndarray, seed: int):
    """The modalities and labels with a fault planted."""
    rng, classes = np.random.default_rng(seed + 100), int(labels.max()) + 1
    rows, given, second = (
        rng.permutation(len(labels))[: int(share * len(labels))],
        labels.copy(),
        views[1].astype(float),
    )
    if kind in ("any", "next"):
        given[rows] += rng.integers(1, classes, len(rows)) if kind == "any" else 1
    elif kind == "noise":
        second[rows] = second.mean(axis=0) + second.std(axis=0) * rng.normal(size=second[rows].shape)
    elif kind == "swap":
        second[rows] = second[np.roll(rows, 1)]
    return [views[0], second], given % classes


def told(claimed: np.ndarray, wrong: np.ndarray) -> str:
    """Precision / recall, or how many are claimed where none is wrong."""
    if not wrong.any():
        return f"{claimed.sum()} of {len(claimed)}"
    return f"{wrong[claimed].mean():.2f} / {claimed[wrong].mean():.2f}" if claimed.any() else "no claim"


def judged(data: str, model: str, fault: str, seed: int) -> tuple[np.ndarray, ...]:
    """(N,) which labels are wrong, which are right by the fusion, and which are called wrong by curate and cleanlab."""
    views, labels = DATA[data](seed)
    views, given = planted(*FAULTS[fault], views, labels, seed)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    classifier = make_pipeline(StandardScaler(), models(seed)[model])
    first, second = (cross_val_predict(classifier, x, given, cv=folds, method="predict_proba") for x in views)
    fused = product([first, second], [resolution([p], Reading("probabilities", "")) for p in (first, second)])
    names, probs = tuple(map(str, range(fused.shape[1]))), {"a": first, "b": second, FUSED: fused}
    said = Predictions(np.arange(len(given)).astype(str), given, names, ("a", "b"), probs)
    ours = np.nan_to_num(judge_labels([said])[1]) > CLAIMED
    return given != labels, fused.argmax(axis=1) == given, ours, find_label_issues(given, fused, n_jobs=1)


def line(data: str, model: str, fault: str, seeds: list[int]) -> str:
    """A row of the table: all seeds together."""
    found = [judged(data, model, fault, seed) for seed in seeds]
    wrong, right, ours, theirs = (np.concatenate(column) for column in zip(*found, strict=True))
    return f"| {data} | {model} | {fault} | {right.mean():.0%} | {told(ours, wrong)} | {told(theirs, wrong)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="1,2,3")
    seeds = [int(seed) for seed in parser.parse_args().seeds.split(",")]
    warnings.filterwarnings("ignore")
    print(*HEAD, sep="\n")
    for data in DATA:
        for model in models(0):
            for fault in FAULTS:
                print(line(data, model, fault, seeds), flush=True)


if __name__ == "__main__":
    main()
