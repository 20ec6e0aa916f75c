"""Maps of features: neighbours stay neighbours, and the figure says what it shows."""

from __future__ import annotations

import numpy as np

from curate.report.maps import feature_map, feature_maps, write_drawing


def test_groups_that_are_far_apart_stay_apart_and_the_seed_decides(tmp_path) -> None:
    rng = np.random.default_rng(0)
    group = np.arange(60) % 3
    features = 20 * np.eye(5)[group] + rng.normal(size=(60, 5))
    places = feature_map(features, 0)
    distance = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(60)
    assert (group[distance.argmin(axis=1)] == group).all()
    np.testing.assert_array_equal(places, feature_map(features, 0))
    ids, known = np.array([f"s{i:02d}" for i in range(60)]), np.where(group == 0, np.nan, 0.25)
    drawn = feature_maps(ids, places, np.array(list("abc"))[group], known, "audio")
    assert drawn.data["p_imbalanced"].isna().sum() == 20 and drawn.data["class"].tolist() == list("abc" * 20)
    written = write_drawing(drawn, tmp_path / "map")
    assert [p.suffix for p in written] == [".svg", ".png", ".csv"] and all(p.stat().st_size for p in written)


def test_few_samples_or_equal_ones_have_a_map_too() -> None:
    assert feature_map(np.ones((3, 4)), 0).shape == (3, 2)
    assert np.isfinite(feature_map(np.ones((8, 4)), 0)).all()
