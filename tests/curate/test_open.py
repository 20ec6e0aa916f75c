"""The commands that need no model, from Python: DataFrames out, results that show themselves, every text escaped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import curate
from curate.errors import CurateError, in_python
from curate.table import Table
from curate.types import Selection

NASTY = "<script>alert(1)</script>&"


@pytest.fixture
def table(scored_table):
    """The scored table as a notebook opens it."""
    return curate.open(str(scored_table.path))


def test_questions_and_lists_are_frames(table):
    frame = table.sql("SELECT split, count(*) AS n FROM samples GROUP BY 1 ORDER BY 1")
    assert frame.to_dict("list") == {"split": ["test", "train", "val"], "n": [1, 60, 1]}
    assert list(table.run_frame()["run"]) == ["score-toy-1"]
    table.choose("one", threshold=0.5)
    table.choose("two", top=10)
    assert set(table.selections()["selection"]) == {"one", "two"}
    together = table.compare("one", "two").set_index("class").loc["(all)"]
    assert together["two"] == 10 and together["both"] <= 10
    assert table.sql("SELECT 1 AS a WHERE false").columns.tolist() == ["a"]


def test_a_rule_is_the_same_as_in_the_library(table):
    found = table.choose(threshold=0.5)
    one = table.scored()
    assert np.array_equal(found.sample_ids, one.sample_ids[curate.select(one.p_balanced[:, 0], 0.5)])


def test_without_a_rule_the_evidence_decides_as_on_the_command_line(table):
    found = table.choose("supported")
    assert found.rule == table.choose("asked", **table.store.selections.suggest("score-toy-1")[0]).rule != ""
    assert 0 < len(found.sample_ids) < found.candidates
    assert repr(table) == f"Table({str(table.path)!r})"


def test_predictions_are_scored_reported_and_exported(tmp_path):
    ids = [f"s{i:02}" for i in range(40)]
    rng = np.random.default_rng(0)
    values = {f"{m}.{k}": rng.normal(size=40) for m in ("audio", "visual") for k in ("x", "y")}
    pd.DataFrame({"sample_id": ids, "label": ["x", "y"] * 20, **values}).to_csv(tmp_path / "p.csv", index=False)
    table = curate.open(tmp_path / "t.duckdb")
    run = table.score(tmp_path / "p.csv", family="student-t")
    assert (run.status, run.family) == ("done", "student-t")
    assert len(table.samples()) == table.export(tmp_path / "all.csv") == 40
    assert table.score(tmp_path / "p.csv", only_missing=True).run_id == run.run_id
    with pytest.raises(ValueError, match="no settings"):
        table.score(tmp_path / "p.csv", only_missing=True, family="gaussian")
    page = table.report(output=tmp_path / "reports")
    assert page == Path(tmp_path / "reports" / run.run_id / "index.html") and page.exists()


def test_results_show_themselves_and_escape_what_they_show(table):
    run = replace(table.find_run(), note=NASTY)
    one = table.scored()
    fitted = replace(one.fits[0], warnings=(NASTY,))
    kept = Selection(NASTY, "r", "top 1", np.array(["a"]), 2, {NASTY: (1, 2)})
    for shown in (run, fitted, kept, replace(one, fits=(fitted,))):
        html = shown._repr_html_()
        assert "<script" not in html and "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in html
        assert html.count("<table") == html.count("</table>") == 1
    assert "<td>1</td><td>2</td>" in kept._repr_html_()
    assert all(f"<td>{w:.4g}</td>" in one.fits[0]._repr_html_() for w in one.fits[0].weights)


def test_runs_and_selections_are_printed_in_a_line_or_two(table):
    run, chosen = table.find_run(), table.choose("one", threshold=0)
    assert "config" not in repr(run) and "versions" not in repr(run) and len(repr(run)) < 500
    assert repr(str(chosen.sample_ids[0])) not in repr(chosen) and len(repr(chosen)) < 300


def test_urls_are_places_as_on_the_command_line(table, scored_table, tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    there = fsspec.filesystem("memory")
    assert str(table.report(output="memory://open/r")) == "memory://open/r/score-toy-1/index.html"
    assert there.exists("/open/r/score-toy-1/index.html")
    assert table.export("memory://open/s.csv") == len(table.samples())
    with pytest.raises(CurateError, match="are read, not written"):
        table.export("https://nowhere.invalid/folder", to="hf")
    assert there.exists("/open/s.csv")
    with pytest.raises(CurateError, match=r"memory://open/a\.duckdb is on another machine") as refused:
        curate.open("memory://open/a.duckdb")
    assert "curate merge memory://open/a.duckdb" in refused.value.hint
    assert set(tmp_path.iterdir()) == before, "nothing is written here"
    here = table.report(output=f"file://{tmp_path}/reports")
    assert here == tmp_path / "reports" / "score-toy-1" / "index.html" and here.exists()
    assert curate.open(f"file://{scored_table.path}").path == scored_table.path


def test_settings_of_files_and_variables_have_no_part_in_a_call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"s{i},{'xy'[i % 2]},{i % 7},-1,-2,{i % 5}" for i in range(40)]
    (tmp_path / "p.csv").write_text("\n".join(["sample_id,label,audio.x,audio.y,visual.x,visual.y", *rows]))
    (tmp_path / "curate.toml").write_text('[score]\nfamily = "gaussian"\n')
    monkeypatch.setenv("CURATE_SET", "score.family=student-t")
    assert curate.open("t.duckdb").score("p.csv").family == "two-sided"
    assert "`CURATE_SET`" in Table.score.__doc__


def test_predictions_of_ones_own_are_made_with_names_of_curate():
    probs = dict.fromkeys(("audio", "visual", "fused"), np.full((2, 2), 0.5, np.float32))
    ids, labels = np.array(["a", "b"]), np.array([0, 1])
    gaps = curate.modality_gap(curate.Predictions(ids, labels, ("x", "y"), ("audio", "visual"), probs))
    assert isinstance(gaps, curate.GapScores) and gaps.prob.dtype == gaps.kl.dtype == np.float64
    with pytest.raises(ValueError, match="kind is one of prob, kl, got 'log_odds'"):
        gaps.of("log_odds")


def test_what_the_package_offers_is_listed():
    assert set(curate.__all__) <= set(dir(curate))


def test_python_shows_the_hint_with_arguments_in_place_of_options(table):
    """A traceback shows notes; the command line prints `hint` as it is."""
    with pytest.raises(CurateError) as said:
        table.choose("none", threshold=1.8)
    assert said.value.hint == "try --threshold 0.8" and said.value.__notes__ == ["hint: try threshold=0.8"]
    table.choose("one", threshold=0.5)
    with pytest.raises(CurateError) as said:
        table.choose("one", top=3)
    assert said.value.__notes__ == ["hint: choose another name, or replace that one (replace=True)"]
    with pytest.raises(CurateError) as said:
        table.choose("one", where=" ")
    assert "--" not in str(said.value) + said.value.__notes__[0]


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("try --per-class 100", "try per_class=100"),
        ("--set score.values=logits takes them for logits", "values='logits' takes them for logits"),
        ("leave --where or --selection out", "leave where or selection out"),
        ("name a DuckDB file with --db", "name a DuckDB file with curate.open(PATH)"),
        ("`curate select --top 5` keeps 5", "`curate select --top 5` keeps 5"),
        ("score saved predictions with --media clips.csv", "score saved predictions with --media clips.csv"),
    ],
)
def test_hints_of_the_command_line_in_python(hint, expected):
    assert in_python(hint) == expected
