"""A folder of features: every format says the same, rows are joined by id, and what does not fit is told by name."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest

from curate.datasets.cache import prepare
from curate.datasets.features import Features
from curate.errors import CurateError
from curate.files.vectors import read_head, read_values

N, D = 12, 5
IDS = np.array([f"s{i:02d}" for i in range(N)])
LABELS = np.array(["ant", "bee", "cow"])[np.arange(N) % 3]
SPLITS = np.array(["train"] * 6 + ["val"] * 3 + ["test"] * 3)


def values(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, D))


def write_samples(folder: Path, **columns: object) -> None:
    given = {"sample_id": IDS, "label": LABELS, "split": SPLITS, **columns}
    kept = {k: v for k, v in given.items() if v is not None}
    lines = [",".join(kept), *(",".join(map(str, row)) for row in zip(*kept.values(), strict=True))]
    (folder / "samples.csv").write_text("\n".join(lines) + "\n")


def write_parquet(path: Path, ids: np.ndarray, array: np.ndarray, lists: str = "", **columns: np.ndarray) -> None:
    """Numeric columns, or one column of lists of the SQL type `lists`."""
    frame = {"sample_id": ids.astype(object), **{k: v.astype(object) for k, v in columns.items()}}
    frame |= {f"f{j}": array[:, j] for j in range(array.shape[1])}
    with duckdb.connect() as con:
        con.register("frame", frame)
        wanted = ", ".join(f"f{j}" for j in range(array.shape[1]))
        wanted = f"[{wanted}]::{lists} AS vector" if lists else wanted
        con.execute(
            f"COPY (SELECT {', '.join(['sample_id', *columns])}, {wanted} FROM frame) TO '{path}' (FORMAT parquet)"
        )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`audio.npy` and `visual.npy` with `samples.csv`."""
    place = tmp_path / "features"
    place.mkdir()
    write_samples(place)
    np.save(place / "audio.npy", values(1))
    np.save(place / "visual.npy", values(2)[:, :3])
    return place


@pytest.fixture
def refused(folder: Path) -> Callable[[str], CurateError]:
    def check(told: str, **options: object) -> CurateError:
        with pytest.raises(CurateError, match=told) as caught:
            Features(folder, Features.Options(**options))
        assert caught.value.hint
        return caught.value

    return check


def opened(folder: Path, **options: object) -> Features:
    return Features(folder, Features.Options(**options))


def content(dataset: Features) -> dict[tuple[str, str], list[float]]:
    return {(s.sample_id, m): dataset.load(s, m).tolist() for s in dataset.samples for m in dataset.modalities}


@pytest.mark.parametrize(
    "write",
    [
        lambda place, order, array: np.savez(place / "audio.npz", sample_id=IDS[order], features=array[order]),
        lambda place, order, array: np.savez(
            place / "audio.npz", sample_id=IDS[order], features=array[order], label=LABELS[order], split=SPLITS[order]
        ),
        lambda place, order, array: write_parquet(place / "audio.parquet", IDS[order], array[order]),
        lambda place, order, array: write_parquet(place / "audio.pq", IDS[order], array[order], label=LABELS[order]),
        lambda place, order, array: write_parquet(place / "audio.parquet", IDS[order], array[order], "DOUBLE[]"),
        lambda place, order, array: write_parquet(place / "audio.parquet", IDS[order], array[order], f"FLOAT[{D}]"),
    ],
)
def test_every_format_says_the_same_whatever_the_order_of_its_rows(folder, write) -> None:
    expected = content(opened(folder))
    (folder / "audio.npy").unlink()
    write(folder, np.random.default_rng(0).permutation(N), values(1))
    found = opened(folder)
    assert found.modalities == ("audio", "visual")
    assert {m: s.shape for m, s in found.specs.items()} == {"audio": (D,), "visual": (3,)}
    assert content(found) == expected


def test_rows_are_those_of_the_arrays(folder) -> None:
    found = content(opened(folder))
    for i, name in enumerate(IDS):
        assert found[name, "audio"] == values(1)[i].astype(np.float32).tolist()
        assert found[name, "visual"] == values(2)[i, :3].astype(np.float32).tolist()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int64, np.uint8])
def test_every_type_of_number_is_taken(folder, kind) -> None:
    array = np.arange(N * D).reshape(N, D).astype(kind)
    np.save(folder / "audio.npy", array)
    assert content(opened(folder))["s01", "audio"] == [5, 6, 7, 8, 9]


def test_ids_and_labels_may_be_in_the_files_themselves(folder) -> None:
    expected = opened(folder)
    vectors = content(expected)
    for path in folder.iterdir():
        path.unlink()
    order = np.random.default_rng(0).permutation(N)
    np.savez(folder / "audio.npz", sample_id=IDS, features=values(1), label=LABELS, split=SPLITS)
    write_parquet(folder / "visual.parquet", IDS[order], values(2)[order, :3], label=LABELS[order])
    found = opened(folder)
    assert content(found) == vectors
    assert [(s.label, s.split) for s in found.samples] == [(s.label, s.split) for s in expected.samples]


def test_splits_are_drawn_as_the_manifest_draws_them(tmp_path) -> None:
    from curate.datasets.manifest import Manifest

    n = 60
    rows = ["sample_id,label,group,audio,visual", *(f"s{i:02d},{'xy'[i % 2]},g{i // 3},a,b" for i in range(n))]
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "samples.csv").write_text("\n".join(",".join(r.split(",")[:3]) for r in rows))
    for m in ("audio", "visual"):
        np.save(folder / f"{m}.npy", np.zeros((n, 2)))
    for seed in (0, 1):
        theirs = Manifest(tmp_path / "clips.csv", Manifest.Options(seed=seed)).samples
        ours = opened(folder, seed=seed).samples
        assert [(s.sample_id, s.split, s.group) for s in ours] == [(s.sample_id, s.split, s.group) for s in theirs]
    assert {s.split for s in ours} == {"train", "val", "test"}


def test_the_order_of_modalities_is_the_user_s(folder) -> None:
    np.save(folder / "text.npy", values(3))
    (folder / "readme.md").write_text("not looked at")
    assert opened(folder).modalities == ("audio", "text", "visual")
    assert opened(folder, modalities="visual, audio").modalities == ("visual", "audio")


def test_what_is_not_finite_has_a_status_and_costs_nobody_else(folder, tmp_path) -> None:
    array = values(1)
    array[2, 3], array[4, 0], array[4, 1] = np.nan, np.inf, 1e300  # too large for float32
    np.save(folder / "audio.npy", array)
    made = prepare(opened(folder), tmp_path / "cache")
    status, reason = made.summary()
    assert [i for i, s in enumerate(status) if s != "ok"] == [2, 4] and status[2] == status[4] == "not_finite"
    assert reason[2] == "audio: 1 of 5 features are NaN or infinite, the first is number 3"
    assert reason[4].startswith("audio: 2 of 5 features")
    np.testing.assert_array_equal(made.arrays["audio"][3], array[3].astype(np.float32))
    (folder / "audio.npy").unlink()
    write_parquet(folder / "audio.parquet", IDS, array)
    assert prepare(opened(folder), tmp_path / "cache").summary()[0] == status


def test_processes_read_the_same_as_one(folder, tmp_path) -> None:
    np.savez(folder / "text.npz", sample_id=IDS, features=values(3))
    dataset = opened(folder)
    assert not dataset.decodes
    copy = pickle.loads(pickle.dumps(dataset))
    assert content(copy) == content(dataset)


def test_a_changed_file_is_another_data_set(folder) -> None:
    before = opened(folder).data_id()
    assert opened(folder).data_id() == before
    np.save(folder / "audio.npy", values(1).astype(np.float32))
    assert opened(folder).data_id() != before


def test_other_ids_are_refused_by_name(folder, refused) -> None:
    (folder / "audio.npy").unlink()

    def write(ids: np.ndarray) -> None:
        np.savez(folder / "audio.npz", sample_id=ids, features=values(1)[: len(ids)])

    write(IDS[:-5])
    assert refused(r"(?m)5 sample_ids of audio\.npz are missing: s07, s08, s09, \.\.\.$")
    write(np.where(IDS == "s03", "zz", IDS))
    assert refused(r"(?m)1 sample_id of audio\.npz is without a label: zz$")
    write(np.where(IDS == "s03", "s02", IDS))
    assert refused(r"(?m)1 sample_id of audio\.npz is repeated: s02$")


def test_an_npy_file_of_another_length_is_refused(folder, refused) -> None:
    np.save(folder / "audio.npy", values(1)[:-1])
    assert "order of samples.csv" in refused(r"audio\.npy has 11 rows for 12 samples").hint


def test_files_that_disagree_are_refused_by_the_first_sample(folder, refused) -> None:
    (folder / "audio.npy").unlink()
    other = np.where(IDS == "s04", "cow", LABELS)
    np.savez(folder / "audio.npz", sample_id=IDS, features=values(1), label=other)
    assert refused(r"audio\.npz gives sample 's04' label 'cow', and 'bee' elsewhere")
    write_samples(folder, group=[f"g{i}" for i in range(N)])
    np.savez(folder / "audio.npz", sample_id=IDS, features=values(1), group=np.array(["g0"] * N))
    assert refused(r"audio\.npz gives sample 's01' group 'g0', and 'g1' elsewhere")


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros(N), r"audio\.npy: features are \(12,\), expected \(samples, features\)"),
        (np.zeros((N, 2, 2)), r"features are \(12, 2, 2\)"),
        (np.zeros((N, 0)), r"features are \(12, 0\)"),
        (np.zeros((N, 2), complex), "features are complex128, not real numbers"),
        (np.array([["a"]] * N), "features are <U1, not real numbers"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(folder, refused, array, told) -> None:
    np.save(folder / "audio.npy", array)
    refused(told)
    (folder / "audio.npy").unlink()
    np.savez(folder / "audio.npz", sample_id=IDS, features=array)
    refused(told.replace("npy", "npz"))


def test_python_objects_are_never_loaded(folder, refused, tmp_path) -> None:
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    bombs = np.array([[Bomb()]] * N, dtype=object)
    np.save(folder / "audio.npy", bombs, allow_pickle=True)
    assert "not Python objects" in refused(r"audio\.npy cannot be read").hint
    (folder / "audio.npy").unlink()
    np.savez(folder / "audio.npz", sample_id=IDS, features=bombs)
    refused(r"audio\.npz: features holds Python objects")
    np.savez(folder / "audio.npz", sample_id=IDS.astype(object), features=values(1))
    assert "dtype=str" in refused(r"audio\.npz: sample_id holds Python objects").hint
    assert not (tmp_path / "exploded").exists()


def test_archives_of_another_layout_are_refused(folder, refused) -> None:
    (folder / "audio.npy").unlink()
    for arrays, told in (
        ({"features": values(1)}, r"no array 'sample_id'; found: features"),
        ({"sample_id": IDS, "x": values(1)}, r"no array 'features'; found: sample_id, x"),
        ({"sample_id": IDS, "features": values(1), "x": IDS}, r"an unknown array 'x'"),
        ({"sample_id": IDS[:3], "features": values(1)}, r"sample_id is \(3,\), features are \(12, 5\)"),
    ):
        np.savez(folder / "audio.npz", **arrays)
        refused(told)
    (folder / "audio.npz").write_bytes(b"PK nonsense")
    refused(r"audio\.npz cannot be read")


def test_tables_of_another_layout_are_refused(folder, refused) -> None:
    (folder / "audio.npy").unlink()
    path = folder / "audio.parquet"

    def write(sql: str) -> None:
        with duckdb.connect() as con:
            con.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")

    for sql, told in (
        ("SELECT 'a' AS id, 1.0 AS x", "no column 'sample_id'; found: id, x"),
        ("SELECT 's00' AS sample_id, 'b' AS x", "column 'x' holds VARCHAR, not numbers"),
        ("SELECT 's00' AS sample_id", "no column of features"),
        ("SELECT 's00' AS sample_id, [1.0] AS v, 2 AS x", "'v' holds lists, and there is 'x'"),
        ("SELECT 's00' AS sample_id, ['a'] AS v", r"column 'v' holds VARCHAR\[\]"),
        ("SELECT * FROM (VALUES ('s00', [1, 2]), ('s01', [3])) t(sample_id, v)", "'s00' has 2 features, 's01' has 1"),
        ("SELECT * FROM (VALUES ('s00', [1, 2]), ('s01', NULL)) t(sample_id, v)", "'s00' has 2 features, 's01' has 0"),
        ("SELECT 's00' AS sample_id, 's01' AS \"Sample ID\", 1 AS x", "are both sample_id"),
        ("SELECT 's00' AS sample_id, 1 AS x WHERE false", r"features are \(0, 0\)"),
    ):
        write(sql)
        refused(told)
    path.write_bytes(b"nonsense")
    refused(r"audio\.parquet cannot be read")


def test_folders_of_another_layout_are_refused(folder, refused, tmp_path) -> None:
    np.savez(folder / "audio.npz", sample_id=IDS, features=values(1))
    refused(r"audio\.npy and audio\.npz are both of audio")
    (folder / "audio.npz").unlink()
    refused(r"no file of 'text' in .*; found: audio, visual", modalities="audio,text")
    refused("two or more modalities are needed, found audio", modalities="audio")
    refused("leave nothing for train", val_fraction=0.5, test_fraction=0.5)
    for name in ("balanced", "swapped_audio", "fused", "My Sound", "1st"):
        np.save(folder / f"{name}.npy", values(1))
        refused(f"'{name}' cannot be the name of a modality")
        (folder / f"{name}.npy").unlink()
    (folder / "samples.csv").unlink()
    refused("nothing in .* tells ids and labels")
    for path in folder.iterdir():
        path.unlink()
    refused("two or more modalities are needed, found none")
    with pytest.raises(CurateError, match="is not a folder"):
        file = tmp_path / "x.csv"
        file.write_text("")
        opened(file)


def test_the_table_of_samples_is_checked_as_a_manifest_is(folder, refused) -> None:
    write_samples(folder, label=None)
    refused("no column 'label'")
    write_samples(folder, label=["ant"] * N)
    refused("features: .*: every row has the label 'ant'")
    write_samples(folder, sample_id=["a"] * N)
    refused("features: .*: 1 sample_id occurs more than once: a")
    write_samples(folder, split=["nowhere"] * N)
    refused("features: unknown splits 'nowhere'")


def test_a_head_is_read_without_the_numbers(folder, monkeypatch) -> None:
    path = folder / "text.npz"
    np.savez(path, sample_id=IDS, features=values(3))
    read, asked = np.lib.format.read_array, []
    monkeypatch.setattr(np.lib.format, "read_array", lambda f, **k: asked.append(f.name) or read(f, **k))
    head = read_head(path)
    assert (head.rows, head.dim) == (N, D) and head.keys["sample_id"].tolist() == IDS.tolist()
    assert asked == ["sample_id.npy"]
    np.testing.assert_array_equal(read_values(path, (1,)), values(3))


def test_columns_of_a_parquet_file_are_named_as_in_other_tables(tmp_path: Path) -> None:
    path = tmp_path / "audio.parquet"
    with duckdb.connect() as con:
        con.execute(f"COPY (SELECT 'a' AS \"Sample ID\", 'x' AS \" LABEL \", 1.5 AS f0) TO '{path}' (FORMAT parquet)")
    head = read_head(path)
    assert (head.keys["sample_id"].tolist(), head.keys["label"].tolist(), head.dim) == (["a"], ["x"], 1)
