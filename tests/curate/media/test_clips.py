from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError, MediaError
from curate.media import clips, read_range
from curate.specs import ClipSpec, FlowSpec

CLIP = ClipSpec(frames=4, size=16, channels=3, window=4, crop=16)
FLOW = FlowSpec(frames=4, size=16, window=4, crop=16, limit=10.0)


@pytest.mark.parametrize("ending", [".avi", ".mp4"])
def test_frames_are_found_by_number(media, tmp_path, ending):
    path = media.video(tmp_path / f"a{ending}", media.staircase(40))
    shown = read_range(path, 13, 17)
    assert shown.shape == (4, 64, 64, 3)
    np.testing.assert_allclose(shown.mean((1, 2, 3)), 20 + 200 * np.arange(13, 17) / 40, atol=3)
    kept = clips.load_clip(path, 13, 17, CLIP)
    np.testing.assert_allclose(kept.mean((1, 2, 3)), shown.mean((1, 2, 3)), atol=1)
    assert clips.load_clip(path, 13, 17, dataclasses.replace(CLIP, channels=1)).shape == (4, 16, 16, 1)


def test_a_video_that_ends_before_the_range_is_truncated(media, tmp_path):
    path = media.video(tmp_path / "a.avi", media.staircase(20))
    assert len(read_range(path, 10, 20)) == 10
    with pytest.raises(MediaError) as caught:
        read_range(path, 10, 21)
    assert caught.value.status == "truncated"


@given(st.integers(1, 200), st.integers(1, 100))
def test_spread_is_ascending_and_inside_and_the_identity_where_it_can_be(have, want):
    found = clips.spread(have, want)
    assert len(found) == want and (np.diff(found) >= 0).all() and found[0] >= 0 and found[-1] < have
    assert clips.spread(have, have).tolist() == list(range(have))
    assert want > have or len(set(found.tolist())) == want, "no frame twice where there are enough"


def test_flow_is_read_scaled_with_its_frame_and_clipped(tmp_path):
    flow = np.zeros((4, 32, 64, 2), np.float32)
    flow[..., 0], flow[..., 1] = 8.0, -4.0
    flow[3] = 1000
    np.save(tmp_path / "a.npy", flow)
    kept = clips.load_flow(tmp_path / "a.npy", FLOW)
    assert kept.shape == FLOW.shape and kept.dtype == np.int8
    # 64 pixels become 16: motion of 8 becomes 2, a fifth of the limit; 32 become 16: -4 becomes -2.
    assert set(kept[:3, ..., 0].ravel()) == {round(127 / 5)} and set(kept[:3, ..., 1].ravel()) == {-round(127 / 5)}
    assert set(kept[3].ravel()) == {127}


def test_what_is_no_flow_is_undecodable_and_a_pickle_is_never_run(tmp_path):
    np.save(tmp_path / "shape.npy", np.zeros((4, 8, 8)))
    np.save(tmp_path / "nan.npy", np.full((4, 8, 8, 2), np.nan, np.float32))
    np.save(tmp_path / "object.npy", np.array([{"a": 1}], dtype=object))
    (tmp_path / "text.npy").write_text("no array")
    for name, status in (
        ("shape", "undecodable"),
        ("nan", "undecodable"),
        ("object", "undecodable"),
        ("text", "undecodable"),
        ("none", "missing"),
    ):
        with pytest.raises(MediaError) as caught:
            clips.load_flow(tmp_path / f"{name}.npy", FLOW)
        assert caught.value.status == status, name


def test_flow_without_opencv_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CurateError, match="OpenCV") as caught:
        clips.need_opencv("nvgesture")
    assert "curate-mm[flow]" in caught.value.hint


def test_computed_flow_finds_a_known_motion(media, tmp_path):
    pytest.importorskip("cv2", reason="needs the extra `flow`")
    rng = np.random.default_rng(0)
    ground = np.kron(rng.integers(0, 255, (24, 24)), np.ones((8, 8))).astype(np.uint8)
    frames = np.stack([np.roll(ground, 2 * i, axis=1) for i in range(6)])[..., None].repeat(3, axis=-1)
    path = media.video(tmp_path / "a.mp4", np.ascontiguousarray(frames))
    spec = FlowSpec(frames=6, size=192, window=6, crop=192, limit=10.0)
    found = clips.compute_flow(path, 0, 6, spec)[:, 48:144, 48:144].astype(float) * 10 / 127
    np.testing.assert_allclose(np.median(found, axis=(1, 2)), [[2, 0]] * 6, atol=0.3)
    with pytest.raises(MediaError) as caught:
        clips.compute_flow(path, 0, 1, spec)
    assert caught.value.status == "too_short"


@pytest.mark.parametrize("wrong", [{"window": 81}, {"crop": 257}, {"window": 0}, {"crop": 0}])
def test_the_part_seen_lies_inside_what_is_kept(wrong):
    with pytest.raises(ValueError, match="window"):
        ClipSpec(**wrong)
