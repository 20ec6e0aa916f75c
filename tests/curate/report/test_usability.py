"""Usable or broken in the report: claims, their check against planted truth, and a page with and without."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from curate.advice.conclusions import conclusions
from curate.advice.describe import describe_verdicts
from curate.advice.evidence import read_evidence
from curate.report import build
from curate.report.figures import usability_scatter
from curate.report.usability import (
    assessed,
    checked,
    claims_about,
    claims_of,
    contradicting,
    extremes,
    probably_wrong,
    summary,
    swapped,
    verdicts,
)
from curate.scores.guard import Guard
from curate.scores.labels import Denied
from curate.scores.usability import Usability

PAIR = ("audio", "visual")
HAND = {
    # usability, p_broken and contradiction of audio and visual; planted; the largest contradiction is p_mislabelled
    "a": ((1.0, 0.0), (0.0, 0.9), (0.1, 0.9), "visual"),
    "b": ((1.0, 1.0), (0.0, 0.0), (0.2, 0.1), ""),
    "c": ((0.0, 0.0), (0.6, 0.8), (0.6, 0.6), "audio+visual"),
    "d": ((0.0, 1.0), (0.7, 0.0), (0.6, 0.7), ""),
    "e": ((0.5, 1.0), (0.5, 0.0), (0.8, 0.2), "audio"),
}


def rows(known: bool = True, withheld: str = "") -> pd.DataFrame:
    """The rows of the table, of the samples above."""
    return pd.DataFrame(
        [
            (
                i,
                f"class {i}",
                planted if known else None,
                m,
                u[j],
                None if m == withheld else p[j],
                c[j],
                max(c),
                max(c),
                c[j],
            )
            for i, (u, p, c, planted) in HAND.items()
            for j, m in enumerate(PAIR)
        ],
        columns=[
            "sample_id",
            "label_name",
            "planted",
            "modality",
            "usability",
            "p_broken",
            "contradiction",
            "contradiction_fused",
            "p_mislabelled",
            "p_swapped",
        ],
    )


def test_labels_that_are_probably_wrong_largest_first(frame):
    found, count = probably_wrong(frame, 2)
    assert found["sample_id"].tolist() == ["a", "e"] and count == 4  # c and d besides; b is sure
    unknown, none = probably_wrong(frame.assign(p_mislabelled=None), 2)
    assert not len(unknown) and none == 0


def test_clips_of_other_samples_by_modality_largest_first(frame):
    """p_swapped of a to e: audio .1, .2, .6, .6, .8; visual .9, .1, .6, .7, .2."""
    found, count = swapped(frame, "audio", 2)
    assert found["sample_id"].tolist() == ["e", "c"] and count == 3
    assert swapped(frame, "visual", 9)[0]["sample_id"].tolist() == ["a", "d", "c"]


@pytest.fixture
def frame() -> pd.DataFrame:
    return assessed(rows(), PAIR)


def test_a_row_a_sample_by_hand(frame):
    assert frame["sample_id"].tolist() == list("abcde")
    assert frame["imbalance"].tolist() == [1, 0, 0, 1, 0.5]
    assert frame["intact"].tolist() == ["audio", "audio", "audio", "visual", "visual"]
    assert frame["claim"].tolist() == ["visual", "none", "audio and visual", "audio", "none"]
    assert frame["contradiction"].tolist() == [0.1, 0.2, 0, 0.7, 0.8]  # of what is not broken


def test_claims_are_withheld_only_where_all_are():
    alone = assessed(rows(withheld="visual"), PAIR)
    assert alone["claim"].tolist() == ["none", "none", "audio", "audio", "none"]
    assert set(claims_of(alone, ["visual"])) == {"not judged"}


def test_precision_and_recall_by_hand(frame):
    """audio: c, d claimed, c and e degraded; visual: a, c claimed and degraded."""
    audio, visual = verdicts(frame, {"audio": Guard(True, 0.4), "visual": Guard(True, 0.4)})
    assert (audio["claimed"], audio["precision"], audio["recall"]) == (2, 0.5, 0.5)
    assert (visual["claimed"], visual["precision"], visual["recall"]) == (2, 1.0, 1.0)
    # 1 - usability of audio: degraded 1 and .5, whole 0, 0 and 1: of six pairs four and a half are in order
    assert (audio["auroc"], visual["auroc"]) == (pytest.approx(4.5 / 6), 1.0)
    unknown = assessed(rows(known=False), PAIR)
    told = verdicts(unknown, {"audio": Guard(False), "visual": Guard(False, withheld=True)})
    assert all(v[k] is None for v in told for k in ("precision", "recall", "auroc"))


def test_the_table_of_claims_counts_every_sample_once(frame):
    table = summary(frame, PAIR).set_index("claim")
    assert table["samples"].to_dict() == {"none": 2, "visual": 1, "audio and visual": 1, "audio": 1}
    assert table["share"].sum() == pytest.approx(1) and table.loc["none", "imbalance"] == 0.25
    assert table.loc["none", "planted"] == 0.5 and table.loc["audio and visual", "planted"] == 0
    assert summary(assessed(rows(known=False), PAIR), PAIR)["planted"].isna().all()


def test_checks_against_what_was_planted_by_hand(frame):
    """Exactly one degraded: a and e, with imbalance 1 and .5 against 0, 0 and 1; audio - visual: a 1, e -.5."""
    (_, size, _), (_, side, question) = checked(frame, PAIR)
    assert size == pytest.approx(4.5 / 6) and side == 1.0 and question == "of those, is it visual and not audio?"
    assert checked(assessed(rows(known=False), PAIR), PAIR) == checked(frame.assign(planted=""), PAIR) == []


def test_extremes_are_the_most_imbalanced_of_each_side_ties_by_id(frame):
    found = extremes(frame, PAIR, 2)
    assert {m: part["sample_id"].tolist() for m, part in found.items()} == {"audio": ["a"], "visual": ["d"]}
    assert extremes(frame, PAIR, 8)["visual"]["sample_id"].tolist() == ["d", "e"]
    assert extremes(frame.iloc[::-1], PAIR, 8)["audio"]["sample_id"].tolist() == ["a"]


def test_what_denies_its_label_and_is_not_broken_most_first(frame):
    assert contradicting(frame, 9)["sample_id"].tolist() == ["e", "d"]
    assert contradicting(frame, 1)["sample_id"].tolist() == ["e"]


def test_every_point_of_the_scatter_stands_where_it_belongs_under_its_claim(frame):
    drawing = usability_scatter(frame, frame["claim"], claims_about(PAIR), PAIR)
    (axes,) = drawing.figure.axes
    drawn = {c.get_label(): c.get_offsets().tolist() for c in axes.collections}
    assert drawn == {
        "none": [[1, 1], [0.5, 1]],
        "audio and visual": [[0, 0]],
        "visual": [[1, 0]],
        "audio": [[0, 1]],
    }
    assert drawing.data["claim"].tolist() == frame["claim"].tolist()


def test_guards_are_told_in_words_with_their_evidence(scored_table):
    guards = {"audio": Guard(True, 0.2, 4.66, 0.104), "visual": Guard(False, 0.0, 2.0, 0.71)}
    ids, whole = scored_table.rounds.read("score-toy-1").sample_ids, np.zeros((60, 2))
    found = Usability(ids, PAIR, whole, whole, whole, tuple(guards.values()), {})
    assert describe_verdicts(scored_table.usability.verdicts("score-toy-1")) == {}
    scored_table.usability.write("score-toy-1", found, whole)
    assert describe_verdicts(scored_table.usability.verdicts("score-toy-1")) == {
        "audio": "20% of the samples form a broken group "
        "(it keeps 10% of the held-out recognition of the rest, separation 4.7)",
        "visual": "no broken group found (the lowest group keeps 71% of the held-out recognition of the rest, "
        "separation 2.0)",
    }
    assert describe_verdicts([("flow", "bad", True, 3.0, -0.02), ("text", "not judged", False, 0.0, None)]) == {
        "flow": "bad (it keeps 0% of the held-out recognition of the rest, separation 3.0)",
        "text": "not judged",
    }
    far = describe_verdicts([("text", "bad", True, 9998.3, 0.0)])["text"]
    assert far.endswith("separation over 100)"), "a number of thousands says no more"


def written(table, modalities=PAIR, withheld: str = "", denied: Denied | None = None) -> Usability:
    """Usability of the toy run by hand: the last modality is broken on every fourth sample, as planted."""
    ids = table.rounds.read("score-toy-1").sample_ids
    bad = np.arange(len(ids)) % 4 == 3
    usable = np.full((len(ids), len(modalities)), 0.9)
    usable[bad, -1] = 0.05
    guards = [Guard(False, 0, 2.5, 0.8) for _ in modalities]
    guards[-1] = Guard(True, 0.25, 6.0, 0.1)
    guards = [Guard(False, withheld=True) if m == withheld else g for m, g in zip(modalities, guards, strict=True)]
    found = Usability(ids, modalities, usable, usable, (usable < 0.5) * 1.0, tuple(guards), {})
    table.usability.write("score-toy-1", found, np.where(usable < 0.5, 0.3, 0.4), denied=denied)
    return found


def test_the_page_has_the_section_where_the_run_was_assessed(scored_table, tmp_path):
    assert 'id="usability"' not in build(scored_table, None, tmp_path).read_text()
    written(scored_table)
    page = build(scored_table, None, tmp_path)
    section, rest = (page.read_text().split(f'<section id="{of}">')[1] for of in ("usability", "labels"))
    section = section.split("</section>")[0]
    assert "25% of the samples form a broken group" in section and "no broken group found" in section
    assert "100%" in section and "Usable in audio rather than elsewhere" in section
    assert "No modality that is not claimed to be broken prefers another class" in rest
    shown = re.findall(r'class="id">(s\d+)<', section)
    assert shown and all(int(i[1:]) % 4 == 3 for i in shown)
    table = pd.read_csv(page.parent / "tables" / "usability.csv")
    assert len(table) == 60 and (table["claim"] == "visual").sum() == 15
    points = pd.read_csv(page.parent / "figures" / "usability-audio-visual.csv")
    assert points["claim"].value_counts().to_dict() == {"none": 45, "visual": 15}


def test_swapped_clips_and_wrong_labels_are_shown_or_said_to_be_none_or_not_judged(scored_table, tmp_path):
    def section() -> str:
        page = build(scored_table, None, tmp_path).read_text()
        return page.split('<section id="labels">')[1].split("</section>")[0]

    written(scored_table)
    unjudged = section()
    assert (
        "Whether clips of audio and visual are swapped was not judged." in unjudged
        and "Labels were not judged." in unjudged
    )
    nothing = np.zeros((60, 2))
    written(scored_table, denied=Denied(nothing[:, 0], nothing))
    none = section()
    assert "No group of swapped clips is told apart." in none and "are swapped" not in none
    assert "No group of wrong labels is told apart." in none
    unread = nothing.copy()
    unread[:, 0] = np.nan
    written(scored_table, denied=Denied(nothing[:, 0], unread))
    one = section()
    assert "No group of swapped clips is told apart." in one and "clips of audio are swapped was not judged" in one
    assert [
        line for line in conclusions(read_evidence(scored_table)) if line.startswith("swapped: not judged of audio:")
    ]
    swaps = nothing.copy()
    swaps[[4, 8, 12], 1] = 0.7, 0.9, 0.5  # the last is not above
    written(scored_table, denied=Denied(nothing[:, 0] + (np.arange(60) == 2), swaps))
    found = section()
    assert "2 of the 60 clips of visual probably belong" in found and "clips of audio" not in found
    assert "1 of the 60 labels" in found
    evidence = read_evidence(scored_table)
    assert dict(evidence.swapped) == {"visual": 2} and evidence.denied == 1
    parts = found.split("Against the label")[0].split("Clips of other samples")
    ids = [re.findall(r'class="id">(s\d+)<', part) for part in parts]
    assert ids == [["s002"], ["s008", "s004"]]


def test_a_label_that_is_denied_has_the_class_to_give_instead(scored_table, tmp_path):
    run = scored_table.runs.find("score-toy-1")
    known = scored_table.rounds.read("score-toy-1")
    wrong, denied = np.where(np.arange(60) == 2, 0.9, 0.0), np.full((60, 3), 0.3)
    scored_table.usability.write_labels("score-toy-1", known.sample_ids, PAIR, denied, wrong)
    labels = scored_table.relabelled.known(run).labels
    other = (labels + 1) % len(run.classes)
    said = (0.2, 1.0, -1.0)
    rows = [("score-toy-1", 1, i, "fused", *said, int(k), False) for i, k in zip(known.sample_ids, other, strict=True)]
    with scored_table.db.open(write=True) as con:
        con.executemany("INSERT INTO dynamic_here VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    page = build(scored_table, None, tmp_path)
    card = page.read_text().split('<section id="labels">')[1].split("</article>")[0]
    assert re.search(r"most probable<br>other class</th><td>(\w+)<", card)[1] == run.classes[other[2]]
    table = pd.read_csv(page.parent / "tables" / "usability.csv").set_index("sample_id")["other_class"]
    assert table.dropna().to_dict() == {"s002": run.classes[other[2]]}


def test_labels_are_shown_where_usability_is_not_known(scored_table, tmp_path):
    ids = scored_table.rounds.read("score-toy-1").sample_ids
    wrong, denied = np.where(np.arange(60) == 2, 0.9, 0.0), np.full((60, 3), 0.3)
    denied[7, 1] = 0.8
    scored_table.usability.write_labels("score-toy-1", ids, PAIR, denied, wrong)
    page = build(scored_table, None, tmp_path).read_text()
    assert 'id="usability"' not in page and "nan" not in page.split('<section id="labels">')[1].split("</section>")[0]
    found = page.split('<section id="labels">')[1].split("</section>")[0].split("<h3>")
    assert [re.findall(r'class="id">(s\d+)<', part) for part in found[1:]] == [["s002"], [], ["s007"]]
    assert "clips of audio and visual are swapped was not judged" in found[2]
    told = [text for text in conclusions(read_evidence(scored_table)) if text.startswith(("labels", "broken", "swap"))]
    assert [text.split(" ")[:3] for text in told] == [
        ["broken:", "not", "known,"],
        ["swapped:", "not", "judged"],
        ["labels:", "1", "probably"],
    ]


def test_withheld_claims_are_said_to_be(scored_table, tmp_path):
    written(scored_table, withheld="visual")
    section = (
        build(scored_table, None, tmp_path).read_text().split('<section id="usability">')[1].split("</section>")[0]
    )
    assert "withheld" in section and "Of visual only deep features are known" in section


@pytest.mark.long
def test_three_modalities_have_a_scatter_a_pair(tmp_path, scoring, predictions):
    from curate.store.store import Store

    names = ("audio", "visual", "text")
    table = Store(tmp_path / "t.duckdb")
    scoring.write(table, predictions(modalities=names))
    written(table, names)
    page = build(table, None, tmp_path)
    drawn = {f.stem for f in page.parent.glob("figures/usability-*.svg")}
    assert drawn == {"usability-audio-visual", "usability-audio-text", "usability-visual-text"}
