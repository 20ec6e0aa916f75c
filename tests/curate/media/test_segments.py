"""Stretches of media: the text that names one, and what is read of it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import media as read
from curate.errors import MediaError
from curate.media.source import Segment, join_source, split_source

TIMES = st.floats(0, 1e5).map(lambda t: round(t, 6))


def status_of(call) -> str:
    with pytest.raises(MediaError) as caught:
        call()
    return caught.value.status


@given(st.text("at#=,.19/ é"), TIMES, TIMES)
def test_a_source_comes_back_whatever_its_path(path, start, end):
    assert split_source(join_source(path, Segment(start, end))) == (path, Segment(start, end))


@pytest.mark.parametrize("path", ["-a_b#2.mp4", "clip#t=1,2.mp4", "clip#t=1", "#t=a,b", ""])
def test_a_hash_in_a_name_is_part_of_the_name(path):
    assert split_source(path) == (path, None) and join_source(path) == path


def steps(media, seconds: int = 4) -> np.ndarray:
    """Second i is a tone of 300 (i + 1) Hz."""
    return np.concatenate([media.tone(300 * (i + 1), 1.0) for i in range(seconds)])


def pitch(wave: np.ndarray, rate: int) -> float:
    return float(np.fft.rfftfreq(len(wave), 1 / rate)[np.abs(np.fft.rfft(wave)).argmax()])


def test_a_segment_of_a_wav_is_exact_to_the_sample(tmp_path, media):
    path = media.audio(tmp_path / "a.wav", steps(media))
    whole = read.read_audio(path, media.rate)
    part = read.read_audio(path, media.rate, segment=Segment(1.25, 2.5))
    assert (part == whole[round(1.25 * media.rate) : round(2.5 * media.rate)]).all()
    assert len(read.read_audio(path, media.rate, 0.5, Segment(1.25, 2.5))) == media.rate // 2


@pytest.mark.parametrize("ending", [".mp4", ".avi", ".flv", ".mkv", ".mp3"])
def test_a_segment_of_a_compressed_track_holds_its_own_second(tmp_path, media, ending):
    wave = steps(media)
    path = tmp_path / f"v{ending}"
    if ending == ".mp3":
        media.audio(path, wave)
    else:
        media.video(path, media.staircase(40), wave)
    for second in (1, 2):
        part = read.read_audio(path, 8000, segment=Segment(second, second + 1))
        assert len(part) == 8000 and pitch(part[1000:-1000], 8000) == pytest.approx(300 * (second + 1), abs=3)


@pytest.mark.parametrize("ending", [".mp4", ".avi", ".flv", ".mkv"])
def test_frames_of_a_segment_lie_inside_it(tmp_path, media, ending):
    clip = media.staircase(40)
    path = media.video(tmp_path / f"v{ending}", clip)  # 10 frames a second
    found = read.read_frames(path, 2, Segment(1, 2))
    levels = found[:, 16:48, 16:48].mean(axis=(1, 2, 3))
    assert np.abs(levels - clip[[12, 17]].mean(axis=(1, 2, 3))).max() < 6  # one step is 5


def test_a_segment_that_overhangs_is_read_as_far_as_it_goes(tmp_path, media):
    path = media.video(tmp_path / "v.mp4", media.staircase(20), media.tone(440, 2.0))
    assert len(read.read_audio(path, 8000, segment=Segment(1, 3))) == pytest.approx(8000, abs=1100)
    assert np.abs(read.read_frames(path, 1, Segment(1, 3))[0, 32, 32, 0] - 170.0) < 8  # frame 15 of 20
    assert status_of(lambda: read.read_audio(path, 8000, segment=Segment(5, 6))) == "too_short"
    assert status_of(lambda: read.read_frames(path, 1, Segment(5, 6))) == "too_short"


def test_an_event_of_no_length_says_so(tmp_path, media):
    path = media.video(tmp_path / "v.mp4", media.staircase(20), media.tone(440, 2.0))
    assert status_of(lambda: read.read_audio(path, 8000, segment=Segment(0, 0))) == "empty_event"
    assert status_of(lambda: read.read_frames(path, 1, Segment(0, 0))) == "empty_event"
    assert status_of(lambda: read.read_folder(tmp_path, 1, Segment(0, 0))) == "empty_event"


def test_a_folder_of_frames_is_read_by_number(tmp_path, media):
    for i in range(12):
        media.picture(tmp_path / f"frame_0000{i}.png", np.full((8, 8, 3), 10 * i, np.uint8))
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    level = lambda frames, segment=None: read.read_folder(tmp_path, frames, segment)[:, 0, 0, 0].tolist()  # noqa: E731
    assert level(12) == [10 * i for i in range(12)]
    assert level(3) == [20, 60, 100]
    assert level(2, Segment(8, 12)) == [90, 110]
    assert level(3, Segment(3, 4)) == [30, 30, 30]
    assert status_of(lambda: level(1, Segment(12, 14))) == "too_short"
    (tmp_path / "frame_00004.png").write_bytes(b"")
    assert status_of(lambda: level(1, Segment(4, 5))) == "empty"


def test_a_folder_without_pictures_is_missing(tmp_path):
    assert status_of(lambda: read.read_folder(tmp_path, 1)) == "missing"


@pytest.mark.parametrize("ending", [".flv", ".avi", ".mkv", ".wav"])
def test_a_file_that_was_cut_is_truncated(tmp_path, media, ending):
    path = tmp_path / f"v{ending}"
    if ending == ".wav":
        media.audio(path, media.tone(440, 4.0))
    else:
        media.video(path, media.staircase(40), media.tone(440, 4.0))
    shutil.copy(path, whole := tmp_path / f"whole{ending}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert status_of(lambda: read.read_audio(path, 8000)) == "truncated"
    assert len(read.read_audio(path, 8000, 1.0)) == 8000  # what was asked for is all there
    assert len(read.read_audio(whole, 8000)) == pytest.approx(32000, rel=0.03)
    if ending != ".wav":
        assert status_of(lambda: read.read_frames(path, 3)) == "truncated"
        assert len(read.read_frames(whole, 3)) == 3


def test_a_track_that_is_shorter_than_the_other_is_not_truncated(tmp_path, media):
    path = media.video(tmp_path / "v.mkv", media.staircase(40), media.tone(440, 1.0))
    assert len(read.read_audio(path, 8000)) == pytest.approx(8000, rel=0.1)
    other = media.video(tmp_path / "w.mkv", media.staircase(10), media.tone(440, 4.0))
    assert len(read.read_frames(other, 3)) == 3
