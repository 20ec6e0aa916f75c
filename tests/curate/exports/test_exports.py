"""What is exported, read back by the tools that it is for."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.errors import CurateError, EmptySelectionError
from curate.exports.formats import TARGETS, export
from curate.exports.rows import Wanted, rows_of
from curate.files.remote import located
from curate.predictions.refit import refit
from curate.predictions.score import score_predictions
from curate.store.marks import Mark
from curate.store.store import Store
from curate.types import FUSED, Sample

RUN = "score-toy-1"


@pytest.fixture
def pictures(scored_table, tmp_path):
    """The scored table, with a picture beside each sample."""
    stored = scored_table.runs.find()
    names = scored_table.rows("SELECT sample_id, label_name, split FROM samples ORDER BY 1")
    (tmp_path / "media").mkdir()
    samples, sources = [], []
    for i, label, split in names:
        Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(tmp_path / "media" / f"{i}.png")
        samples.append(Sample(sample_id=i, label=label, split=split, inputs={}))
        sources.append({"visual": {"file": str(tmp_path / "media" / f"{i}.png")}, "audio": {"text": "none"}})
    status = ["ok"] * len(samples)
    scored_table.samples.write(stored.data_id, samples, stored.classes, status, [""] * len(samples), sources=sources)
    return scored_table


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_rows_have_scores_marks_and_class_probabilities(scored_table, predictions, tmp_path, suffix) -> None:
    scored_table.marks.write("toy", [Mark(mark_id="1", sample_id="s003", mark="broken:visual")], "me")
    written, *_ = export(scored_table, tmp_path / f"x.{suffix}")
    readers = {"csv": pd.read_csv, "parquet": duckdb.read_parquet, "jsonl": duckdb.read_json}
    frame = readers[suffix](str(tmp_path / f"x.{suffix}"))
    frame = frame if suffix == "csv" else frame.df()
    assert written == len(frame) == scored_table.rows("SELECT count(*) FROM samples")[0][0]
    row = frame.set_index("sample_id").loc["s003"]
    assert row["mark"] == "broken:visual"
    given = predictions()
    at = given.sample_ids.tolist().index("s003")
    assert row["predicted"] == given.classes[given.probs[FUSED][at].argmax()]
    for m in ("audio", "visual", FUSED):
        probs = json.loads(row[f"probs_{m}"]) if suffix == "csv" else row[f"probs_{m}"]
        np.testing.assert_allclose(np.array(probs, dtype=float), given.probs[m][at], atol=1e-6)


def test_class_probabilities_come_back_with_their_samples(scored_table, predictions) -> None:
    given, (ids, found) = predictions(), scored_table.rounds.probabilities(RUN)
    assert (ids == np.sort(given.sample_ids)).all()
    order = np.argsort(given.sample_ids)
    for m, probs in given.probs.items():
        np.testing.assert_allclose(found[m], probs[order], atol=1e-7)
    assert scored_table.rows("SELECT count(*) FROM class_probability WHERE abs(list_sum(probs) - 1) > 1e-5") == [(0,)]


def test_rows_of_the_table_are_read_once(scored_table) -> None:
    rows = rows_of(scored_table, Wanted())
    with scored_table.db.open() as con:
        ((_, plan),) = con.execute(f"EXPLAIN {rows.sql}").fetchall()
    assert "probs_audio" in rows.sql and plan.count("item_here") == 1


def test_a_condition_and_a_selection_narrow_what_is_written(scored_table, tmp_path) -> None:
    chosen = scored_table.selections.make(RUN, name="best", top=10)
    for number, wanted in enumerate(
        (Wanted(selection="best"), Wanted(selection="best", where="label_name = 'class_1'"))
    ):
        export(scored_table, tmp_path / f"{number}.csv", wanted=wanted)
    first, second = (pd.read_csv(tmp_path / f"{n}.csv") for n in (0, 1))
    assert sorted(first["sample_id"]) == sorted(chosen.sample_ids)
    assert set(second["sample_id"]) == set(first["sample_id"][first["label_name"] == "class_1"])
    with pytest.raises(EmptySelectionError):
        export(scored_table, tmp_path / "none.csv", wanted=Wanted(where="gap > 5"))
    for bad in ("gap >", "(SELECT count(*) FROM read_csv('/etc/passwd')) > 0"):
        with pytest.raises(CurateError):
            export(scored_table, tmp_path / "none.csv", wanted=Wanted(where=bad))
    for blank in ({"where": " "}, {"selection": ""}, {"run": ""}):
        with pytest.raises(CurateError, match=f"{next(iter(blank))} is empty"):
            Wanted(**blank)
    assert not (tmp_path / "none.csv").exists()


def test_a_selection_is_written_with_the_scores_that_it_was_made_by(scored_table) -> None:
    """Not with those of a newer run."""
    scored_table.selections.make(RUN, name="best", top=10)
    newer = refit(scored_table, scored_table.runs.find(RUN), [{"score": {"gap": "kl"}}])
    found = [rows_of(scored_table, wanted).run for wanted in (Wanted(selection="best"), Wanted())]
    assert [run and run.run_id for run in found] == [RUN, newer.run_id]


@pytest.mark.parametrize("target", ["hf", "webdataset"])
def test_a_folder_is_not_written_where_a_file_is(scored_table, tmp_path, target: str) -> None:
    (tmp_path / "here").write_text("kept")
    with pytest.raises(CurateError, match="not an empty folder"):
        export(scored_table, tmp_path / "here", target)
    assert (tmp_path / "here").read_text() == "kept"


@pytest.mark.long
def test_cleanlab_finds_the_labels_that_were_changed(scored_table, tmp_path) -> None:
    filter = pytest.importorskip("cleanlab.filter")
    _, opened, _ = export(scored_table, tmp_path / "c.npz", "cleanlab")
    with np.load(tmp_path / "c.npz") as content:
        given = dict(content)
    assert 'd["pred_probs_fused"]' in opened
    labels = given["labels"].copy()
    changed = [0, 1, 2, 4, 5]  # of every fourth one modality knows nothing
    labels[changed] = (labels[changed] + 1) % 3
    assert not filter.find_label_issues(given["labels"], given["pred_probs_fused"]).any()
    assert filter.find_label_issues(labels, given["pred_probs_fused"])[changed].all()


def test_what_cleanlab_does_not_get_is_counted_and_named(tmp_path) -> None:
    rows = [f"s{i:02},{'xy'[i % 2]},{{}},{{}}" for i in range(20)]
    whole, none = "0.25,0.75", ","
    filled = [
        row.format(none if i in (3, 4) else whole, none if i in (4, 5, 6) else whole) for i, row in enumerate(rows)
    ]
    (tmp_path / "p.csv").write_text("\n".join(["sample_id,label,a.x,a.y,b.x,b.y", *filled]) + "\n")
    store = Store(tmp_path / "p.duckdb")
    score_predictions(store, [str(tmp_path / "p.csv")], [{}])
    done = export(store, tmp_path / "c.npz", "cleanlab")
    with np.load(tmp_path / "c.npz") as content:
        given = dict(content)
    assert done.rows == 19 and "s04" not in given["sample_ids"]
    for what, ids in (("left out", ["s04"]), ("pred_probs_a", ["s03"]), ("pred_probs_b", ["s05", "s06"])):
        (said,) = (note for note in done.notes if note.startswith(what))
        assert f"{len(ids)} sample" in said and all(i in said for i in ids)
    lines = done.opened.replace("cleanlab.filter.find_label_issues(labels, p)", "found.extend([labels, p])")
    found: list[np.ndarray] = []
    exec(lines, {"numpy": np, "found": found})
    assert len(found[0]) == len(found[1]) and np.isfinite(found[1]).all()


def test_other_splits_are_named_where_they_are_left_out(scored_table, tmp_path) -> None:
    notes = export(scored_table, tmp_path / "c.npz", "cleanlab").notes
    assert len(notes) == 2 and all(f"of {s} 1 sample: 'zz-{s}'" in " ".join(notes) for s in ("val", "test"))
    assert export(scored_table, tmp_path / "c.npz", "cleanlab", Wanted(where="split = 'train'")).notes == ()


def test_rows_of_several_data_sets_say_what_they_lack(scored_table, predictions, scoring, tmp_path) -> None:
    assert export(scored_table, tmp_path / "x.csv").notes == ()
    scoring.write(scored_table, predictions(prefix="t"), "score-pets-1", dataset="pets", data_id="pets-0123456789")
    (said,) = export(scored_table, tmp_path / "x.csv").notes
    assert "class probabilities" in said and "--run" in said
    assert export(scored_table, tmp_path / "x.csv", wanted=Wanted(run=RUN)).notes == ()


def test_classes_are_sorted_for_cleanlab_however_the_run_has_them(tmp_path, scoring, predictions) -> None:
    given = replace(predictions(), classes=("z", "a", "m"))
    store = Store(tmp_path / "z.duckdb")
    scoring.write(store, given)
    export(store, tmp_path / "c.npz", "cleanlab")
    with np.load(tmp_path / "c.npz") as content:
        assert list(content["classes"]) == ["a", "m", "z"]
        order = np.argsort(given.sample_ids)
        np.testing.assert_allclose(content["pred_probs_audio"], given.probs["audio"][order][:, [1, 2, 0]], atol=1e-6)
        names = np.array(given.classes)[given.labels][order]
        assert (content["classes"][content["labels"]] == names).all()


def test_hugging_face_datasets_reads_the_folder_by_split(pictures, tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    written, opened, _ = export(pictures, tmp_path / "hf", "hf")
    assert opened == f'datasets.load_dataset("{tmp_path / "hf"}")'
    found = datasets.load_dataset(str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))
    assert set(found) == {"train", "validation", "test"} and sum(map(len, found.values())) == written
    first = found["train"][0]
    assert first["file_visual"].endswith(".png") and len(first["probs_fused"]) == 3
    with pytest.raises(CurateError, match="not an empty folder"):
        export(pictures, tmp_path / "hf", "hf")


def test_a_folder_appears_when_it_is_complete(pictures, tmp_path, monkeypatch) -> None:
    """After an interrupt between two splits the same command works again."""
    real, folder = type(pictures.db).copy_to, tmp_path / "hub"

    def interrupted(*_):
        raise KeyboardInterrupt

    def copied(*given):
        monkeypatch.setattr(type(pictures.db), "copy_to", interrupted)
        return real(*given)

    for first in (interrupted, copied):
        monkeypatch.setattr(type(pictures.db), "copy_to", first)
        with pytest.raises(KeyboardInterrupt):
            export(pictures, folder, "hf")
        assert not folder.exists() and not list(tmp_path.glob(".hub*"))
    monkeypatch.setattr(type(pictures.db), "copy_to", real)
    folder.mkdir()
    assert export(pictures, folder, "hf").opened == f'datasets.load_dataset("{folder}")'
    assert sorted(path.name for path in folder.iterdir()) and not list(tmp_path.glob(".hub*"))


@pytest.mark.parametrize(("to", "name"), [("hf", "hub"), ("spotlight", "s.parquet"), ("cleanlab", "c.npz")])
def test_what_is_written_elsewhere_is_opened_by_a_line_that_fetches_it(
    pictures, tmp_path, monkeypatch, to, name
) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.chdir(tmp_path)
    line = export(pictures, located(f"memory://bucket/{to}/{name}"), to).opened
    fetch, _, opened = line.partition("; ")
    exec(fetch, {"fsspec": fsspec})
    assert (tmp_path / name).exists() and f'"{name}"' in opened and "memory://" not in opened
    files = [path.name for path in (tmp_path / name).iterdir()] if to == "hf" else []
    assert all(file.endswith(".parquet") for file in files)


def test_polars_reads_json_columns_as_texts(pictures, tmp_path) -> None:
    polars = pytest.importorskip("polars")
    export(pictures, tmp_path / "x.parquet")
    frame = polars.read_parquet(tmp_path / "x.parquet")
    assert frame.schema["extra"] == frame.schema["media"] == polars.String


def test_fiftyone_gets_a_path_a_row(pictures, tmp_path) -> None:
    written, opened, _ = export(pictures, tmp_path / "f.csv", "fiftyone")
    frame = pd.read_csv(tmp_path / "f.csv")
    assert written == len(frame) and "CSVDataset" in opened
    pictures.samples.write(
        pictures.runs.find().data_id, [Sample(sample_id="zz-new", label="class_0", split="test", inputs={})],
        pictures.runs.find().classes, ["ok"], [""], sources=[{}],
    )  # fmt: skip
    done = export(pictures, tmp_path / "f.csv", "fiftyone")
    assert done.rows == written and "1 sample: 'zz-new'" in done.notes[0]
    assert all(path.endswith(f"{i}.png") for path, i in zip(frame["filepath"], frame["sample_id"], strict=True))


def test_fiftyone_needs_something_to_show(scored_table, tmp_path) -> None:
    for config, named in (('{"predictions": {}}', True), ("{}", False)):
        with scored_table.db.open(write=True) as con:
            con.execute("UPDATE run SET config = ?", [config])
        with pytest.raises(CurateError, match="no file of one is known") as error:
            export(scored_table, tmp_path / "f.csv", "fiftyone")
        assert ("--media" in error.value.hint) == named, "only a run of saved predictions is given media"


def test_spotlight_is_told_the_kind_of_each_medium(pictures, tmp_path) -> None:
    _, opened, _ = export(pictures, tmp_path / "s.parquet", "spotlight")
    assert '"file_visual": spotlight.Image' in opened and "file_audio" not in opened
    assert '"extra": str, "media": str' in opened, "texts of JSON stay texts"


@pytest.mark.long
def test_fiftyone_itself_opens_it_with_numbers_as_numbers(pictures, tmp_path, monkeypatch) -> None:
    """Where its database is not installed with it, `FIFTYONE_DATABASE_URI` names one."""
    monkeypatch.setenv("FIFTYONE_DATABASE_DIR", str(tmp_path / "db"))
    monkeypatch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
    fiftyone = pytest.importorskip("fiftyone")
    written, opened, _ = export(pictures, tmp_path / "f.csv", "fiftyone")
    found = eval(opened, {"fiftyone": fiftyone, "pandas": pd})
    try:
        assert len(found) == written and found.media_type == "image"
        some = found.match(fiftyone.ViewField("gap") > 0.3)
        assert some.values("sample_id") == [i for (i,) in pictures.rows(
            "SELECT sample_id FROM samples WHERE gap > 0.3 ORDER BY 1")]  # fmt: skip
        assert 0 < len(some) < written and found.first()["label"] == pictures.rows(
            "SELECT label FROM samples ORDER BY sample_id LIMIT 1")[0][0]  # fmt: skip
    finally:
        found.delete()


@pytest.mark.long
def test_spotlight_itself_opens_it_and_takes_each_column_for_what_it_is(pictures, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SPOTLIGHT_OPT_OUT", "true")
    spotlight = pytest.importorskip("renumics.spotlight")
    pictures.selections.make(RUN, name="best", top=10)
    with pictures.db.open(write=True) as con:
        con.execute('UPDATE item_here SET media = \'{"visual": {"size": [4, 4]}}\'')
    written, opened, _ = export(pictures, tmp_path / "s.parquet", "spotlight")
    show = lambda *args, **kwargs: spotlight.show(*args, **kwargs, no_browser=True, wait=False)  # noqa: E731
    viewer = eval(opened, {"spotlight": type("", (), {**vars(spotlight), "show": staticmethod(show)})})
    try:
        with urllib.request.urlopen(f"{viewer.url}api/table/") as answer:
            columns = {c["name"]: c for c in json.load(answer)["columns"]}
    finally:
        viewer.close()
    kinds = {name: column["dtype"]["name"] for name, column in columns.items()}
    expected = {"file_visual": "Image", "gap": "float", "probs_fused": "Embedding", "selections": "str", "label": "int"}
    expected |= {"media": "str", "extra": "str"}
    assert {name: kinds[name] for name in expected} == expected
    assert len(columns["sample_id"]["values"]) == written and columns["selections"]["values"].count("best") == 10


@pytest.mark.parametrize("target", TARGETS)
def test_a_name_that_does_not_fit_is_refused_and_nothing_is_written(scored_table, tmp_path, target) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").write_text("kept")
    with pytest.raises(CurateError):
        export(scored_table, tmp_path / "there", target)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file() and "duckdb" not in p.name] == ["x"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_place_is_checked_before_anything_is_read(tmp_path, target) -> None:
    """The table is not there either: what is said first was looked at first."""
    store, suffix = Store(tmp_path / "none.duckdb"), TARGETS[target][0]
    with pytest.raises(CurateError, match=r"the folder .*nowhere does not exist"):
        export(store, tmp_path / "nowhere" / f"x{suffix}", target)
    if suffix:
        with pytest.raises(CurateError, match=r"cannot write '\.foo'"):
            export(store, tmp_path / "x.foo", target)


@pytest.mark.parametrize("target", ["hf", "cleanlab", "fiftyone", "spotlight", "webdataset"])
def test_what_takes_one_data_set_asks_which(scored_table, predictions, scoring, tmp_path, target) -> None:
    scoring.write(scored_table, predictions(prefix="t"), "score-pets-1", dataset="pets", data_id="pets-0123456789")
    with pytest.raises(CurateError, match="several or none"):
        export(scored_table, tmp_path / f"x{TARGETS[target][0]}", target)
