"""The warm-up's dynamics in the report: who stays imbalanced, who was unlucky once, and a page without them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.report import build
from curate.report.dynamics import classify, kinds_of, summary
from curate.types import Predictions

PAIR = ("audio", "visual")


def frame(rows: list[tuple[float, float, int, str | None]]) -> pd.DataFrame:
    """Samples as (share first ahead, share second ahead, forgotten, planted)."""
    out = pd.DataFrame(rows, columns=["share_first_ahead", "share_second_ahead", "forgotten", "planted"])
    return out.assign(sample_id=[f"s{i}" for i in range(len(out))], mean_gap=0.5, sd_gap=0.1)


def test_a_modality_that_is_ahead_in_half_of_the_epochs_stays_ahead():
    gaps = frame([(0.5, 0, 0, ""), (0, 0.75, 0, ""), (0.25, 0.25, 0, ""), (0, 0, 0, ""), (0.49, 0, 0, ""),
                  (0.5, 0.5, 0, "")])  # fmt: skip
    told = ["stays with audio", "stays with visual", "at times", "never", "at times", "stays with audio"]
    assert classify(gaps, PAIR).tolist() == told


def test_the_table_counts_every_sample_once():
    gaps = frame([(1, 0, 2, "visual"), (1, 0, 0, ""), (1, 0, 0, "audio+visual"), (0, 0, 1, ""), (0, 0, 0, "")])
    rows = summary(gaps, PAIR).set_index("kind")
    assert tuple(rows.index) == kinds_of(PAIR)
    assert rows["samples"].tolist() == [3, 0, 0, 2] and rows["share"].sum() == pytest.approx(1)
    assert rows.loc["stays with audio", ["forgotten", "planted"]].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert rows.loc["never", "forgotten"] == 0.5
    assert summary(gaps.assign(planted=None), PAIR)["planted"].isna().all()


@pytest.mark.long
def test_the_page_has_them_where_the_table_has(scored_table, predictions, tmp_path):
    assert 'id="dynamics"' not in build(scored_table, None, tmp_path).read_text()
    for epoch, seed in ((1, 0), (2, 1), (3, 2)):
        p = predictions(seed)
        scored_table.dynamics.write("score-toy-1", epoch, Predictions(p.sample_ids, *others(p)))
    page = build(scored_table, None, tmp_path)
    text = page.read_text()
    assert 'id="dynamics"' in text and "stays with audio" in text and "3 epochs" in text
    points = pd.read_csv(page.parent / "figures" / "dynamics-audio-visual.csv")
    rows = pd.read_csv(page.parent / "tables" / "dynamics-audio-visual.csv")
    seen = rows[rows["samples"] > 0]
    assert len(points) == rows["samples"].sum() == 60
    assert points["kind"].value_counts().to_dict() == dict(zip(seen["kind"], seen["samples"], strict=True))
    weak = points["sample_id"].str[1:].astype(int) % 4 == 3  # the visual part of every fourth knows nothing
    assert (points[weak]["kind"] == "stays with audio").all() and np.isfinite(points["sd_gap"]).all()


def others(p: Predictions) -> tuple[object, ...]:
    """All but the ids of predictions."""
    return p.labels, p.classes, p.modalities, p.probs
