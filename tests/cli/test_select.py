"""`select`, `selections` and `sql` as they are typed; what they keep is tested with the table."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest

from curate import cli
from curate.commands.messages import thin_classes
from curate.types import Selection

TRAINED = 24  # samples of the tiny data set, eight of each of three classes


def records(text: str) -> list[dict[str, str]]:
    """The rows of a CSV with a header."""
    return list(csv.DictReader(io.StringIO(text)))


def at_a_terminal(answer: str, *words: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command at whose terminal someone types an answer."""
    keyboard, screen = pty.openpty()
    os.write(keyboard, f"{answer}\n".encode())
    try:
        ended = subprocess.run([sys.executable, cli.__file__, *words], stdin=screen, capture_output=True, text=True)
    finally:
        os.close(keyboard)
        os.close(screen)
    return ended.returncode, ended.stdout, ended.stderr


def test_a_dry_run_is_a_table_of_thresholds_and_stores_nothing(curate: Callable, db: Path, content: Callable) -> None:
    before = content(db)
    ended = curate("select", "--threshold", "0.65", "--per-class", "5", "--dry-run", "--format", "csv")
    assert (ended.code, ended.err) == (0, "")
    rows = records(ended.out)
    assert list(rows[0]) == ["threshold", "kept", "share", "smallest class", "of it"]
    assert [r["threshold"] for r in rows] == ["0.5", "0.6", "0.65", "0.7", "0.8", "0.9", "0.95"]
    kept = [int(r["kept"]) for r in rows]
    assert kept == sorted(kept, reverse=True) and kept[0] <= 15
    assert [float(r["share"]) for r in rows] == [k / TRAINED for k in kept]
    assert content(db) == before
    told = curate("select", "--dry-run").out.splitlines()
    assert told[2].split()[:3] == ["0", "24", "100.0%"]


def test_a_dry_run_agrees_with_what_is_then_selected(curate: Callable, db: Path) -> None:
    previewed = records(curate("select", "--threshold", "0.65", "--dry-run", "--format", "csv").out)[2]
    assert curate("select", "--threshold", "0.65", "--name", "mine").code == 0
    ((listed),) = records(curate("selections", "--format", "csv").out)
    assert listed["kept"] == previewed["kept"] and listed["of"] == "24"


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        (("--fraction", "0.3125"), 8),  # 7.5
        (("--per-class", "3"), 9),
        (("--per-class", "3", "--top", "7"), 7),
        (("--per-class", "100"), 24),
        (("--where", "label_name <> 'bee'", "--fraction", "0.5"), 12),
        (("--where", "label_name = 'bee'", "--fraction", "1"), 8),
        pytest.param(("--by", "usability", "--fraction", "0.5"), 12, marks=pytest.mark.model),
        (("--by", "gap", "--per-class", "3"), 9),
    ],
)
def test_counts_are_exact(curate: Callable, db: Path, rule: tuple[str, ...], count: int) -> None:
    ended = curate("select", *rule, "--output", "ids.txt")
    assert ended.code == 0, ended.err
    assert f"kept {count} of 24 ({count / 24:.1%})" in ended.err
    ids = Path("ids.txt").read_text().split()
    assert len(ids) == count and ids == sorted(ids)
    assert sum(r["kept"] for r in json.loads(curate("select", *rule, "--format", "json").out)) == count


def test_a_condition_may_end_in_a_comment(curate: Callable, db: Path) -> None:
    noted = "label_name = 'ant' -- the first class"
    assert "kept 8 of 24" in curate("select", "--where", noted).err
    assert curate("export", "ants.csv", "--where", noted).code == 0
    assert {row["label_name"] for row in records(Path("ants.csv").read_text())} == {"ant"}


def test_selections_are_listed_told_and_compared(curate: Callable, db: Path) -> None:
    assert curate("selections", "--format", "jsonl").out == ""
    curate("select", "--where", "label_name <> 'cow'", "--name", "no cows")
    curate("select", "--where", "label_name <> 'ant'", "--name", "no ants")
    listed = records(curate("selections", "--format", "csv").out)
    assert [(r["selection"], r["data set"], r["kept"]) for r in listed] == [
        ("no ants", "manifest", "16"),
        ("no cows", "manifest", "16"),
    ]
    told = curate("selections", "no cows", "--format", "csv")
    assert told.err == "label_name <> 'cow', of score-manifest-1\nno cows: kept 16 of 24 (66.7%)\n"
    assert told.out == "class,kept,of,share\nant,8,8,1.0\nbee,8,8,1.0\ncow,0,8,0.0\n"
    compared = curate("selections", "no cows", "no ants", "--format", "csv").out.splitlines()
    assert compared == [
        "class,no cows,no ants,both,Jaccard",
        f"(all),16,16,8,{8 / 24}",
        "ant,8,0,0,0.0",
        "bee,8,8,8,1.0",
        "cow,0,8,0,0.0",
    ]


def test_a_selection_is_removed_when_told_or_answered(curate: Callable, db: Path) -> None:
    for name in ("one", "two", "three"):
        curate("select", "--top", "3", "--name", name)
    assert curate("selections", "one", "--remove", "--yes").err == "removed one\n"
    assert curate("selections", "--remove", "-y", "two").code == 0
    code, out, err = at_a_terminal("n", "selections", "three", "--remove")
    assert (code, out.strip()) == (1, "") and "delete the selection three?" in err and "was not removed" in err
    assert [r["selection"] for r in records(curate("selections", "--format", "csv").out)] == ["three"]
    code, out, err = at_a_terminal("y", "selections", "three", "--remove")
    assert (code, out.strip()) == (0, "") and err.endswith("removed three\n")
    assert records(curate("selections", "--format", "csv").out) == []
    assert curate("sql", "SELECT count(*) AS n FROM selection_member", "--format", "csv").out == "n\n0\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("selections", "mine", "--remove"), "mine was not removed"),
        (("selections", "mime"), "unknown selection 'mime'"),
        (("selections", "mine", "mime"), "did you mean 'mine'?"),
        (("selections", "mime", "--remove", "--yes"), "did you mean 'mine'?"),
        (("selections", "--remove", "--yes"), "0 selections are named"),
        (("selections", "mine", "mine", "--remove", "--yes"), "2 selections are named"),
        (("selections", "a", "b", "c"), "3 selections are named"),
        (("select", "--top", "5", "--whole-groups"), "no scored sample has a group"),
        (("select", "--fraction", "0"), "a share in (0, 1]"),
        (("select", "--fraction", "30"), "try --fraction 0.5"),
        (("select", "--per-class", "0"), "at least 1"),
        (("select", "--dry-run", "--output", "ids.txt"), "--dry-run stores nothing"),
        (("select", "--dry-run", "--threshold", "2"), "a probability in [0, 1]"),
        (("sql", "--allow-files", "COPY samples TO 'out.csv'"), "only a SELECT is run"),
        (("sql", "SELECT * FROM 'notes.csv'"), "notes.csv"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    curate: Callable, refused: Callable, db: Path, command: tuple[str, ...], told: str
) -> None:
    curate("select", "--top", "3", "--name", "mine")
    Path("notes.csv").write_text("sample_id,note\ns00,fine\n")
    assert told in refused(*command)
    assert not Path("out.csv").exists() and not Path("ids.txt").exists()


def test_without_a_rule_the_evidence_gives_one_and_it_is_said(curate: Callable, db: Path) -> None:
    ended = curate("select", "--name", "unasked")
    assert ended.code == 0, ended.err
    why, _, same = ended.err.partition("; the same: ")
    assert "broken group was found" in why or "usability was not judged" in why
    rule = shlex.split(same.splitlines()[0].strip("`"))
    assert rule[:2] == ["curate", "select"]
    assert curate(*rule[1:], "--name", "typed").code == 0
    total = records(curate("selections", "unasked", "typed", "--format", "csv").out)[0]
    assert (total["class"], float(total["Jaccard"])) == ("(all)", 1.0)


@pytest.mark.parametrize(
    "rule",
    [
        ("--threshold", "1"),
        ("--threshold", "1", "--per-class", "2"),
        ("--where", "gap > 2"),
        ("--where", "label_name = 'b\"ee' OR gap > 2", "--threshold", "0.9"),
    ],
    ids=" ".join,
)
def test_an_empty_selection_names_a_command_that_is_not(curate: Callable, db: Path, rule: tuple[str, ...]) -> None:
    ended = curate("select", *rule)
    assert ended.code == 5
    told = re.search(r"`(curate select .*)` keeps (\d+); nothing was stored", ended.err)
    assert told, ended.err
    again = curate(*shlex.split(told[1])[1:])
    assert again.code == 0, again.err
    assert f"kept {told[2]} of 24" in again.err


def test_a_selection_of_everything_says_so(curate: Callable, db: Path) -> None:
    assert "that is every scored sample" in curate("select", "--threshold", "0").err
    assert "that is every scored sample" not in curate("select", "--top", "23").err
    trained = curate("train", "--method", "subset", "--threshold", "0", "--epochs", "1")
    assert trained.code == 0 and "keeps every sample: this is the warm-up continued" in trained.err


def test_the_papers_form_is_one_word_and_is_named(curate: Callable, db: Path) -> None:
    assert "two-sided on prob gap: " in curate("runs", "score-manifest-1").out
    ended = curate("score", "--refit", "score-manifest-1", "--paper")
    assert ended.code == 0, ended.err
    assert "gaussian mixture of the prob gap audio - image, the paper's form" in ended.out
    rows = curate(
        "sql", "SELECT DISTINCT family, rule FROM mixture WHERE run_id = 'score-manifest-2'", "--format", "csv"
    )
    assert rows.out.splitlines()[1:] == ["gaussian,weight"]
    assert curate("runs", "score-manifest-2", "--format", "csv").out.count("score.check,none") == 1


def test_sql_reads_a_file_that_is_allowed_and_prints_tsv_and_json_lines(curate: Callable, db: Path) -> None:
    Path("notes.csv").write_text("sample_id,note\ns00,fine\ns01,click\n")
    query = "SELECT sample_id, note, label_name FROM samples JOIN 'notes.csv' USING (sample_id) ORDER BY 1"
    ended = curate("sql", "--allow-files", query, "--format", "tsv")
    assert ended.out == "sample_id\tnote\tlabel_name\ns00\tfine\tant\ns01\tclick\tbee\n"
    lines = curate("sql", "--allow-files", query, "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["note"] for line in lines] == ["fine", "click"]


@pytest.fixture
def wrong(workplace: Path, curate: Callable) -> int:
    """A scored table of predictions, 60 of which deny their label; as many are claimed as are wrong, or fewer."""
    rng, rows = np.random.default_rng(0), ["sample_id,label,split,audio.ant,audio.bee,visual.ant,visual.bee"]
    for i in range(600):
        k, given = i % 2, (i % 2) ^ (i < 60)
        a, v = 4 * (2 * k - 1) + rng.normal(), 4 * (2 * k - 1) + rng.normal()
        split = "train" if i < 500 else "val"
        rows.append(f"s{i:03},{('ant', 'bee')[given]},{split},{-a},{a},{-v},{v}")
    Path("preds.csv").write_text("\n".join(rows) + "\n")
    assert curate("score", "--predictions", "preds.csv").code == 0
    told = curate("sql", "SELECT count(*) AS n FROM samples WHERE p_mislabelled > 0.5", "--format", "csv").out
    return int(told.split()[1])


@pytest.mark.parametrize(
    "rule",
    [(), ("--threshold", "0"), ("--top", "450", "--by", "gap"), ("--where", "label_name = 'ant' -- one class")],
    ids=" ".join,
)
def test_wrong_labels_among_the_kept_are_counted_and_the_command_leaves_them_out(
    curate: Callable, wrong: int, rule: tuple[str, ...]
) -> None:
    assert wrong > 20
    query = (
        "SELECT count(*) FILTER (p_mislabelled > 0.5) AS wrong, count(*) AS kept FROM samples "
        "WHERE list_contains(selections, 'my good')"
    )
    ended = curate("select", *rule, "--name", "my good")
    (before,) = records(curate("sql", query, "--format", "csv").out)
    assert f"{before['wrong']} of the kept have a probably wrong label: `curate improve" in ended.err
    again = re.search(r"`(curate select [^`]*--replace[^`]*)` keeps (\d+), without them", ended.err)
    assert again, ended.err
    assert "probably wrong label" not in curate(*shlex.split(again[1])[1:]).err
    (after,) = records(curate("sql", query, "--format", "csv").out)
    assert (after["wrong"], after["kept"]) == ("0", again[2]) and int(again[2]) > 0


def test_swapped_clips_among_the_kept_are_counted_and_the_command_leaves_them_out(
    curate: Callable, wrong: int, db: Path
) -> None:
    with duckdb.connect(str(db)) as con:
        con.execute(
            "UPDATE usability_here SET p_swapped = CASE WHEN modality = 'audio' AND sample_id IN (SELECT sample_id "
            "FROM samples WHERE gap IS NOT NULL ORDER BY sample_id LIMIT 7) THEN 0.9 ELSE 0 END"
        )
    ended = curate("select", "--threshold", "0", "--name", "all")
    assert "7 of the kept have a clip that probably belongs to another sample; `curate select" in ended.err
    (again,) = re.findall(r"`(curate select [^`]*contradicts[^`]*)` keeps (\d+), without them", ended.err)
    kept = "SELECT count(*) AS n FROM samples WHERE list_contains(selections, 'all')"
    (before,) = records(curate("sql", kept, "--format", "csv").out)
    assert "another sample" not in curate(*shlex.split(again[0])[1:]).err
    (after,) = records(curate("sql", kept, "--format", "csv").out)
    assert int(after["n"]) == int(again[1]) == int(before["n"]) - 7


def test_wrong_labels_that_are_asked_for_or_not_kept_are_no_remark(curate: Callable, wrong: int) -> None:
    for where in ("p_mislabelled > 0.5", "label_name = 'ant' AND p_mislabelled < 0.1"):
        ended = curate("select", "--where", where)
        assert ended.code == 0 and "probably wrong label" not in ended.err


def test_where_no_label_is_claimed_to_be_wrong_nothing_is_said_of_it(curate: Callable, db: Path) -> None:
    claimed = curate("sql", "SELECT count(*) AS n FROM samples WHERE p_mislabelled > 0.5", "--format", "csv").out
    assert claimed.split()[1] == "0" and "wrong label" not in curate("select", "--threshold", "0").err


def test_classes_of_which_hardly_anything_is_kept_are_named() -> None:
    """Of 100, half is kept: of 20 bees 4, less than a quarter; of 40 cows 10, a quarter, which is half as much."""
    kept = {"bee": (4, 20), "cow": (10, 40), "dog": (36, 40)}
    ids = np.array([f"s{i}" for i in range(50)])
    told = thin_classes(Selection("good", "score-x-1", "", ids, 100, kept))
    assert "bee (4 of 20)" in told and "cow" not in told and "--per-class" in told
    assert thin_classes(Selection("good", "score-x-1", "", ids, 100, {"bee": (10, 20), "dog": (40, 80)})) == ""
