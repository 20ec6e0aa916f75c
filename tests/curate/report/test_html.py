"""The page: complete, self-contained, right, and safe from what data sets call their samples."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curate.errors import CurateError
from curate.report import build
from curate.report.facts import planted_scores, read
from curate.report.texts import MEANINGS, explain, with_code
from curate.scores import gap, mixture, posteriors
from curate.store.store import Store
from curate.types import FUSED, Finding, Predictions, Run, Sample, modality_pairs

NASTY = "<b>&\"'"


def _probs(rng: np.random.Generator, labels: np.ndarray, k: int, known: np.ndarray) -> np.ndarray:
    """Probabilities that give the true class `known` (N,) and share the rest."""
    rest = rng.dirichlet(np.ones(k - 1), len(labels)) * (1 - known[:, None])
    return np.stack([np.insert(r, y, p) for r, y, p in zip(rest, labels, known, strict=True)])


def _run(run_id: str, modalities: Sequence[str], kind: str = "score", method: str = "warmup", **other: object) -> Run:
    values = dict(
        run_id=run_id,
        kind=kind,
        method=method,
        dataset="toy",
        data_id="toy-1",
        root=None,
        parent=None,
        seed=0,
        modalities=tuple(modalities),
        classes=("a", NASTY, "c"),
        gap_kind="prob",
        family="gaussian",
        config={"data": {}, "train": {"epochs": 2}},
        versions={"python": "3"},
        folder="f",
    )
    return Run(**{**values, **other})


def _round(table: Store, run_id: str, number: int, modalities: Sequence[str], constant: bool = False) -> Predictions:
    n = 60
    rng = np.random.default_rng(number)
    labels = np.arange(n) % 3
    known = {m: np.full(n, 0.5) if constant else rng.uniform(0.02, 0.98, n) for m in (*modalities, FUSED)}
    ids = np.array([f"s{i:03d}{NASTY}" for i in range(n)])
    p = Predictions(
        ids, labels, ("a", NASTY, "c"), tuple(modalities), {m: _probs(rng, labels, 3, k) for m, k in known.items()}
    )
    gaps = gap.modality_gap(p)
    fits = [mixture.fit(gaps.prob[:, j], check="none") for j in range(len(gaps.pairs))]
    balanced = np.stack([posteriors.p_balanced(f, gaps.prob[:, j]) for j, f in enumerate(fits)], axis=1)
    table.rounds.write(run_id, number, p, gaps, fits, balanced, "prob")
    return p


def _scored(
    folder: Path,
    modalities: Sequence[str] = ("audio", "visual"),
    constant: bool = False,
    planted: Sequence[str | None] = (None,),
) -> tuple[Store, Predictions]:
    table = Store(folder / "t.duckdb")
    table.runs.start(_run("score-toy-1", modalities))
    samples = [
        Sample(
            sample_id=f"s{i:03d}{NASTY}",
            label=("a", NASTY, "c")[i % 3],
            split="train",
            inputs={},
            planted=planted[i % len(planted)],
        )
        for i in range(60)
    ]
    samples.append(Sample(sample_id="lost", label="a", split="test", inputs={}))
    table.samples.write("toy-1", samples, ("a", NASTY, "c"), [*["ok"] * 60, "missing"], [*[""] * 60, f"audio: {NASTY}"])
    p = _round(table, "score-toy-1", 0, modalities, constant=constant)
    for epoch in (1, 2):
        table.epochs.write("score-toy-1", epoch, [("val", m, "accuracy", 0.3 * epoch) for m in (*modalities, FUSED)])
    table.runs.finish("score-toy-1", "done", "c" * 64)
    return table, p


def _train(
    table: Store, run_id: str, method: str, accuracy: float, seed: int = 0, rounds: int = 0, **other: object
) -> None:
    modalities = ("audio", "visual")
    table.runs.start(_run(run_id, modalities, "train", method, parent="score-toy-1", seed=seed, **other))
    for epoch in (1, 2):
        table.epochs.write(
            run_id,
            epoch,
            [
                *(("val", m, "accuracy", accuracy - 0.1) for m in (*modalities, FUSED)),
                *(("train", m, "omega", 0.5) for m in modalities if method == "iprm"),
            ],
        )
    table.epochs.write(
        run_id, 2, [("test", m, k, accuracy) for m in (*modalities, FUSED) for k in ("accuracy", "macro_f1", "map")]
    )
    for number in range(rounds):
        _round(table, run_id, number, modalities)
    table.runs.finish(run_id, "done")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Predictions, Path]:
    """A scored run with trainings, and its page."""
    folder = tmp_path_factory.mktemp("full")
    table, p = _scored(folder, planted=("", "visual", "audio", "audio+visual"))
    for seed, accuracy in enumerate((0.80, 0.84)):
        _train(table, f"train-warmup-{seed}", "warmup", accuracy, seed)
    _train(table, "train-adaptive-1", "adaptive", 0.81, rounds=2)
    _train(table, "train-iprm-1", "iprm", 0.79, rounds=1)  # a copy of the scored round: nothing moved
    _train(table, "train-joint-1", "joint", 0.70, config={"data": {}, "train": {"epochs": 2, "start": "scratch"}})
    return table, p, build(table, None, folder / "reports", folder / "cache", count=6)


def test_page_and_files_are_there(full: tuple[Store, Predictions, Path]):
    page = full[2]
    assert page.name == "index.html" and page.parent.name == "score-toy-1"
    figures = {p.stem for p in page.parent.glob("figures/*.svg")}
    assert {
        "gap-audio-visual",
        "posterior-audio-visual",
        "rounds-train-adaptive-1-audio-visual",
        "accuracy-fused",
        "accuracy-audio",
        "accuracy-visual",
        "omega",
    } == figures
    for kind in ("png", "csv"):
        assert {p.stem for p in page.parent.glob(f"figures/*.{kind}")} == figures
    assert not list(page.parent.rglob("*.partial"))


def test_page_needs_nothing_else(full: tuple[Store, Predictions, Path]):
    text = full[2].read_text(encoding="utf-8")
    references = re.findall(r'(?:src|href)="([^"]*)"', text) + re.findall(r"url\(([^)]*)\)", text)
    assert references and all(r.startswith(("#", "data:")) for r in references)
    assert "@import" not in text and "{{" not in text
    data, script = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL)
    assert text.count("<script") == 2 and data[0] == ' type="application/json" id="data"' and "<" not in data[1]
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert script[0] == "" and f"script-src 'sha256-{digest}';" in text  # no other script can run


def test_names_of_samples_and_classes_are_escaped(full: tuple[Store, Predictions, Path]):
    text = full[2].read_text(encoding="utf-8")
    assert NASTY not in text and "<b>&" not in text
    assert text.count("&lt;b&gt;&amp;") > 6


def test_missing_baseline_is_named_with_its_command(full: tuple[Store, Predictions, Path]):
    text = full[2].read_text(encoding="utf-8")
    assert "curate train --method unimodal --run score-toy-1" in text
    assert "--method joint" not in text and "--method warmup" not in text


def test_results_are_the_hand_computed_ones(full: tuple[Store, Predictions, Path]):
    text = full[2].read_text(encoding="utf-8")
    table = pd.read_csv(full[2].parent / "tables/results.csv").set_index("method")
    assert table.loc["warmup", "accuracy_fused"] == pytest.approx(0.82)
    assert table.loc["warmup", "accuracy_fused_sd"] == pytest.approx(0.04 / 2**0.5)
    assert table.loc["adaptive", "difference_points"] == pytest.approx(1.0)  # of the seed that both have
    assert table["epochs"].dropna().to_dict() == {"joint": 2, "warmup": 4, "adaptive": 4, "iprm": 4}
    assert "82.0 ± 2.8" in text and "adaptive: +1.0 points" in text


def test_trainings_are_drawn_after_the_warm_up_unless_from_scratch(full: tuple[Store, Predictions, Path]):
    data = pd.read_csv(full[2].parent / "figures/accuracy-fused.csv")
    epochs = data.groupby("run_id")["epoch"].agg(list)
    assert epochs["train-adaptive-1"] == [3, 4]
    assert epochs["score-toy-1"] == epochs["train-joint-1"] == [1, 2]


def test_most_imbalanced_samples_are_the_right_ones(full: tuple[Store, Predictions, Path]):
    _, p, page = full
    gaps = gap.modality_gap(p).prob[:, 0]
    shown = pd.read_csv(page.parent / "tables/most_imbalanced.csv")
    order = np.argsort(-gaps, kind="stable")
    assert shown["sample_id"].tolist() == p.sample_ids[[*order[:3], *order[::-1][:3]]].tolist()
    assert shown["dominant"].tolist() == ["audio"] * 3 + ["visual"] * 3
    np.testing.assert_allclose(shown["gap"], gaps[[*order[:3], *order[::-1][:3]]])


def test_classes_add_up(full: tuple[Store, Predictions, Path]):
    classes = pd.read_csv(full[2].parent / "tables/classes.csv")
    assert classes["samples"].sum() == 60
    assert classes["p_imbalanced"].is_monotonic_decreasing
    np.testing.assert_allclose(classes["ahead_audio"] + classes["ahead_visual"], 1)


def test_unusable_media_and_missing_cache_are_told(full: tuple[Store, Predictions, Path]):
    text = full[2].read_text(encoding="utf-8")
    assert "lost" in text and "missing" in text and "60 items of all splits are usable" in text
    assert "curate prepare --dataset toy" in text


def test_what_is_suspicious_is_told_with_an_example(tmp_path: Path):
    table, _ = _scored(tmp_path)
    assert "Suspicious" not in build(table, None, tmp_path / "a", tmp_path).read_text(encoding="utf-8")
    table.samples.write_findings("toy-1", [Finding("leak", s, f"audio of {NASTY}") for s in ("lost", "found")])
    text = build(table, None, tmp_path / "b", tmp_path).read_text(encoding="utf-8")
    assert "<tr><th>leak</th><td>2</td>" in text and "found: audio of &lt;b&gt;" in text and NASTY not in text


@pytest.mark.long
def test_a_training_run_leads_to_its_scored_run(full: tuple[Store, Predictions, Path], tmp_path: Path):
    assert build(full[0], "train-iprm-1", tmp_path, tmp_path).parent.name == "score-toy-1"


def test_unknown_and_orphaned_runs(full: tuple[Store, Predictions, Path], tmp_path: Path):
    with pytest.raises(CurateError, match="unknown run"):
        build(full[0], "score-toi-1", tmp_path)
    table = Store(tmp_path / "t.duckdb")
    table.runs.start(_run("train-x-1", ("audio", "visual"), "train", "joint"))
    with pytest.raises(CurateError, match="no scored run"):
        build(table, "train-x-1", tmp_path)


def test_an_error_leaves_the_earlier_page(full: tuple[Store, Predictions, Path], monkeypatch: pytest.MonkeyPatch):
    table, _, page = full
    before = page.read_bytes()

    def fail(*_: object) -> None:
        raise RuntimeError("drawing failed")

    monkeypatch.setattr("curate.report.figures.posterior_curve", fail)
    with pytest.raises(RuntimeError):
        build(table, None, page.parents[1])
    assert page.read_bytes() == before


@pytest.mark.long
def test_no_trainings_at_all(tmp_path: Path):
    table, _ = _scored(tmp_path)
    text = build(table, "score-toy-1", tmp_path, tmp_path).read_text(encoding="utf-8")
    for method in ("joint", "warmup", "unimodal"):
        assert f"curate train --method {method} --run score-toy-1" in text
    assert "No training of this run has fitted the mixture again" in text
    assert "Checked against what was degraded" not in text


@pytest.mark.long
def test_three_modalities(tmp_path: Path):
    modalities = ("audio", "visual", "text")
    table, p = _scored(tmp_path, modalities, planted=("", "text", "visual"))
    page = build(table, None, tmp_path, tmp_path, count=6)
    names = {f.stem for f in page.parent.glob("figures/gap-*.svg")}
    assert names == {f"gap-{a}-{b}" for a, b in modality_pairs(modalities)}
    facts = read(table, None)
    best = np.stack([gap.true_class_probability(p.probs[m], p.labels) for m in modalities]).argmax(axis=0)
    assert facts.samples["dominant"].tolist() == [modalities[b] for b in best]
    assert [q for *_, q in planted_scores(facts)][-1] == "of those, is it text and not visual?"


def test_degenerate_fit(tmp_path: Path):
    table, _ = _scored(tmp_path, constant=True)
    text = build(table, None, tmp_path, tmp_path).read_text(encoding="utf-8")
    assert "outcome <code>degenerate</code>" in text and "No gap is called imbalanced" in text
    assert "audio is ahead on no sample" in text


@pytest.mark.long
def test_a_fit_that_means_little_is_named_and_still_shown_as_two(tmp_path: Path):
    table, p = _scored(tmp_path)
    gaps = gap.modality_gap(p)
    x = gaps.prob[:, 0]
    fit = replace(mixture.fit(x, check="none"), outcome="two_tailed", warnings=("two tails: of a test",))
    table.rounds.write("score-toy-1", 0, None, gaps, [fit], posteriors.p_balanced(fit, x)[:, None], "prob")
    text = build(table, None, tmp_path, tmp_path).read_text(encoding="utf-8")
    assert "outcome <code>two_tailed</code>" in text and "two tails: of a test" in text
    assert "No mixture of two was fitted" not in text and "The fit has one component only" not in text


def test_planted_truth_by_hand(tmp_path: Path):
    table, p = _scored(tmp_path, planted=("", "visual", "audio"))
    gaps = gap.modality_gap(p).prob[:, 0]
    visual, audio = gaps[1::3], gaps[2::3]
    expected = (visual[:, None] > audio).mean()
    *_, (name, value, question) = planted_scores(read(table, None))
    assert (name, question) == ("signed gap", "of those, is it visual and not audio?")
    assert value == pytest.approx(expected)


def test_every_warning_of_a_fit_is_explained():
    rng = np.random.default_rng(0)
    worlds = [
        rng.normal(0, 0.02, 200),
        rng.uniform(-1, 1, 400),
        rng.normal(0.5, 0.05, 200),
        np.zeros(20),
        np.zeros(3),
        np.concatenate([rng.normal(0, 0.05, 100), rng.normal(0, 0.4, 300).clip(-1, 1)]),
    ]
    fits = [
        *(mixture.fit(w, "gaussian") for w in worlds),
        mixture.fit(worlds[1], "gaussian", iterations=1, check="none"),
    ]
    fits += [mixture.fit(w, check="none") for w in worlds]
    fits += [mixture.marked_memorised(mixture.fit(worlds[0], check="none"), worlds[0], 1.0, 1.0)]
    warnings = [w for fit in fits for w in fit.warnings]
    assert len(warnings) > 6
    assert all(explain(w) for w in warnings)
    assert len({m for m, _ in MEANINGS}) == len(MEANINGS)


@pytest.mark.long
def test_media_come_from_an_existing_cache_only(tmp_path: Path):
    from curate import datasets
    from curate.datasets.cache import prepare

    cls = datasets.find("demo")
    dataset = cls(None, cls.Options())
    dataset.samples = tuple([s for s in dataset.samples if s.split == "train"][:12])
    table, ids = Store(tmp_path / "t.duckdb"), [s.sample_id for s in dataset.samples]
    table.runs.start(
        _run("score-demo-1", ("audio", "visual"), dataset="demo", data_id=dataset.data_id(), classes=dataset.classes)
    )
    table.samples.write(dataset.data_id(), dataset.samples, dataset.classes, ["ok"] * 12, [""] * 12)
    labels, rng = np.array([dataset.classes.index(s.label) for s in dataset.samples]), np.random.default_rng(0)
    p = Predictions(
        np.array(ids),
        labels,
        dataset.classes,
        ("audio", "visual"),
        {m: _probs(rng, labels, 10, rng.uniform(0, 1, 12)) for m in ("audio", "visual", FUSED)},
    )
    gaps = gap.modality_gap(p)
    fit = mixture.fit(gaps.prob[:, 0], "gaussian")
    table.rounds.write("score-demo-1", 0, p, gaps, [fit], posteriors.p_balanced(fit, gaps.prob[:, 0])[:, None], "prob")
    table.runs.finish("score-demo-1", "done")

    cache = tmp_path / "cache"
    without = build(table, None, tmp_path / "a", cache).read_text(encoding="utf-8")
    assert "<audio" not in without and "curate prepare --dataset demo" in without and not cache.exists()
    prepare(dataset, cache)
    text = build(table, None, tmp_path / "b", cache, count=4).read_text(encoding="utf-8")
    assert text.count("<audio") == text.count("<img") == 4
    assert "data:audio/wav;base64,UklGR" in text and "data:image/png;base64,iVBOR" in text


def test_code_in_a_sentence_is_code_and_nothing_else_is_html():
    assert with_code('look: `curate sql "x < 1"`, <b>') == (
        "look: <code>curate sql &#34;x &lt; 1&#34;</code>, &lt;b&gt;"
    )


def test_the_page_of_saved_predictions_gives_no_command_that_trains(tmp_path, scoring, predictions):
    table = Store(tmp_path / "t.duckdb")
    scoring.write(table, predictions(), method="predictions")
    text = build(table, None, tmp_path / "reports").read_text()
    assert "curate train" not in text and text.count("nothing was trained here") == 2
    scoring.write(other := Store(tmp_path / "o.duckdb"), predictions())
    assert "curate train --method adaptive" in build(other, None, tmp_path / "others").read_text()
