"""One clock: the second that is heard is the second that is seen, in every container, wherever a track begins.

With CURATE_LONG_TESTS set, seeks are tried at more rates.
"""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from curate.errors import MediaError
from curate.media import Limits, decode_media, decode_medium, read_audio, read_frames
from curate.media.source import Segment
from curate.specs import AudioSpec, VisualSpec

ENDINGS = ["mp4", "mov", "mkv", "ts", "mpg", "flv", "avi", "webm", "nut", "frag.mp4"]
FIRST = ("mp4", "mkv", "ts", "avi", "frag.mp4")
SOUND = AudioSpec(rate=8000, seconds=1.0, fill="pad")
PICTURE = VisualSpec(frames=2, size=8)
RATES = [22050, 16000, 44100, 8000] if os.environ.get("CURATE_LONG_TESTS") else [22050]
LATE = 3  # s
STEP = 2**-15  # of 16 bits; AAC decoders fill up bands with noise of their own, which depends on what came before


@pytest.mark.parametrize(
    ("ending", "late"),
    [
        pytest.param(ending, late, marks=pytest.mark.long if ending not in FIRST or (late and ending != "mkv") else ())
        for ending, late in itertools.product(ENDINGS, ["", "audio", "video"])
        if (ending, late) != ("avi", "audio")
    ],
)
def test_what_is_heard_and_what_is_seen_are_of_the_same_second(telling, ending, late):
    path = telling(ending, late)
    for second in (3, 6):
        segment = Segment(second + 0.25, second + 0.85)
        heard = decode_medium(path, SOUND, segment, in_step=True).values[:4800]
        shown = decode_medium(path, PICTURE, segment, in_step=True)
        assert telling.heard(heard, SOUND.rate) == pytest.approx(second, abs=0.06)
        assert [telling.seen(frame) for frame in shown.values] == pytest.approx([second] * 2, abs=0.2)
        assert shown.facts["moments"] == pytest.approx([second + 0.4, second + 0.7], abs=1e-6)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "flv", "mov"])
def test_before_a_late_track_begins_there_is_silence_or_its_first_frame_and_that_is_recorded(telling, ending):
    sound = decode_medium(telling(ending, "audio"), SOUND, Segment(2.5, 3.5), in_step=True)
    assert np.abs(sound.values[:3500]).max() < 300 and np.abs(sound.values[4500:]).max() > 8000
    assert 0.4 < sound.facts["filled"] < 0.6 and sound.facts["begins"] == pytest.approx(LATE, abs=0.1)
    seen = decode_medium(telling(ending, "video"), PICTURE, Segment(0, 2), in_step=True)
    assert [telling.seen(frame) for frame in seen.values] == pytest.approx([LATE] * 2, abs=0.2) or ending in (
        "mp4",
        "mov",
    )
    if ending not in ("mp4", "mov"):  # these show the first frame from the beginning by themselves
        assert seen.facts["filled_frames"] == 2
    with pytest.raises(MediaError, match="begins at") as caught:
        read_audio(telling(ending, "audio"), 8000, segment=Segment(0, 2))
    assert caught.value.status == "silent"


@pytest.mark.parametrize("ending", [e for e in ENDINGS if e != "avi"])  # AVI has no place for an offset
def test_a_whole_file_keeps_the_silence_before_a_late_sound(telling, ending):
    wave = read_audio(telling(ending, "audio"), 8000, 5.0)
    assert len(wave) == 40000 and np.abs(wave[: 8000 * LATE - 800]).max() < 0.02
    assert telling.heard(wave[8000 * LATE + 1600 : 8000 * LATE + 7200], 8000) == pytest.approx(LATE, abs=0.06)


def numbered(count: int) -> bytes:
    """Grey frames of 128x16 whose eight columns are the bits of their number."""
    bits = (np.arange(count)[:, None] >> np.arange(8)) & 1
    return np.repeat(np.repeat((bits * 255).astype(np.uint8)[:, None], 16, axis=1), 16, axis=2).tobytes()


def number_of(frame: np.ndarray) -> int:
    """The number of such a frame."""
    columns = frame[..., 0].reshape(16, 8, 16).mean(axis=(0, 2)) > 128
    return int((columns << np.arange(8)).sum())


@pytest.mark.parametrize("ending", ENDINGS)
def test_frames_and_their_times_are_those_of_the_ffmpeg_program(ffmpeg, frames_of, tmp_path, ending):
    codecs = {"webm": "libvpx -b:v 1M", "avi": "mpeg4 -q:v 2", "mov": "mpeg4 -q:v 2", "mpg": "mpeg2video -q:v 2 -bf 2"}
    codec = codecs.get(ending, "libx264 -crf 10 -bf 2")
    more = "-movflags frag_keyframe+empty_moov" if ending == "frag.mp4" else ""
    raw = "-f rawvideo -pix_fmt gray -s 128x16 -r 25 -i -"
    ffmpeg(f"{raw} -pix_fmt yuv420p -c:v {codec} -g 25 {more} count.{ending}", tmp_path, numbered(150))
    path = tmp_path / f"count.{ending}"
    theirs = frames_of(path, 128, 16)
    assert [number_of(frame) for frame in theirs] == list(range(150))
    for number in (0, 1, 30, 62, 87, 112, 148):
        moment = (number + 0.5) / 25
        (ours,) = read_frames(path, 1, Segment(moment - 0.01, moment + 0.01))
        assert number_of(ours) == number
        assert np.abs(ours.astype(int) - theirs[number]).mean() < 2


def difference(part: np.ndarray, whole: np.ndarray, start: int) -> float:
    """By how much a part differs from the same of the whole, its beginning rounded either way."""
    places = (start - 1, start, start + 1)
    return min(float(np.abs(part - whole[at : at + len(part)]).max()) for at in places)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.wav", "pcm_s16le"),
        pytest.param("a.flac", "flac", marks=pytest.mark.long),
        pytest.param("a.mp3", "libmp3lame", marks=pytest.mark.long),
        ("b.mp3", "libmp3lame -write_xing 0"),
        pytest.param("c.mp3", "libmp3lame -q:a 5", marks=pytest.mark.long),
        ("a.m4a", "aac"),
        pytest.param("a.aac", "aac", marks=pytest.mark.long),
        ("a.ogg", "libvorbis"),
        pytest.param("a.opus", "libopus", marks=pytest.mark.long),
        pytest.param("a.mka", "libvorbis", marks=pytest.mark.long),
        pytest.param("b.mka", "aac", marks=pytest.mark.long),
        ("a.ts", "aac"),
        pytest.param("a.flv", "aac", marks=pytest.mark.long),
        pytest.param("a.wma", "wmav2", marks=pytest.mark.long),
        pytest.param("a.avi", "libmp3lame", marks=pytest.mark.long),
        pytest.param("a.aiff", "pcm_s16be", marks=pytest.mark.long),
        ("f.mp4", "aac -movflags frag_keyframe+empty_moov -frag_duration 1000000"),
    ],
)
@pytest.mark.parametrize("rate", RATES)
def test_a_late_stretch_is_to_the_sample_what_decoding_from_the_beginning_gives(ffmpeg, tmp_path, name, codec, rate):
    ffmpeg(
        f"-f lavfi -i aevalsrc='0.4*sin(2*PI*(200+30*t)*t)|0.3*sin(2*PI*500*t*t/9)':s=44100:d=16 -c:a {codec} {name}",
        tmp_path,
    )
    whole = read_audio(tmp_path / name, rate, 15.0, Segment(0, 15))
    for start, end in ((12.0, 13.0), (10.123, 14.9)):
        part = read_audio(tmp_path / name, rate, segment=Segment(start, end))
        assert abs(len(part) - (end - start) * rate) <= 1
        assert difference(part, whole, round(start * rate)) < (STEP if "aac" in codec else 1e-7)


def test_stretches_of_one_file_are_the_same_together_and_alone(telling):
    segments = [Segment(6.2, 7.1), Segment(0, 1), Segment(2.5, 3.5), Segment(7.9, 9.0), Segment(20, 21)]
    for ending, spec in itertools.product(("mpg", "mkv", "avi"), (SOUND, PICTURE)):
        together = list(decode_media(telling(ending), spec, segments, in_step=True))
        for segment, found in zip(segments, together, strict=True):
            try:
                alone = decode_medium(telling(ending), spec, segment, in_step=True)
            except MediaError as error:
                assert isinstance(found, MediaError) and found.status == error.status
                continue
            assert not isinstance(found, MediaError) and (found.values == alone.values).all()
        assert isinstance(together[-1], MediaError) and together[-1].status == "too_short"


@pytest.mark.parametrize("ending", ["mkv", "webm", "ts", "mp4"])
def test_a_first_time_stamp_of_five_seconds_is_no_truncation(ffmpeg, tmp_path, ending):
    video, audio = ("libvpx", "libopus") if ending == "webm" else ("libx264", "aac")
    ffmpeg(
        "-f lavfi -i testsrc=s=32x32:r=10:d=4 -f lavfi -i sine=500:d=4:r=48000 -pix_fmt yuv420p "
        f"-c:v {video} -c:a {audio} -output_ts_offset 5 late.{ending}",
        tmp_path,
    )
    assert len(read_audio(tmp_path / f"late.{ending}", 8000)) == pytest.approx(32000, abs=400)
    assert len(read_frames(tmp_path / f"late.{ending}", 4)) == 4


def test_a_frame_rate_that_varies_and_an_edit_that_cuts_the_head(ffmpeg, tmp_path):
    levels = b"".join(bytes([20 + 20 * (k // 10)]) * 1024 for k in range(80))  # brightness tells the second
    raw = "-f rawvideo -pix_fmt gray -s 32x32 -r 10 -i -"
    slow = "setpts='if(lt(N,40),N,40+(N-40)*3)/10/TB'"  # from 4 s on three times as slow
    ffmpeg(f"{raw} -vf {slow} -vsync vfr -c:v libx264 -pix_fmt yuv420p vfr.mp4", tmp_path, levels)
    ffmpeg(f"{raw} -c:v libx264 -g 20 -pix_fmt yuv420p all.mp4", tmp_path, levels)
    ffmpeg("-ss 3.3 -i all.mp4 -c copy cut.mp4", tmp_path)

    def second(name: str, moment: float) -> float:
        frame = read_frames(tmp_path / name, 1, Segment(moment - 0.01, moment + 0.01))
        return (float(frame.mean()) - 20) / 20

    assert [second("vfr.mp4", t) for t in (1.5, 3.5, 5.5, 8.5, 14.5)] == pytest.approx([1, 3, 4, 5, 7], abs=0.3)
    assert [second("cut.mp4", t) for t in (0.5, 1.5, 4.5)] == pytest.approx([3, 4, 7], abs=0.3)


def test_longer_than_allowed_is_refused_by_name(telling):
    path = telling("mkv")
    with pytest.raises(MediaError) as caught:
        read_audio(path, 8000, limits=Limits(seconds=2))
    assert caught.value.status == "too_long"
    with pytest.raises(MediaError) as caught:
        read_audio(path, 8000, limits=Limits(memory=1e-5))
    assert caught.value.status == "too_large"
    with pytest.raises(MediaError) as caught:
        read_frames(path, 1, limits=Limits(pixels=1000))
    assert caught.value.status == "too_large"
    assert len(read_audio(path, 8000, 1.0, limits=Limits(seconds=2))) == 8000
