"""Sound: values against soundfile, files whose header or content changes midway, and what is beyond full scale."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import soundfile

from curate.errors import MediaError
from curate.media import Limits, decode_media, decode_medium, read_audio, resample
from curate.media.container import wave_seconds
from curate.media.source import Segment
from curate.specs import AudioSpec

RATE = 16000
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)
SPEC = AudioSpec(rate=RATE, seconds=2.0)


def facts_of(path):
    return decode_medium(path, SPEC).facts


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("kind", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_every_depth_and_channel_count_of_wav_is_as_soundfile_reads_it(tmp_path, channels, kind):
    wave = np.stack([TONE / (c + 1) for c in range(channels)], axis=1)
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype=kind, format="WAVEX" if channels > 2 else "WAV")
    theirs = soundfile.read(tmp_path / "a.wav", dtype="float64")[0].reshape(-1, channels).mean(axis=1)
    assert np.abs(read_audio(tmp_path / "a.wav", RATE) - theirs).max() < 1e-6
    facts = facts_of(tmp_path / "a.wav")
    assert (facts["channels"], facts["rate"]) == (channels, RATE) and facts["duration"] == pytest.approx(2)


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3", "aiff", "w64", "rf64", "caf", "au"])
def test_other_formats_are_as_soundfile_reads_them(tmp_path, ending):
    try:
        soundfile.write(tmp_path / f"a.{ending}", TONE, RATE, format={"aiff": "AIFF"}.get(ending, ending.upper()))
    except (ValueError, soundfile.LibsndfileError):
        pytest.skip("soundfile cannot write it")
    theirs = soundfile.read(tmp_path / f"a.{ending}", dtype="float64")[0]
    ours = read_audio(tmp_path / f"a.{ending}", RATE)
    length = min(len(ours), len(theirs)) - 200
    assert length > 1.9 * RATE
    assert np.abs(ours[:length] - theirs[:length]).max() < (2e-3 if ending in ("ogg", "mp3") else 1e-6)


def with_length(content: bytes, data: int | None = None, whole: int | None = None) -> bytes:
    changed, at = bytearray(content), content.index(b"data")
    if data is not None:
        changed[at + 4 : at + 8] = struct.pack("<I", data & 0xFFFFFFFF)
    if whole is not None:
        changed[4:8] = struct.pack("<I", whole & 0xFFFFFFFF)
    return bytes(changed)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("length", [0, 2_000_000_000, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF, 0xFFFFFFFE])
@pytest.mark.parametrize("both", [False, True])
def test_a_length_that_a_recorder_did_not_know_is_no_truncation(tmp_path, channels, length, both):
    soundfile.write(tmp_path / "a.wav", np.stack([TONE] * channels, axis=1), RATE, subtype="PCM_16")
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(with_length(content, length, length if both else None))
    assert np.abs(read_audio(tmp_path / "a.wav", RATE, 3.0) - TONE).max() < 1e-4


@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_that_was_cut_is_told_from_one_whose_header_is_wrong(tmp_path, channels):
    soundfile.write(tmp_path / "a.wav", np.stack([TONE] * channels, axis=1), RATE, subtype="PCM_16")
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    assert wave_seconds(tmp_path / "cut.wav") == pytest.approx((2, 1), abs=0.01)
    with pytest.raises(MediaError) as caught:
        read_audio(tmp_path / "cut.wav", RATE)
    assert caught.value.status == "truncated"
    (tmp_path / "double.wav").write_bytes(with_length(content, 2 * len(content)))
    assert len(read_audio(tmp_path / "double.wav", RATE)) == len(TONE)


@pytest.mark.parametrize("lost", [0.05, 0.3])
def test_a_short_recording_of_which_little_is_lost_was_cut(tmp_path, lost):
    """Spoken words are shorter than what a stream may lack of its declared length."""
    soundfile.write(tmp_path / "a.wav", TONE[: int(0.4 * RATE)], RATE, subtype="PCM_16")
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: -2 * int(lost * RATE)])
    with pytest.raises(MediaError) as caught:
        read_audio(tmp_path / "cut.wav", RATE)
    assert caught.value.status == "truncated"
    (tmp_path / "odd.wav").write_bytes(content[:-2])
    assert len(read_audio(tmp_path / "odd.wav", RATE)) == int(0.4 * RATE) - 1, "a value is no loss"


@pytest.mark.parametrize("ending", ["mp3", "aac"])
@pytest.mark.parametrize("second", [(48000, 2), (44100, 1), (22050, 1)])
def test_joined_recordings_of_different_rate_or_channels_are_read_whole(ffmpeg, tmp_path, ending, second):
    codec = "libmp3lame -write_xing 0 -id3v2_version 0" if ending == "mp3" else "aac -f adts"
    parts = []
    for rate, channels in ((44100, 2), second):
        ffmpeg(f"-f lavfi -i sine=500:r={rate}:d=2 -ac {channels} -c:a {codec} part.{ending}", tmp_path)
        parts.append((tmp_path / f"part.{ending}").read_bytes())
    (tmp_path / f"a.{ending}").write_bytes(b"".join(parts))
    wave = read_audio(tmp_path / f"a.{ending}", 8000)
    assert len(wave) == pytest.approx(4 * 8000, rel=0.04)
    for start in (4000, 20000, 26000):
        piece = wave[start : start + 4000]
        assert np.abs(np.fft.rfft(piece * np.hanning(4000))).argmax() * 2 == pytest.approx(500, abs=3)
        assert 0.02 < np.abs(piece).max() < 0.5


@pytest.mark.parametrize("scale", [2**15 - 1, 2**23 - 1, 2**31 - 1])
def test_floating_point_at_integer_scale_is_brought_to_full_scale_and_that_is_recorded(tmp_path, scale):
    kind = "FLOAT" if scale < 2**20 else "DOUBLE"
    soundfile.write(tmp_path / "a.wav", np.round(TONE.astype(np.float64) * scale), RATE, subtype=kind)
    assert np.abs(read_audio(tmp_path / "a.wav", RATE) - TONE).max() < 1e-4
    assert facts_of(tmp_path / "a.wav")["gain"] == pytest.approx(1 / (scale + 1))


def test_loud_floating_point_is_not_bent_and_that_is_recorded(tmp_path):
    soundfile.write(tmp_path / "a.wav", 4 * TONE, RATE, subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "a.wav", RATE) - 2 * TONE).max() < 1e-4
    assert facts_of(tmp_path / "a.wav")["gain"] == pytest.approx(0.5, rel=1e-3)
    soundfile.write(tmp_path / "b.wav", TONE, RATE, subtype="FLOAT")
    assert "gain" not in facts_of(tmp_path / "b.wav") and (read_audio(tmp_path / "b.wav", RATE) == TONE).all()


def test_channels_that_cancel_each_other_are_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([TONE, -TONE], axis=1), RATE)
    with pytest.raises(MediaError, match="opposite phase") as caught:
        read_audio(tmp_path / "a.wav", RATE)
    assert caught.value.status == "silent"
    soundfile.write(tmp_path / "b.wav", np.zeros((RATE, 2)), RATE)
    with pytest.raises(MediaError, match="reaches") as caught:
        read_audio(tmp_path / "b.wav", RATE)
    assert caught.value.status == "silent"


def test_too_many_channels_are_refused_by_name(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([TONE] * 6, axis=1), RATE)
    with pytest.raises(MediaError) as caught:
        read_audio(tmp_path / "a.wav", RATE, limits=Limits(channels=5))
    assert caught.value.status == "too_many_channels"


def test_a_short_stretch_at_the_end_of_a_long_recording_costs_its_own_length(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", np.tile(TONE, 150), RATE, subtype="PCM_16")  # 300 s
    whole = read_audio(tmp_path / "a.wav", RATE)
    decoded, resampled = [], resample._resampled

    def counted(resampler, frame, heard):
        decoded.append(0 if frame is None else frame.samples)
        return resampled(resampler, frame, heard)

    monkeypatch.setattr(resample, "_resampled", counted)
    part = read_audio(tmp_path / "a.wav", RATE, segment=Segment(290, 291))
    assert (part == whole[290 * RATE : 291 * RATE]).all()
    assert RATE <= sum(decoded) < 4 * RATE


@pytest.mark.parametrize("ending", ["mp3", "aac", "flac", "wav"])
def test_many_stretches_of_one_recording_are_decoded_in_one_pass(ffmpeg, tmp_path, monkeypatch, ending):
    ffmpeg(f"-f lavfi -i aevalsrc='0.4*sin(2*PI*(200+30*t)*t)':s=16000:d=30 a.{ending}", tmp_path)
    segments = [Segment(0.5 * k, 0.5 * k + 1) for k in range(57, -1, -1)]
    begun, pieces = [], resample.mono_pieces

    def counted(*given):
        begun.append(given[0])
        return pieces(*given)

    alone = [decode_medium(tmp_path / f"a.{ending}", SPEC, segment).values for segment in segments[::9]]
    monkeypatch.setattr(resample, "mono_pieces", counted)
    found = list(decode_media(tmp_path / f"a.{ending}", SPEC, segments))
    assert len(begun) == 1
    assert all((one.values == other).all() for one, other in zip(found[::9], alone, strict=True))
