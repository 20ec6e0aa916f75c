from __future__ import annotations

import gc
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from curate import media as read
from curate.errors import MediaError
from curate.media import video
from curate.media.files import check_file, lost
from curate.specs import AudioSpec, VisualSpec

VIDEOS = (".mp4", ".mkv", ".avi", ".flv", ".webm")


def peak_frequency(wave: np.ndarray, rate: int) -> float:
    return float(np.fft.rfftfreq(len(wave), 1 / rate)[np.abs(np.fft.rfft(wave)).argmax()])


def status_of(call) -> str:
    with pytest.raises(MediaError) as caught:
        call()
    assert caught.value.reason
    return caught.value.status


@pytest.mark.parametrize("ending", [".wav", ".flac", ".mp3"])
def test_a_tone_keeps_its_pitch_length_and_level(tmp_path, media, ending):
    path = media.audio(tmp_path / f"a{ending}", media.tone(440, 1.0))
    wave = read.read_audio(path, 8000)
    assert wave.dtype == np.float32 and wave.ndim == 1
    assert abs(len(wave) - 8000) < 8000 * (0.15 if ending == ".mp3" else 0.005)
    assert peak_frequency(wave, 8000) == pytest.approx(440, abs=1.5)
    assert np.abs(wave[1000:7000]).max() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("ending", VIDEOS)
def test_the_audio_track_of_a_video(tmp_path, media, ending):
    path = media.video(tmp_path / f"v{ending}", media.staircase(10), media.tone(440, 1.0))
    wave = read.read_audio(path, 16000)
    assert peak_frequency(wave, 16000) == pytest.approx(440, abs=2)


def test_wav_at_its_own_rate_is_exact(tmp_path, media):
    path = media.audio(tmp_path / "a.wav", media.tone(100, 0.5))
    assert np.abs(read.read_audio(path, media.rate) - media.tone(100, 0.5)).max() < 1e-4


def test_stereo_is_mixed_to_the_mean(tmp_path, media):
    path = media.audio(tmp_path / "a.wav", np.stack([media.tone(300), np.zeros(media.rate, np.float32)], axis=1))
    assert np.abs(read.read_audio(path, media.rate) - media.tone(300) / 2).max() < 1e-3


def test_decoding_stops_at_the_seconds_asked_for(tmp_path, media):
    path = media.audio(tmp_path / "a.wav", media.tone(440, 3.0))
    part, whole = read.read_audio(path, media.rate, 0.25), read.read_audio(path, media.rate)
    assert len(part) == media.rate // 4
    assert (part == whole[: len(part)]).all()


@pytest.mark.parametrize("ending", VIDEOS)
@pytest.mark.parametrize("frames", [1, 3, 7])
def test_frame_k_is_shown_at_the_centre_of_segment_k(tmp_path, media, ending, frames):
    clip = media.staircase(20)
    path = media.video(tmp_path / f"v{ending}", clip)
    found = read.read_frames(path, frames)
    centres = [int(20 * (k + 0.5) / frames) for k in range(frames)]
    assert found.shape == (frames, 64, 64, 3) and found.dtype == np.uint8
    levels = found[:, 16:48, 16:48].mean(axis=(1, 2, 3))
    assert np.abs(levels - clip[centres].mean(axis=(1, 2, 3))).max() < 5  # one step is 10


def test_a_bare_stream_without_time_stamps_is_counted(tmp_path, media):
    path = media.video(tmp_path / "v.h264", media.staircase(20))
    levels = read.read_frames(path, 4)[:, 32, 32, 0].astype(int)
    assert np.abs(levels - [40, 90, 140, 190]).max() < 5  # frames 2, 7, 12, 17


@pytest.mark.parametrize("ends", [0.0, 20.0])
def test_a_header_without_a_duration_or_with_a_wrong_one_is_not_believed(tmp_path, media, monkeypatch, ends):
    path = media.video(tmp_path / "v.mp4", media.staircase(20))
    expected = read.read_frames(path, 4)
    monkeypatch.setattr(video, "_ends", lambda container, stream, begins: ends)
    assert (read.read_frames(path, 4) == expected).all()


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_picture_is_repeated(tmp_path, media, ending):
    path = media.picture(tmp_path / f"p{ending}", np.full((30, 50, 3), 90, np.uint8))
    found = read.read_frames(path, 3)
    assert found.shape == (3, 30, 50, 3)
    assert np.abs(found.astype(int) - 90).max() <= 2


def test_a_grey_picture_with_a_wrong_name_becomes_rgb(tmp_path, media):
    path = media.picture(tmp_path / "p.png", np.full((8, 8), 7, np.uint8)).rename(tmp_path / "p.mp4")
    assert (read.read_frames(path, 1) == 7).all()


READERS = [lambda path: read.read_audio(path, 8000), lambda path: read.read_frames(path, 2)]


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_media_file_says_so(tmp_path, reader):
    (tmp_path / "empty.mp4").touch()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n"
    (tmp_path / "lfs.mp4").write_bytes(pointer)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "short.mp4").write_bytes(b"x")
    assert status_of(lambda: reader(tmp_path / "absent.mp4")) == "missing"
    assert status_of(lambda: reader(tmp_path)) == "missing"
    assert status_of(lambda: reader(tmp_path / "empty.mp4")) == "empty"
    assert status_of(lambda: reader(tmp_path / "lfs.mp4")) == "lfs_pointer"
    assert status_of(lambda: reader(tmp_path / "noise.mp4")) == "undecodable"
    assert status_of(lambda: reader(tmp_path / "short.mp4")) == "undecodable"


def test_of_a_lost_file_a_link_or_another_case_is_named(tmp_path):
    (tmp_path / "Clip.mp4").write_bytes(b"x")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere")
    for name, cause in (("clip.mp4", "there is Clip.mp4, in other case"), ("gone.mp4", "a link that leads nowhere")):
        with pytest.raises(MediaError) as refused:
            check_file(tmp_path / name)
        assert refused.value.status == "missing" and cause in refused.value.reason
    assert lost(tmp_path / "other.mp4") == lost(tmp_path / "none" / "clip.mp4") == ""


def test_a_missing_track_is_named(tmp_path, media):
    soundless = media.video(tmp_path / "v.mp4", media.staircase(5))
    frameless = media.video(tmp_path / "a.mp4", None, media.tone())
    assert status_of(lambda: read.read_audio(soundless, 8000)) == "no_audio"
    assert status_of(lambda: read.read_frames(frameless, 2)) == "no_video"
    assert status_of(lambda: read.read_frames(media.audio(tmp_path / "a.wav", media.tone()), 2)) == "no_video"
    picture = media.picture(tmp_path / "p.png", media.staircase(1)[0])
    assert status_of(lambda: read.read_audio(picture, 8000)) == "no_audio"


def test_silence_and_nothing_and_nan_are_told_apart(tmp_path, media):
    read_wav = lambda name, wave, **how: read.read_audio(media.audio(tmp_path / name, wave, **how), 8000)  # noqa: E731
    assert status_of(lambda: read_wav("s.wav", np.zeros(8000, np.float32))) == "silent"
    assert status_of(lambda: read_wav("q.wav", media.tone(peak=5e-5))) == "silent"
    for name in ("n.wav", "n.flac"):
        assert status_of(lambda name=name: read_wav(name, np.zeros(0, np.float32))) in ("empty", "undecodable")
    soundfile.write(tmp_path / "nan.wav", np.full(8000, np.nan, np.float32), 8000, subtype="FLOAT")
    assert status_of(lambda: read.read_audio(tmp_path / "nan.wav", 8000)) == "undecodable"


@pytest.mark.parametrize("ending", VIDEOS)
def test_a_truncated_video_is_read_or_refused_but_never_crashes(tmp_path, media, ending):
    path = media.video(tmp_path / f"v{ending}", media.staircase(30), media.tone(440, 3.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for reader in READERS:
        try:
            assert len(reader(path))
        except MediaError as error:
            assert error.status in ("undecodable", "no_audio", "no_video", "too_short", "truncated")


def test_cover_art_is_no_video(tmp_path, media):
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as song:
        sound, cover = song.add_stream("libmp3lame", rate=media.rate), song.add_stream("png")
        sound.layout = "mono"
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic.value
        frame = av.AudioFrame.from_ndarray(media.tone()[None], format="fltp", layout="mono")
        frame.sample_rate = media.rate
        art = av.VideoFrame.from_ndarray(media.staircase(1, 16)[0], format="rgb24")
        for stream, content in ((cover, art), (cover, None), (sound, frame), (sound, None)):
            song.mux(stream.encode(content))
    assert status_of(lambda: read.read_frames(path, 1)) == "no_video"
    assert len(read.read_audio(path, 8000)) == pytest.approx(8000, rel=0.15)


def test_a_truncated_mp4_has_lost_its_index(tmp_path, media):
    path = media.video(tmp_path / "v.mp4", media.staircase(30))
    path.write_bytes(path.read_bytes()[:-200])
    assert status_of(lambda: read.read_frames(path, 2)) == "undecodable"


def test_a_truncated_picture_is_refused(tmp_path, media):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    path = media.picture(tmp_path / "p.jpg", noise)
    path.write_bytes(path.read_bytes()[:1000])
    assert status_of(lambda: read.read_frames(path, 2)) == "undecodable"


def test_fit_waveform_tiles_pads_cuts_and_clips():
    spec = dict(rate=10, seconds=1.0, n_fft=4)
    wave = np.array([0.0, 0.5, -1.0, 2.0])
    q = [0, 16384, -32767, 32767]
    assert read.fit_waveform(wave, AudioSpec(**spec, fill="tile")).tolist() == [*q, *q, *q[:2]]
    assert read.fit_waveform(wave, AudioSpec(**spec, fill="pad")).tolist() == q + [0] * 6
    assert read.fit_waveform(np.arange(30) / 100, AudioSpec(**spec)).tolist() == [round(i * 327.67) for i in range(10)]


@pytest.mark.parametrize("length", [0, 3])
def test_less_than_a_window_is_too_short(length):
    spec = AudioSpec(rate=10, seconds=1.0, n_fft=4)
    assert status_of(lambda: read.fit_waveform(np.ones(length), spec)) == "too_short"


def test_fit_frames_resizes_and_greys():
    frames = np.zeros((2, 40, 20, 3), np.uint8)
    frames[1] = (255, 0, 0)
    colour = read.fit_frames(frames, VisualSpec(frames=2, size=16, channels=3))
    grey = read.fit_frames(frames, VisualSpec(frames=2, size=16, channels=1))
    assert colour.shape == (2, 16, 16, 3) and (colour[1] == (255, 0, 0)).all()
    assert grey.shape == (2, 16, 16, 1) and (grey[0] == 0).all() and (grey[1] == 76).all()  # 0.299 * 255


def test_load_medium_follows_the_spec(tmp_path, media):
    path = media.video(tmp_path / "v.mp4", media.staircase(10), media.tone())
    audio, visual = AudioSpec(rate=8000, seconds=2.0), VisualSpec(frames=2, size=32)
    for spec in (audio, visual):
        found = read.load_medium(path, spec)
        assert found.shape == spec.shape and found.dtype == spec.dtype


def test_a_stamp_changes_with_the_file(tmp_path):
    path = tmp_path / "f"
    assert read.stamp(path) is None
    path.write_bytes(b"12")
    assert read.stamp(path)[0] == 2


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the threads of a process are not listed here")
@pytest.mark.parametrize("ending", VIDEOS)
def test_decoding_starts_no_threads(tmp_path, media, monkeypatch, ending):
    """They would not be there in a forked process, and what waits for them to end, as a decoder does, would hang."""
    path = media.video(tmp_path / f"a{ending}", media.staircase(12), media.tone())
    shown, counts = video.show_frame, []

    def count(*given, **named):
        picture = shown(*given, **named)
        counts.append(len(list(Path("/proc/self/task").iterdir())))
        return picture

    gc.collect()
    before = len(list(Path("/proc/self/task").iterdir()))
    monkeypatch.setattr(video, "show_frame", count)
    read.read_frames(path, 3)
    read.read_audio(path, 8000)
    assert counts and max(counts) <= before
