"""Bad data sets, checkpoints and media: refused in two lines, or counted, named and told by exit status 3."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

Refused = Callable[..., str]
SCORE = ("score", "--quiet", "--dataset", "manifest", "--epochs", "1")
ONLY_DATA = {"optim.batch_size": None, "optim.lr": None}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"


@pytest.fixture
def own_clips(workplace: Path, write_small_clips: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest of the test's own, with 12 samples of two classes.

    The cache is the test's own too: equal files written within one second are not decoded again, whoever wrote them.
    """
    monkeypatch.setenv("CURATE_CACHE", str(workplace / "cache"))
    return write_small_clips(workplace / "own", 12, ("ant", "bee"))


# --- manifests -------------------------------------------------------------------------------------------------


def test_a_missing_root_shows_the_layout(refused: Refused, db: Path) -> None:
    for command in (SCORE, ("prepare", "--quiet", "--dataset", "manifest")):
        assert "columns sample_id, label" in refused(*command)
        assert "columns sample_id, label" in refused(*command, "--root", "nowhere.csv")
    assert "nowhere does not exist" in refused("score", "--dataset", "avdigits", "--root", "nowhere")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda text: text.replace("sample_id", "id"), "no column 'sample_id'"),
        (lambda text: text.replace("label", "class"), "no column 'label'"),
        (lambda text: text.replace(",image", ",picture"), "two columns of paths are needed"),
        (lambda text: text.replace("s01,", "s00,"), "1 sample_id occurs more than once: s00"),
        (lambda text: text.replace("bee", "ant"), "every row has the label 'ant'"),
        (lambda text: text.replace("s01,", ","), "1 row has no sample_id"),
        (lambda text: text.replace("train", "trial"), "unknown splits 'trial'"),
        (lambda text: text.replace("00.wav", "00.wav,extra"), "has 6 cells, its header 5"),
        (lambda text: "", "has no rows"),
    ],
)
def test_a_manifest_that_cannot_be_used(
    refused: Refused, db: Path, own_clips: Path, change: Callable[[str], str], error: str
) -> None:
    own_clips.write_text(change(own_clips.read_text()))
    for command in (SCORE, ("prepare", "--quiet", "--dataset", "manifest"), ("datasets", "manifest")):
        assert error in refused(*command, "--root", own_clips)


@pytest.mark.parametrize("name", ["clips.csv", "clips.parquet"])
def test_an_unreadable_manifest(refused: Refused, db: Path, name: str) -> None:
    Path(name).write_bytes(b"\x81\x8d\xff\n" * 50)
    assert "cannot be read" in refused(*SCORE, "--root", name)
    Path("folder").mkdir()
    assert "is a folder" in refused(*SCORE, "--root", "folder")


def test_data_that_changed_since_it_was_scored(
    refused: Refused, curate: Callable, own_clips: Path, small_settings: Callable
) -> None:
    assert curate(*SCORE, "--root", own_clips, *small_settings()).code == 0
    own_clips.write_text(own_clips.read_text().replace("s00,ant", "s00,bee"))
    for command in (("train", "--method", "joint"), ("evaluate",)):
        told = refused(*command, "--quiet")
        assert "has changed since score-manifest-1" in told
        assert f"`curate score --dataset manifest --root {own_clips.resolve()}`" in told


def test_data_that_lie_elsewhere_now(
    refused: Refused, curate: Callable, own_clips: Path, small_settings: Callable
) -> None:
    """The hint's link to their new place is enough."""
    assert curate(*SCORE, "--root", own_clips, *small_settings()).code == 0
    folder = own_clips.parent.resolve()
    moved = folder.rename(folder.with_name("moved"))
    for command in (("train", "--method", "joint"), ("evaluate",)):
        told = refused(*command, "--quiet")
        assert f"score-manifest-1 lay at {folder / own_clips.name}" in told
        assert f"`ln -s PLACE {folder}`" in told
    folder.symlink_to(moved)
    assert curate("evaluate", "--quiet").code == 0


# --- media -----------------------------------------------------------------------------------------------------


def spoil(manifest: Path) -> None:
    """One file gone, one Git LFS pointer, one empty, one cut."""
    folder = manifest.parent
    (folder / "00.wav").unlink()
    (folder / "01.png").write_text(POINTER)
    (folder / "02.wav").write_bytes(b"")
    (folder / "03.png").write_bytes((folder / "03.png").read_bytes()[:20])


def test_bad_media_are_counted_named_and_kept_out(curate: Callable, own_clips: Path, small_settings: Callable) -> None:
    spoil(own_clips)
    prepare = ("prepare", "--dataset", "manifest", "--workers", "0", *small_settings(**ONLY_DATA))
    for command in (prepare, (*SCORE, *small_settings())):
        ended = curate(*command, "--root", own_clips)
        assert ended.code == 3
        assert "not usable: 1 empty, 1 lfs_pointer, 1 missing, 1 undecodable" in ended.err
    told = re.search(r"curate sql \"(.*)\"`", ended.err)[1]
    rows = {r["sample_id"]: r for r in json.loads(curate("sql", told, "--format", "json").out)}
    assert {k: r["status"] for k, r in rows.items()} == {
        "s00": "missing",
        "s01": "lfs_pointer",
        "s02": "empty",
        "s03": "undecodable",
    }
    assert all(r["reason"].startswith(("audio: ", "image: ")) for r in rows.values())
    scored = curate("sql", "SELECT count(*) FROM samples WHERE p_balanced IS NOT NULL", "--format", "csv").out
    assert scored.split() == ["count_star()", "4"]
    (own_clips.parent / "04.wav").unlink()  # the scored run is of other data then
    ended = curate(*prepare, "--root", own_clips)
    assert "2 missing" in ended.err
    told = re.search(r"curate sql \"(.*)\"`", ended.err)[1]
    assert len(json.loads(curate("sql", told, "--format", "json").out)) == 5


def test_prepare_counts_what_is_usable(curate: Callable, own_clips: Path, small_settings: Callable) -> None:
    ended = curate(
        "prepare", "--dataset", "manifest", "--root", own_clips, "--workers", "0", *small_settings(**ONLY_DATA)
    )
    assert ended.code == 0
    assert ended.out.startswith("12 items, 12 usable, in ")
    read, plan, *progress = ended.err.splitlines()
    assert read == "note: clips.csv: 12 rows and ids; 8 train, 2 val, 2 test; 2 classes"
    size = 12 * (4000 * 2 + 16 * 16) / 1e6  # int16 samples and one grey picture
    assert plan.startswith(f"manifest: 12 items, {size:.1f} MB in ")
    assert progress == ["decoding: 0/12 items", "decoding: 12/12 items"]


def test_no_usable_sample_at_all(refused: Refused, db: Path, own_clips: Path, small_settings: Callable) -> None:
    for file in own_clips.parent.glob("*.wav"):
        file.unlink()
    told = refused(*SCORE, "--root", own_clips, *small_settings())
    assert "no usable sample in split 'train'" in told and "does not exist" in told


def test_the_check_says_why_the_first_missing_file_of_each_modality_is_not_found(
    curate: Callable, own_clips: Path
) -> None:
    lines = own_clips.read_text().replace(".wav", ".WAV").splitlines()
    own_clips.write_text("\n".join(lines) + "\n")
    if (own_clips.parent / "S00.WAV").exists() or any(own_clips.parent.glob("*.WAV")):
        pytest.skip("names of files have no case here")
    told = " ".join(curate("datasets", "manifest", "--root", own_clips).err.split())
    assert "missing; first missing: " in told and ".wav, in other case" in told
    assert told.count("first missing") == 1


# --- checkpoints -----------------------------------------------------------------------------------------------


def test_a_checkpoint_of_other_classes_or_modalities(
    refused: Refused, db: Path, own_clips: Path, small_settings: Callable
) -> None:
    """Which is said before anything is decoded."""
    command = (*SCORE, "--checkpoint", "curate.runs/score-manifest-1/last.pt", *small_settings(), "--root")
    caches = Path(os.environ["CURATE_CACHE"])
    before = set(caches.glob("*"))
    assert "has classes ['ant', 'bee', 'cow'], this model needs ['ant', 'bee']" in refused(*command, own_clips)
    own_clips.write_text(own_clips.read_text().replace(",image", ",visual").replace("11,bee", "11,cow"))
    assert "has modalities ['audio', 'image'], this model needs ['audio', 'visual']" in refused(*command, own_clips)
    assert set(caches.glob("*")) == before


def test_a_checkpoint_of_another_architecture(
    refused: Refused, db: Path, clips: Path, small_settings: Callable
) -> None:
    told = refused(
        *SCORE,
        "--checkpoint",
        "curate.runs/score-manifest-1/last.pt",
        "--root",
        clips,
        *small_settings(**{"data.channels": 3}),
    )
    assert "another architecture" in told


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut", "dict", "list", "object", "folder"])
def test_what_is_no_checkpoint(
    refused: Refused, db: Path, clips: Path, small_settings: Callable, content: bytes | str
) -> None:
    path = Path("weights.pt")
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "folder":
        path.mkdir()
    else:
        torch = pytest.importorskip("torch")
        torch.save({"dict": {"model": {}}, "list": [1], "object": Path("a")}[content], path)
    told = refused(*SCORE, "--checkpoint", path, "--root", clips, *small_settings())
    assert "weights.pt" in told
    assert "no checkpoint at" in refused(*SCORE, "--checkpoint", "none.pt", "--root", clips, *small_settings())


@pytest.mark.model
def test_a_folder_or_a_mistyped_name_is_answered_with_the_checkpoints_that_are_there(
    refused: Refused, db: Path, clips: Path, small_settings: Callable
) -> None:
    folder = Path("curate.runs/score-manifest-1")
    for given, said in (
        (folder, f"{folder} is a folder, not a checkpoint"),
        (folder / "lst.pt", f"no checkpoint at {folder / 'lst.pt'}"),
    ):
        told = refused(*SCORE, "--checkpoint", given, "--root", clips, *small_settings())
        assert said in told and str(folder / "last.pt") in told and "moved" not in told


@pytest.mark.model
def test_a_run_whose_checkpoint_is_gone(refused: Refused, db: Path) -> None:
    Path("curate.runs/score-manifest-1/last.pt").unlink()
    for command in (("evaluate",), ("train", "--method", "warmup")):
        assert "no checkpoint at" in refused(*command, "--quiet")


# --- training that breaks down ---------------------------------------------------------------------------------


DIVERGES = {"optim.lr": 1e6, "optim.weight_decay": 1e6}
"""Every step multiplies the weights by -1e12."""


def small_settings_of(values: dict[str, float]) -> list[str]:
    """`--set KEY=VALUE` of each."""
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def batch_of(told: str) -> list[str]:
    """The sample ids that a message names."""
    return re.findall(r"\bs\d\d\b", told)


def test_nan_names_the_samples_of_its_batch(refused: Refused, db: Path, clips: Path, small_settings: Callable) -> None:
    train_ids = {f"s{i:02}" for i in range(24)}
    told = refused(*SCORE, "--root", clips, *small_settings(**DIVERGES))
    assert len(batch_of(told)) == 8 and set(batch_of(told)) <= train_ids
    told = refused("train", "--quiet", "--method", "adaptive", "--epochs", "4", *small_settings_of(DIVERGES))
    assert len(batch_of(told)) == 8 and set(batch_of(told)) <= train_ids
    assert "lower optim.lr" in told


def test_a_failed_run_is_not_taken_for_a_scored_one(
    refused: Refused, curate: Callable, db: Path, clips: Path, small_settings: Callable
) -> None:
    refused(*SCORE, "--root", clips, *small_settings(**DIVERGES))
    status = curate("sql", "SELECT run_id, status FROM run ORDER BY 1", "--format", "csv").out.split()[1:]
    assert status == ["score-manifest-1,done", "score-manifest-2,failed"]
    ended = curate("select", "--top", "2")
    assert ended.err.startswith("score-manifest-1: ")
