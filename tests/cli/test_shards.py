"""`export --to webdataset`: every sample once, its arrays as they are decoded, in a random order that never changes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from curate.datasets.cache import open_cache
from curate.exports import shards
from curate.store.store import Store

pytestmark = pytest.mark.model


def samples(folder: Path) -> dict[str, list[dict[str, bytes]]]:
    """{name of a tar file: its samples as {ending: content}}, in their order."""
    found: dict[str, list[dict[str, bytes]]] = {}
    for path in sorted(folder.iterdir()):
        with tarfile.open(path, "r:") as archive:
            keys: dict[str, dict[str, bytes]] = {}
            for member in archive:
                key, _, ending = member.name.partition(".")
                keys.setdefault(key, {})[ending] = archive.extractfile(member).read()
            found[path.name] = list(keys.values())
    return found


def test_every_sample_is_in_one_tar_file_of_its_split_with_its_arrays(
    db: Path, curate: Callable, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 60_000)
    monkeypatch.setattr(shards, "PORTION", 7)
    ended = curate("export", "--to", "webdataset", "-o", "shards")
    assert ended.code == 0 and "wrote 36 rows to shards" in ended.err
    found = samples(Path("shards"))
    names = [f"train-{n:06d}.tar" for n in range(sum(n.startswith("train") for n in found))]
    assert len(names) > 1 and f"train-{{000000..{len(names) - 1:06d}}}.tar" in ended.err
    table = Store(db)
    cache = open_cache(cache_folder / table.runs.find().data_id)
    truth = {r[0]: r[1:] for r in table.rows("SELECT sample_id, split, label, label_name, gap FROM samples")}
    ids = []
    for shard, inside in found.items():
        assert inside, "no empty file"
        for sample in inside:
            known = json.loads(sample["json"])
            split, label, name, gap = truth[known["sample_id"]]
            assert shard.startswith(f"{split}-") and int(sample["cls"]) == label
            assert (known["label_name"], known["gap"]) == (name, gap)
            row = cache.rows([known["sample_id"]])[0]
            for modality, array in cache.arrays.items():
                read = np.load(io.BytesIO(sample[f"{modality}.npy"]), allow_pickle=False)
                assert read.dtype == array.dtype and np.array_equal(read, array[row])
            ids.append(known["sample_id"])
    assert sorted(ids) == sorted(truth) and len(set(ids)) == 36
    train = [i for i in ids if truth[i][0] == "train"]
    assert train != sorted(train)


def test_the_order_is_always_the_same_and_a_selection_narrows_it(db: Path, curate: Callable) -> None:
    curate("select", "--top", "9", "--name", "best", "--run", "score-manifest-1")
    for folder in ("a", "b"):
        assert curate("export", "--to", "webdataset", "-o", folder, "--selection", "best").code == 0
    assert samples(Path("a")) == samples(Path("b")) and sum(map(len, samples(Path("a")).values())) == 9


def test_what_could_not_be_decoded_has_no_file_but_its_row(
    workplace: Path, curate: Callable, write_small_clips: Callable, small_settings: Callable, monkeypatch
) -> None:
    monkeypatch.setenv("CURATE_CACHE", str(workplace / "cache"))
    path = write_small_clips(workplace / "own", 12, ("ant", "bee"))
    next(iter(sorted(path.parent.glob("*.wav")))).unlink()
    scored = curate("score", "--dataset", "manifest", "--root", path, "--epochs", "1", *small_settings())
    assert scored.code in (0, 3)
    ended = curate("export", "--to", "webdataset", "-o", "shards")
    assert ended.code == 0 and "without a file of audio" in ended.err and "of image" not in ended.err
    every = [sample for inside in samples(Path("shards")).values() for sample in inside]
    (broken,) = (s for s in every if json.loads(s["json"])["status"] != "ok")
    assert len(every) == 12 and "audio.npy" not in broken and "image.npy" in broken


def test_without_decoded_media_it_is_refused(db: Path, refused: Callable, monkeypatch, workplace: Path) -> None:
    monkeypatch.setenv("CURATE_CACHE", str(workplace / "nothing"))
    told = refused("export", "--to", "webdataset", "-o", "shards")
    assert "decoded media are not in" in told and not Path("shards").exists()


def test_webdataset_itself_reads_them(db: Path, curate: Callable) -> None:
    webdataset = pytest.importorskip("webdataset")
    ended = curate("export", "--to", "webdataset", "-o", "shards")
    found = list(eval(ended.err.strip().partition("open it: ")[2], {"webdataset": webdataset}))
    wanted = Store(db).rows("SELECT sample_id, label FROM samples WHERE split = 'train' ORDER BY 1")
    assert sorted((s["json"]["sample_id"], s["cls"]) for s in found) == wanted
