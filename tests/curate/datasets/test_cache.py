from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from curate.datasets import cache as caching
from curate.datasets import decoding
from curate.datasets.base import Dataset
from curate.datasets.demo import Demo
from curate.datasets.manifest import Manifest
from curate.errors import CurateError, MediaError
from curate.media.files import stamp
from curate.specs import AudioSpec, VisualSpec
from curate.types import Sample

N = 75


class Numbers(Dataset):
    """Sample i is full of i; some are broken in every way `load` can break."""

    name = "numbers"
    summary = "test"

    def __init__(self) -> None:
        super().__init__(None, self.Options())
        self.modalities = ("audio", "visual")
        self.classes = ("even", "odd")
        self.specs = {
            "audio": AudioSpec(rate=8, seconds=1.0),
            "visual": VisualSpec(frames=2, size=3, channels=1),
        }
        self.samples = tuple(
            Sample(sample_id=f"s{i:03d}", label=self.classes[i % 2], split="train", inputs={"audio": str(i)})
            for i in range(N)
        )
        self.loads: list[tuple[str, str]] = []
        self.stop_at = ""

    def load(self, sample: Sample, modality: str) -> np.ndarray:
        self.loads.append((sample.sample_id, modality))
        if sample.sample_id == self.stop_at:
            raise KeyboardInterrupt
        i, spec = int(sample.sample_id[1:]), self.specs[modality]
        if (i, modality) == (3, "audio"):
            raise MediaError("silent", "nothing to hear")
        if (i, modality) == (4, "visual"):
            raise ZeroDivisionError("fps of zero")
        if (i, modality) == (5, "visual"):
            return np.zeros((1, 3, 3, 1), np.uint8)
        if (i, modality) == (6, "audio"):
            return np.zeros(spec.shape, np.float64)
        return np.full(spec.shape, i, spec.dtype)


def same(a: caching.Cache, b: caching.Cache) -> bool:
    parts = [(a.arrays, b.arrays), (a.status, b.status), (a.reason, b.reason)]
    return (a.sample_ids == b.sample_ids).all() and all((x[m] == y[m]).all() for x, y in parts for m in a.arrays)


def test_every_row_is_there_and_every_failure_is_named(tmp_path):
    cache = caching.prepare(Numbers(), tmp_path)
    assert cache.data_id == Numbers().data_id() and cache.folder == tmp_path / cache.data_id
    good = [i for i in range(N) if i not in (3, 6)]
    assert (cache.arrays["audio"][good] == np.array(good)[:, None]).all()
    assert cache.arrays["audio"].dtype == np.int16 and cache.arrays["visual"].shape == (N, 2, 3, 3, 1)
    assert (cache.status["audio"][3], cache.reason["audio"][3]) == ("silent", "nothing to hear")
    assert (cache.status["visual"][4], cache.reason["visual"][4]) == ("undecodable", "ZeroDivisionError: fps of zero")
    assert cache.status["visual"][5] == cache.status["audio"][6] == "undecodable"
    assert not cache.arrays["audio"][[3, 6]].any() and not cache.arrays["visual"][[4, 5]].any()
    assert np.flatnonzero(~cache.usable).tolist() == [3, 4, 5, 6]
    assert (cache.reason["audio"][good] == "").all()


def test_rows_are_found_by_id(tmp_path):
    cache = caching.prepare(Numbers(), tmp_path)
    assert cache.rows(["s010", "s002", "s010"]).tolist() == [10, 2, 10]
    assert cache.rows(cache.sample_ids[::-1]).tolist() == list(range(N))[::-1]
    assert cache.rows([]).shape == (0,)
    with pytest.raises(ValueError, match="nobody"):
        cache.rows(["nobody"])


def test_a_cache_is_read_only_pickles_by_name_and_opens_without_decoding(tmp_path):
    first = caching.prepare(Numbers(), tmp_path)
    with pytest.raises(ValueError, match="read-only"):
        first.arrays["audio"][0] = 1
    data = Numbers()
    assert same(caching.prepare(data, tmp_path), first) and not data.loads
    assert len(pickle.dumps(first)) < 500 and same(pickle.loads(pickle.dumps(first)), first)
    assert sorted(p.name for p in first.folder.iterdir()) == ["audio.npy", "status.json", "visual.npy"]
    assert [p.name for p in tmp_path.iterdir()] == [first.data_id]


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    whole = caching.prepare(Numbers(), tmp_path / "whole")
    broken = Numbers()
    broken.stop_at = "s070"
    with pytest.raises(KeyboardInterrupt):
        caching.prepare(broken, tmp_path / "parts")
    partial = tmp_path / "parts" / f"{whole.data_id}.partial"
    assert [p.name for p in partial.parent.iterdir()] == [partial.name]
    with (partial / caching.LOG_FILE).open("a") as log:
        log.write('{"71": {"aud')  # a kill in the middle of a line
    resumed, told = Numbers(), []
    cache = caching.prepare(resumed, tmp_path / "parts", progress=lambda done, total: told.append((done, total)))
    assert same(cache, whole)
    kept = told[0][0]
    assert 0 < kept < 70 and told[-1] == (N, N) and told == sorted(told)
    assert len(resumed.loads) == 2 * (N - kept)
    assert not partial.exists()


def test_a_lost_array_is_decoded_again(tmp_path):
    broken = Numbers()
    broken.stop_at = "s070"
    with pytest.raises(KeyboardInterrupt):
        caching.prepare(broken, tmp_path)
    (tmp_path / f"{broken.data_id()}.partial" / "audio.npy").unlink()
    assert same(caching.prepare(Numbers(), tmp_path), caching.prepare(Numbers(), tmp_path / "whole"))


def test_worker_count_changes_nothing(tmp_path, media, write_manifest):
    rows = []
    for i in range(9):
        media.video(tmp_path / f"{i}.mp4", media.staircase(5 + i), media.tone(200 + 50 * i, 0.3))
        rows.append(f"{i},{i % 3},{i}.mp4,{i}.mp4,train")
    (tmp_path / "3.mp4").write_bytes(b"junk")
    (tmp_path / "4.mp4").unlink()
    path = write_manifest("sample_id,label,audio,visual,split", rows)
    options = Manifest.Options(rate=8000, seconds=0.5, frames=2, size=16, val_fraction=0.3)
    alone = caching.prepare(Manifest(path, options), tmp_path / "alone", workers=0)
    together = caching.prepare(Manifest(path, options), tmp_path / "together", workers=2)
    assert same(alone, together)
    assert alone.status["audio"].tolist() == ["ok"] * 3 + ["undecodable", "missing"] + ["ok"] * 4
    assert (alone.status["visual"] == alone.status["audio"]).all()


def test_a_full_disk_is_refused_with_both_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(CurateError, match=r"needs .* MB and .* has 0\.0 MB free") as caught:
        caching.prepare(Numbers(), tmp_path)
    assert "CURATE_CACHE" in caught.value.hint


def test_a_damaged_cache_says_what_to_do(tmp_path):
    cache = caching.prepare(Numbers(), tmp_path)
    np.save(cache.folder / "audio.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CurateError) as caught:
        caching.prepare(Numbers(), tmp_path)
    assert "delete" in caught.value.hint
    (cache.folder / "status.json").write_text("{")
    with pytest.raises(CurateError):
        caching.open_cache(cache.folder)


def test_another_process_that_was_faster_is_welcome(tmp_path, monkeypatch):
    done = caching.prepare(Numbers(), tmp_path / "other")
    fill = decoding._fill

    def slow(part, partial, rows, **more):
        if not (tmp_path / done.data_id).exists():
            partial.rename(tmp_path / "gone")
            shutil.copytree(done.folder, tmp_path / done.data_id)
        return fill(part, partial, rows, **more)

    monkeypatch.setattr(decoding, "_fill", slow)
    assert same(caching.prepare(Numbers(), tmp_path), done)


class Watched(Numbers):
    """A sample is full of the number of files that say what a process decodes."""

    folder = Path()

    def load(self, sample: Sample, modality: str) -> np.ndarray:
        spec = self.specs[modality]
        return np.full(spec.shape, len(list(self.folder.rglob("decoding.*"))), spec.dtype)


@pytest.mark.parametrize("workers", [0, 1])
def test_only_a_process_that_is_watched_writes_what_it_decodes(tmp_path, workers):
    watched = Watched()
    watched.folder = tmp_path
    cache = caching.prepare(watched, tmp_path, workers)
    assert all((array == workers).all() for array in cache.arrays.values())


def test_the_status_file_is_plain_json(tmp_path):
    cache = caching.prepare(Numbers(), tmp_path)
    text = json.loads((cache.folder / "status.json").read_text())
    assert text["sample_ids"][7] == "s007" and text["media"]["audio"]["status"][3] == "silent"


def test_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "a"))
    assert caching.default_folder() == tmp_path / "a"
    monkeypatch.delenv("CURATE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert caching.default_folder() == tmp_path / "b" / "curate"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert caching.default_folder() == tmp_path / ".cache" / "curate"


@pytest.mark.long
def test_the_demo_in_processes_is_the_demo(tmp_path):
    data = Demo(None, Demo.Options())
    data.samples = data.samples[:40]
    assert same(caching.prepare(data, tmp_path / "a"), caching.prepare(data, tmp_path / "b", workers=2))
    assert caching.open_cache(Path(os.fspath(tmp_path / "a" / data.data_id()))).usable.all()


def own_files(folder: Path, media, write_manifest) -> Path:
    """A manifest of tones and pictures."""
    for i in range(6):
        media.audio(folder / f"{i}.wav", media.tone(200 + 50 * i, 0.3))
        media.picture(folder / f"{i}.png", np.full((9, 9, 3), 30 * i, np.uint8))
    rows = [f"s{i},{i % 2},{'train' if i < 4 else 'val'},{i}.wav,{i}.png" for i in range(6)]
    return write_manifest("sample_id,label,split,audio,visual", rows)


def loads_of(data: Manifest, folder: Path, monkeypatch) -> tuple[caching.Cache, list[tuple[str, str]]]:
    """The cache of a manifest, and what was decoded for it."""
    loads, decode = [], Manifest.decode
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "decode", lambda self, s, m: loads.append((s.sample_id, m)) or decode(self, s, m))
        return caching.prepare(data, folder), loads


def test_only_what_changed_is_decoded_again(tmp_path, media, write_manifest, monkeypatch):
    path, folder = own_files(tmp_path, media, write_manifest), tmp_path / "cache"
    options = Manifest.Options(size=8, seconds=0.2)
    (tmp_path / "5.wav").unlink()
    first, loads = loads_of(Manifest(path, options), folder, monkeypatch)
    assert len(loads) == 12 and first.status["audio"][5] == "missing"
    assert loads_of(Manifest(path, options), folder, monkeypatch)[1] == []
    media.audio(tmp_path / "2.wav", media.tone(900, 0.35))
    media.audio(tmp_path / "5.wav", media.tone(450, 0.3))
    second, loads = loads_of(Manifest(path, options), folder, monkeypatch)
    assert second.data_id != first.data_id
    assert sorted(loads) == [(s, m) for s in ("s2", "s5") for m in ("audio", "visual")]
    assert same(second, caching.prepare(Manifest(path, options), tmp_path / "whole")) and second.usable.all()


def retouched(path: Path, nanoseconds: int) -> None:
    """The file as if it had been changed then."""
    os.utime(path, ns=(nanoseconds, nanoseconds))


SECOND = 1_700_000_000 * 10**9


def test_a_file_of_the_same_size_rewritten_within_the_same_second_is_decoded_again(
    tmp_path, media, write_manifest, monkeypatch
):
    path, folder = own_files(tmp_path, media, write_manifest), tmp_path / "cache"
    options = Manifest.Options(size=8, seconds=0.2)
    retouched(tmp_path / "2.wav", SECOND + 1000)
    first, _ = loads_of(Manifest(path, options), folder, monkeypatch)
    size = (tmp_path / "2.wav").stat().st_size
    media.audio(tmp_path / "2.wav", media.tone(900, 0.3))
    retouched(tmp_path / "2.wav", SECOND + 5_001_000)
    assert (tmp_path / "2.wav").stat().st_size == size
    second, loads = loads_of(Manifest(path, options), folder, monkeypatch)
    assert loads == [("s2", "audio"), ("s2", "visual")] and second.data_id != first.data_id
    assert not np.array_equal(first.arrays["audio"][2], second.arrays["audio"][2])


def test_files_of_the_same_names_sizes_and_times_in_another_folder_are_other_files(
    tmp_path, media, write_manifest, monkeypatch
):
    options, caches = Manifest.Options(size=8, seconds=0.2), []
    for name, tone in (("a", 300), ("b", 700)):
        (tmp_path / name).mkdir()
        for i in range(6):
            media.audio(tmp_path / name / f"{i}.wav", media.tone(tone + 50 * i, 0.3))
            media.picture(tmp_path / name / f"{i}.png", np.full((9, 9, 3), 30 * i, np.uint8))
        rows = [f"s{i},{i % 2},{'train' if i < 4 else 'val'},{i}.wav,{i}.png" for i in range(6)]
        path = tmp_path / name / "clips.csv"
        path.write_text("\n".join(["sample_id,label,split,audio,visual", *rows]))
        for file in (tmp_path / name).iterdir():
            retouched(file, SECOND)
        retouched(tmp_path / name / "5.wav", SECOND + (name == "b"))  # one differs, so the data do
        caches.append(loads_of(Manifest(path, options), tmp_path / "cache", monkeypatch))
    (a, _), (b, loads) = caches
    assert len(loads) == 12 and not any(np.array_equal(a.arrays["audio"][i], b.arrays["audio"][i]) for i in range(6))


def test_whole_seconds_and_their_fractions_are_told_apart(tmp_path):
    file = tmp_path / "a.wav"
    file.write_bytes(b"123")
    seen = []
    for moment in (SECOND, SECOND + 1, SECOND + 10**9):
        retouched(file, moment)
        seen.append(stamp(file))
    assert seen == [[3, 1_700_000_000], [3, SECOND + 1], [3, 1_700_000_001]] and stamp(tmp_path / "no") is None


def test_a_cache_that_another_process_renames_meanwhile_is_passed_over(tmp_path, media, write_manifest, monkeypatch):
    data = Manifest(own_files(tmp_path, media, write_manifest), Manifest.Options(size=8, seconds=0.2))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "manifest-gone.partial").symlink_to(tmp_path / "nowhere")
    _, loads = loads_of(data, tmp_path / "cache", monkeypatch)
    assert len(loads) == 12


def test_another_recipe_decodes_everything(tmp_path, media, write_manifest, monkeypatch):
    path, folder = own_files(tmp_path, media, write_manifest), tmp_path / "cache"
    loads_of(Manifest(path, Manifest.Options(size=8, seconds=0.2)), folder, monkeypatch)
    assert len(loads_of(Manifest(path, Manifest.Options(size=8, seconds=0.1)), folder, monkeypatch)[1]) == 12


def test_a_row_that_leaks_now_is_dropped_though_it_was_decoded_before(tmp_path, media, write_manifest, monkeypatch):
    """Its own file is unchanged; that of a validation sample has become the same."""
    path, folder = own_files(tmp_path, media, write_manifest), tmp_path / "cache"
    options = Manifest.Options(size=8, seconds=0.2, drop_leaks=True)
    assert loads_of(Manifest(path, options), folder, monkeypatch)[0].usable.all()
    shutil.copy(tmp_path / "0.wav", tmp_path / "5.wav")
    found, loads = loads_of(Manifest(path, options), folder, monkeypatch)
    assert found.summary()[0] == ["dropped_leak", *["ok"] * 5] and {s for s, _ in loads} == {"s5"}
    assert not found.arrays["audio"][0].any(), "rows that are not ok are zeros"


def test_a_dropped_row_comes_back_when_it_no_longer_leaks(tmp_path, media, write_manifest, monkeypatch):
    path, folder = own_files(tmp_path, media, write_manifest), tmp_path / "cache"
    options = Manifest.Options(size=8, seconds=0.2, drop_leaks=True)
    kept = (tmp_path / "5.wav").read_bytes()
    shutil.copy(tmp_path / "0.wav", tmp_path / "5.wav")
    first, loads = loads_of(Manifest(path, options), folder, monkeypatch)
    assert first.summary()[0] == ["dropped_leak", *["ok"] * 5] and ("s0", "audio") not in loads
    assert "s5 (val, 1)" in first.reason["audio"][0]
    (tmp_path / "5.wav").write_bytes(kept + b"\0\0")
    second, loads = loads_of(Manifest(path, options), folder, monkeypatch)
    assert second.usable.all() and {s for s, _ in loads} == {"s0", "s5"}


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="space cannot be taken beforehand there")
def test_the_space_is_taken_before_anything_is_decoded_and_asked_for_once(tmp_path, monkeypatch):
    """A disk that fills up later ends nobody: writing to mapped memory without space would."""
    data, taken = Numbers(), []
    data.specs["audio"] = AudioSpec(rate=8000, seconds=1.0)

    def engine(dataset, partial, todo, workers):
        taken.append(sum(path.stat().st_blocks * 512 for path in partial.glob("*.npy")))
        raise CurateError("interrupted")
        yield

    with pytest.raises(CurateError, match="interrupted"):
        caching.prepare(data, tmp_path, engine=engine)
    assert taken[0] >= caching.disk_use(data)
    monkeypatch.setattr(caching.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(CurateError, match="interrupted"):
        caching.prepare(data, tmp_path, engine=engine)
    with pytest.raises(CurateError, match=r"needs 1\.2 MB and .* has 0\.0 MB free"):
        caching.prepare(data, tmp_path / "other", engine=engine)


def test_the_disk_use_told_is_that_of_the_arrays(tmp_path):
    data = Numbers()
    cache = caching.prepare(data, tmp_path)
    assert caching.disk_use(data) == sum(array.nbytes for array in cache.arrays.values())


@pytest.mark.long
def test_two_processes_that_want_the_same_cache_make_it_once(tmp_path):
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from curate.datasets.cache import prepare\nfrom curate.datasets.demo import Demo\n"
        "prepare(Demo(None, Demo.Options()), Path(sys.argv[1]), progress=lambda done, total: print(done, flush=True))\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate()[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sorted(map(bool, told)) == [False, True]  # one decoded, the other waited and opened what was made
    (folder,) = tmp_path.iterdir()
    assert caching.open_cache(folder).usable.all() and not (folder / ".lock").exists()
