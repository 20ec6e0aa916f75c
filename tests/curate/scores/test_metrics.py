"""Metrics against numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores.metrics import (
    METRICS,
    accuracy,
    auroc,
    degraded_alone,
    degraded_in_part,
    macro_f1,
    mean_average_precision,
    measure,
    planted_recovery,
)
from curate.types import FUSED

PAIR = ("audio", "visual")


def one_hot(predicted: list[int], k: int) -> np.ndarray:
    """(N, K) certain predictions."""
    return np.eye(k)[predicted]


def test_accuracy_by_hand():
    assert accuracy(one_hot([0, 1, 1, 2], 3), np.array([0, 1, 2, 2])) == 0.75


def test_macro_f1_by_hand():
    # class 0: P 1, R 1/2, F 2/3; class 1: P 1/2, R 1, F 2/3; class 2: never predicted, F 0; class 3 occurs nowhere.
    assert macro_f1(one_hot([0, 1, 1], 4), np.array([0, 0, 1])) == pytest.approx(2 / 3)
    assert macro_f1(one_hot([0, 1, 1, 0], 4), np.array([0, 0, 1, 2])) == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)


def test_mean_average_precision_by_hand():
    # Class 0 ranks its truths 1st and 3rd: (1/1 + 2/3) / 2 = 5/6; class 1 its one truth 2nd: 1/2; class 2 is absent.
    probs = np.array([[0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.2, 0.4, 0.4]])
    assert mean_average_precision(probs, np.array([0, 1, 0])) == pytest.approx((5 / 6 + 1 / 2) / 2)


def test_a_perfect_and_a_useless_prediction():
    labels = np.array([0, 1, 2, 0])
    for metric in METRICS.values():
        assert metric(one_hot([0, 1, 2, 0], 3), labels) == 1
    assert accuracy(one_hot([1, 2, 0, 1], 3), labels) == 0
    assert macro_f1(one_hot([1, 2, 0, 1], 3), labels) == 0


def test_measure_has_every_modality_and_the_fusion(predictions):
    p = predictions()
    measured = measure(p)
    assert set(measured) == {"audio", "visual", FUSED}
    assert all(set(values) == set(METRICS) for values in measured.values())
    assert measured["audio"]["accuracy"] == np.mean(p.probs["audio"].argmax(axis=1) == p.labels)
    assert measured["audio"]["accuracy"] > measured["visual"]["accuracy"]


def test_auroc_by_hand_and_undefined():
    truth = np.array([True, False, True, False])
    assert auroc(np.array([0.9, 0.1, 0.4, 0.5]), truth) == 0.75
    assert auroc(np.zeros(4), truth) == 0.5
    assert auroc(np.zeros(4), np.ones(4, dtype=bool)) is None
    assert auroc(np.zeros(4), np.zeros(4, dtype=bool)) is None
    assert auroc(np.zeros(0), np.zeros(0, dtype=bool)) is None


def test_degraded_in_part_is_some_and_not_all():
    planted = ["", "visual", "audio+visual", "audio+visual+text"]
    assert degraded_in_part(planted, 2).tolist()[:3] == [False, True, False]
    assert degraded_in_part(planted, 3).tolist() == [False, True, True, False]
    assert (degraded_in_part(planted, 2)[:3] == (degraded_alone(planted) != "")[:3]).all()


def test_planted_recovery_by_hand():
    planted = np.array(["", "visual", "audio", "audio+visual"])
    gap = np.array([0.3, 0.8, -0.2, 0.1])
    found = planted_recovery(planted, gap, np.array([0.2, 0.9, 0.8, 0.1]), PAIR)
    # Imbalanced are the 2nd and the 3rd; both damaged is balanced. |gap|: .8 beats .3 and .1, .2 beats .1 only.
    assert found == {"usability": None, "size": 0.75, "direction": 1.0, "p_imbalanced": 1.0}
    judged = planted_recovery(planted, gap, np.array([0.2, 0.9, 0.8, 0.1]), PAIR, np.array([0.5, 0.9, 0.4, 0.1]))
    assert judged["usability"] == 0.75, ".9 beats .5 and .1, .4 beats .1 only"


def test_a_gap_of_the_wrong_sign_recovers_no_direction():
    found = planted_recovery(np.array(["visual", "audio", ""]), np.array([-0.8, 0.8, 0]), np.array([1, 1, 0.0]), PAIR)
    assert found == {"usability": None, "size": 1.0, "direction": 0.0, "p_imbalanced": 1.0}


def test_a_modality_outside_the_pair_is_not_counted_nor_one_whose_name_contains_it():
    planted = np.array(["text", "visual", "audio_far", ""])
    found = planted_recovery(planted, np.array([0.9, 0.5, 0.1, 0.2]), np.zeros(4), PAIR)
    assert found["size"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("planted", "size", "direction"),
    [
        ([], None, None),
        (["", "audio+visual"], None, None),
        (["visual", ""], 1.0, None),
        (["visual", "audio"], None, 1.0),
    ],
)
def test_planted_recovery_is_undefined_where_one_kind_is_missing(planted, size, direction):
    n = len(planted)
    found = planted_recovery(np.array(planted, dtype=str), np.array([0.5, -0.1])[:n], np.array([0.9, 0.1])[:n], PAIR)
    assert (found["size"], found["direction"]) == (size, direction)


@pytest.mark.parametrize("seed", range(5))
def test_exchanging_the_modalities_changes_no_recovery(seed):
    rng = np.random.default_rng(seed)
    planted = rng.choice(["", "audio", "visual", "audio+visual"], 40)
    gap, p = rng.uniform(-1, 1, 40), rng.uniform(0, 1, 40)
    there = planted_recovery(planted, gap, p, PAIR)
    assert planted_recovery(planted, -gap, p, PAIR[::-1]) == pytest.approx(there)
    other = {"": "", "audio": "visual", "visual": "audio", "audio+visual": "audio+visual"}
    renamed = np.array([other[text] for text in planted])
    assert planted_recovery(renamed, -gap, p, PAIR) == pytest.approx(there)
    assert planted_recovery(renamed, gap, p, PAIR)["direction"] == pytest.approx(1 - there["direction"])
