"""Which stretch a sample shows, what is measured, and what is told of a sample."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from PIL import Image

from curate.datasets import cache as caching
from curate.datasets import decoding
from curate.datasets.cache import describe_plan, prepare
from curate.datasets.manifest import Manifest
from curate.datasets.measure import measure
from curate.datasets.sample_files import find_sample, write_sample
from curate.errors import CurateError, MediaError
from curate.media import choose_stretch
from curate.media.source import Segment
from curate.store.store import Store

RATE = 8000


def bark(path, start):
    """Silence of 10 s, but for a second of tone."""
    wave = np.zeros(10 * RATE, np.float32)
    wave[round(RATE * start) : round(RATE * (start + 1))] = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    soundfile.write(path, wave, RATE)
    return path


@pytest.mark.parametrize(
    ("window", "expected"), [("start", (0, 3)), ("centre", (3.5, 6.5)), ("loudest", (5.0, 8.0)), ("whole", None)]
)
def test_each_window_is_where_it_says(tmp_path, window, expected):
    files = {"audio": (bark(tmp_path / "a.wav", 7), None)}
    if expected is None:
        with pytest.raises(MediaError, match=r"data\.seconds=3") as caught:
            choose_stretch(window, 3.0, files, ["audio"])
        assert caught.value.status == "too_long"
    else:
        assert choose_stretch(window, 3.0, files, ["audio"]) == pytest.approx(expected, abs=0.06)
    assert choose_stretch(window, 10.0, files, ["audio"]) == pytest.approx((0, 10))
    assert choose_stretch("start", None, files, []) == pytest.approx((0, 10))


def test_a_stretch_lies_within_the_event_and_is_counted_from_its_beginning(tmp_path):
    files = {"audio": (bark(tmp_path / "a.wav", 1.0), Segment(4, 9))}
    assert choose_stretch("centre", 3.0, files, ["audio"]) == pytest.approx((1, 4))
    with pytest.raises(MediaError) as caught:
        choose_stretch("centre", 3.0, {"audio": (tmp_path / "a.wav", Segment(12, 14))}, ["audio"])
    assert caught.value.status == "too_short"
    assert choose_stretch("start", 3.0, {"image": (tmp_path / "absent.png", None)}, []) is None


def test_a_late_bark_is_heard_and_seen_together_by_default_and_the_papers_way_is_a_setting(telling, write_manifest):
    name = telling("mkv").as_posix()
    rows = [f'{i},{i % 2},"{name}#t={i % 3},{i % 3 + 5}","{name}#t={i % 3},{i % 3 + 5}"' for i in range(8)]
    path = write_manifest("sample_id,label,audio,visual", rows)
    options = {"seconds": 1.0, "rate": RATE, "frames": 3, "size": 8}
    for window, seconds in (("start", [0, 0, 0]), ("centre", [2, 2, 2]), ("own", [0, 2, 4])):
        data = Manifest(path, Manifest.Options(window=window, **options))
        sample = data.samples[0]
        heard, seen = (data.decode(sample, m) for m in ("audio", "visual"))
        first = 2 if window == "centre" else 0
        assert telling.heard(heard.values[: RATE // 2], RATE) == pytest.approx(first, abs=0.06)
        assert [telling.seen(frame) for frame in seen.values] == pytest.approx(seconds, abs=0.2)
        assert seen.facts["moments"][0] >= heard.facts["seconds"][0]


def test_sound_after_three_seconds_is_not_silence(tmp_path, write_manifest):
    for i in range(6):
        bark(tmp_path / f"{i}.wav", 5)
        Image.new("RGB", (9, 9)).save(tmp_path / f"{i}.png")
    path = write_manifest("sample_id,label,audio,image", [f"{i},{i % 2},{i}.wav,{i}.png" for i in range(6)])
    cache = prepare(Manifest(path, Manifest.Options(seconds=3.0, val_fraction=0.2)), tmp_path / "cache")
    assert cache.usable.all() and cache.facts["audio"][0]["seconds"] == pytest.approx([3, 6], abs=0.06)
    first = prepare(Manifest(path, Manifest.Options(seconds=3.0, window="start", val_fraction=0.2)), tmp_path / "cache")
    assert (first.status["audio"] == "silent").all() and "from 0 s to 3 s" in first.reason["audio"][0]


def small_files(folder, write_manifest, side=32, rate=8000, seconds=1.0, deep=0):
    for i in range(12):
        wave = 0.5 * np.sin(2 * np.pi * (200 + 20 * i) * np.arange(round(rate * seconds)) / rate)
        soundfile.write(folder / f"{i}.wav", wave, rate)
        picture = np.full((side, side, 3), 10 * i, np.uint8)
        Image.fromarray(np.full((side, side), deep * (i + 1) // 12, np.uint16) if deep else picture).save(
            folder / f"{i}.png"
        )
    return write_manifest("sample_id,label,audio,visual", [f"{i},{i % 2},{i}.wav,{i}.png" for i in range(12)])


def test_settings_neither_enlarge_nor_cut_what_is_there(tmp_path, write_manifest):
    data = Manifest(small_files(tmp_path, write_manifest), Manifest.Options())
    audio, visual = data.specs["audio"], data.specs["visual"]
    assert (audio.rate, audio.seconds, visual.size, visual.frames) == (8000, 1.0, 32, 1)
    assert audio.n_fft <= 256 and audio.picture[1] > 10
    told = " ".join(data.notes)
    assert all(f"data.{name}=" in told for name in ("rate", "seconds", "n_fft", "hop", "size", "frames"))
    assert (data.options.rate, data.options.size) == (8000, 32)  # what a run stores, and opens again with
    assert Manifest(data.root, data.options).data_id() == data.data_id()


def test_the_papers_sizes_are_never_exceeded_and_what_is_given_is_kept(tmp_path, write_manifest):
    path = small_files(tmp_path, write_manifest, 300, 44100, 12.0)
    audio, visual = (Manifest(path, Manifest.Options()).specs[m] for m in ("audio", "visual"))
    assert (audio.rate, audio.seconds, audio.n_fft, audio.hop, visual.size) == (22050, 10.0, 512, 353, 224)
    given = Manifest(path, Manifest.Options(rate=16000, size=64))
    assert (given.specs["audio"].rate, given.specs["visual"].size) == (16000, 64)
    assert "data.rate" not in " ".join(given.notes) and "data.size" not in " ".join(given.notes)


def test_depth_gets_the_range_of_the_data_and_that_is_told(tmp_path, write_manifest):
    data = Manifest(small_files(tmp_path, write_manifest, deep=4000), Manifest.Options())
    assert data.options.depth_range == "0,4000" and "data.depth_range=0,4000" in " ".join(data.notes)
    assert data.decode(data.samples[-1], "visual").facts["depth_range"] == [0, 4000]
    assert Manifest(data.root, Manifest.Options(depth_range="")).specs["visual"].depth_range is None
    with pytest.raises(CurateError, match="depth_range"):
        Manifest(data.root, Manifest.Options(depth_range="12"))


@pytest.mark.parametrize(("ends", "chosen"), [((-5, 0), "-5,0"), ((-12.3, -2), "-13,0"), ((-0.5, 3), "-0.5,3")])
def test_a_range_of_negative_values_is_measured_too(tmp_path, ends, chosen):
    Image.fromarray(np.linspace(*ends, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "a.tiff")
    assert measure([], [(tmp_path / "a.tiff", None)]).settings["depth_range"] == chosen


def test_files_that_are_not_there_leave_the_papers_sizes(write_manifest):
    path = write_manifest("sample_id,label,audio,visual", [f"{i},{i % 2},{i}.wav,{i}.png" for i in range(12)])
    data = Manifest(path, Manifest.Options())
    assert (data.specs["audio"].rate, data.specs["visual"].size) == (22050, 224)
    assert len(data.notes) == 1, "what the table holds; of files there is nothing to say"


def test_a_limit_that_is_none_is_refused(tmp_path, write_manifest):
    with pytest.raises(CurateError, match="limit"):
        Manifest(small_files(tmp_path, write_manifest), Manifest.Options(max_pixels=0))
    tight = Manifest(small_files(tmp_path, write_manifest), Manifest.Options(max_pixels=1000))
    assert prepare(tight, tmp_path / "cache").status["visual"].tolist() == ["too_large"] * 12


def test_the_table_says_what_was_done_to_each_item(tmp_path, write_manifest):
    data = Manifest(small_files(tmp_path, write_manifest), Manifest.Options())
    cache, table = prepare(data, tmp_path / "cache"), Store(tmp_path / "t.duckdb")
    table.samples.write(cache.data_id, data.samples, data.classes, *cache.summary(), cache.media())
    query = "SELECT (media->'audio'->>'rate')::INT, media->'visual'->'size', media FROM samples ORDER BY sample_id"
    rate, size, told = table.query(query)[1][0]
    assert rate == 8000 and json.loads(size) == [32, 32]
    assert json.loads(told) == cache.media()[0] and json.loads(told)["audio"]["channels"] == 1


def test_a_sample_is_written_as_the_network_gets_it(tmp_path, write_manifest):
    data = Manifest(small_files(tmp_path, write_manifest), Manifest.Options(frames=2))
    sample = find_sample(data, "3")
    rows, (sound, picture) = write_sample(data, sample, tmp_path / "out")
    heard, rate = soundfile.read(sound, dtype="int16")
    assert rate == 8000 and (heard == data.load(sample, "audio")).all()
    frames = data.load(sample, "visual")
    assert (np.asarray(Image.open(picture)) == np.concatenate(list(frames), axis=1)).all()
    told = {(m, fact): value for m, fact, value, _ in rows}
    assert told["audio", "rate"] == 8000 and told["visual", "size"] == "32, 32"
    with pytest.raises(CurateError, match="unknown sample"):
        find_sample(data, "nobody")
    (tmp_path / "3.wav").write_bytes(b"")
    rows, files = write_sample(data, sample, tmp_path / "out")
    assert ("audio", "empty") in {(m, fact) for m, fact, *_ in rows} and len(files) == 1


def test_loading_the_decoders_does_not_count_however_long_it_takes(monkeypatch):
    """The first item takes 10 s, longer than a trial may; each of the others 0.5 s."""
    clock = iter(np.cumsum([0, 10, 0, 0.5, 0, 0.5, 0, 0.5]).tolist())
    monkeypatch.setattr(decoding, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    part = SimpleNamespace(samples=range(4), specs={"audio": None}, decode=lambda *_: None)
    assert decoding._try(part) == 0.5


def test_the_plan_says_how_long_and_how_much(tmp_path, write_manifest, monkeypatch):
    data = Manifest(small_files(tmp_path, write_manifest), Manifest.Options())
    assert "about" not in describe_plan(data, tmp_path / "cache", 2)  # over before it is told
    monkeypatch.setattr(caching, "NOTED", 10)
    told = describe_plan(data, tmp_path / "cache", 2)
    assert "12 items" in told and "MB" in told and "about" in told and "2 processes" in told
    prepare(data, tmp_path / "cache")
    assert "about" not in describe_plan(data, tmp_path / "cache", 2)
