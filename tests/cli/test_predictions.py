"""`curate score --predictions`, and what can be done with such a run, without torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BLOCK = """
import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in BLOCKED else super().find_spec(name, path, target)
sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from curate import cli
sys.argv = ["curate", *sys.argv[1:]]
cli.main()
"""
TORCH = ("torch", "torchvision", "torchaudio")


@pytest.fixture
def preds(workplace: Path) -> Path:
    """A wide CSV of 60 samples in the working folder, in two files' worth of splits; audio carries every fourth."""
    rng = np.random.default_rng(0)
    lines = ["sample_id,label,split,audio.ant,audio.bee,visual.ant,visual.bee"]
    for i in range(60):
        sign = 1 if i % 2 else -1
        a, v = 3 * sign + rng.normal(), (0 if i % 4 == 3 else 3 * sign) + rng.normal()
        lines.append(f"clip{i:02},{('ant', 'bee')[i % 2]},{'test' if i >= 50 else 'train'},{-a},{a},{-v},{v}")
    path = workplace / "preds.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def without(blocked: tuple[str, ...], *args: str) -> subprocess.CompletedProcess[str]:
    """`curate ARGS` in a process that cannot import the blocked packages."""
    code = f"BLOCKED = {blocked!r}\n" + f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + BLOCK
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=False)


@pytest.mark.long
def test_the_whole_path_without_torch(preds: Path, workplace: Path) -> None:
    light, heavy = (*TORCH, "pandas", "sklearn"), TORCH
    for blocked, words in (
        (light, ["score", "--predictions", "preds.csv", "--gap", "kl", "--family", "student-t"]),
        (light, ["select", "--top", "20", "--name", "best", "-o", "best.txt"]),
        (light, ["sql", "SELECT count(p_audio), count(gap), count(*) FROM samples", "--format", "csv"]),
        (light, ["runs"]),
        (light, ["runs", "score-preds-1"]),
        (light, ["export", "samples.parquet"]),
        (heavy, ["report"]),
    ):
        done = without(blocked, *words)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        if words[0] == "sql":
            assert done.stdout.splitlines()[1:] == ["50,50,60"]
    assert len((workplace / "best.txt").read_text().split()) == 20
    page = (workplace / "reports/score-preds-1/index.html").read_text(encoding="utf-8")
    given = "--set score.gap=kl --set score.family=student-t"
    assert f"curate score --predictions preds.csv --dataset preds {given}</code>" in page
    assert "only predictions of these samples are known.</p>" in page and "curate prepare" not in page


def test_what_is_said(preds: Path, curate: Callable) -> None:
    ended = curate("score", "--predictions", preds, "--dataset", "mine")
    assert ended.code == 0
    assert ended.out.startswith("score-mine-1: 50 training samples")
    assert "right on 10 test samples" in ended.out and "two-sided mixture of the prob gap audio - visual" in ended.out


def test_modalities_in_files_of_their_own(workplace: Path, curate: Callable) -> None:
    for name, scale in (("a", 2.0), ("v", -1.0)):
        rows = [{"guid": i, "logits_epoch_0": [scale, 0.0], "gold": i % 2} for i in range(12)]
        (workplace / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    ended = curate("score", "--predictions", "audio=a.jsonl", "--predictions", "visual=v.jsonl")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("score-a-1: 12 training samples")


def test_a_bad_file_is_one_line_and_a_hint(preds: Path, refused: Callable) -> None:
    preds.write_text(preds.read_text().replace("clip07", "clip08"))
    told = refused("score", "--predictions", preds)
    assert "repeated sample_id 'clip08'" in told


def test_values_are_stated_by_a_setting(preds: Path, refused: Callable, curate: Callable) -> None:
    told = refused("score", "--predictions", preds, "--set", "score.values=probabilities")
    assert "do not lie in 0..1 and add to one" in told and "score.values=logits" in told
    assert curate("score", "--predictions", preds, "--set", "score.values=logits").code == 0
    assert "auto" in refused("score", "--predictions", preds, "--set", "score.values=odds")


@pytest.mark.parametrize("setting", ["optim.lr=0.01", "score.epochs=3", "model.dim=8", "score.dynamics=false"])
def test_settings_of_a_model_have_no_part(preds: Path, refused: Callable, setting: str) -> None:
    told = refused("score", "--predictions", preds, "--set", setting)
    name = setting.partition("=")[0]
    assert f"--set {name} has no part in it" in told and f"hint: leave --set {name} out" in told


def test_the_hint_for_a_setting_without_section_can_be_typed(preds: Path, refused: Callable, curate: Callable) -> None:
    told = refused("score", "--predictions", preds, "--set", "gap=prob")
    hint = re.search(r"hint: e\.g\. (--set \S+)$", told, re.M)
    assert hint and curate("score", "--predictions", preds, *hint[1].split()).code == 0


def test_a_text_for_a_number_is_called_so(preds: Path, refused: Callable) -> None:
    Path("curate.toml").write_text('[score]\ncomponents = "3"\n')
    told = refused("score", "--predictions", preds)
    assert (
        "score.components is a number, 2 or 3, got the text '3'" in told
        and "without quotes, e.g. components = 3" in told
    )


@pytest.mark.model
def test_the_settings_of_the_warm_up_are_all_that_a_model_adds() -> None:
    from curate.predictions.score import WARM_UP
    from curate.scores.scoring import MixtureConfig
    from curate.train.stages.settings import ScoreConfig

    of_model, of_mixture = ({f.name for f in fields(kind)} for kind in (ScoreConfig, MixtureConfig))
    assert set(WARM_UP) == of_model - of_mixture


@pytest.mark.parametrize("option", [["--epochs", "3"], ["--root", "."], ["--resume"], ["--checkpoint", "x.pt"]])
def test_what_is_about_a_model_is_refused(preds: Path, refused: Callable, option: list[str]) -> None:
    assert f"{option[0]} has no part in it" in refused("score", "--predictions", preds, *option)


def test_what_a_file_says_of_the_warm_up_is_left_alone(preds: Path, workplace: Path, curate: Callable) -> None:
    (workplace / "curate.toml").write_text('dataset = "ave"\nepochs = 3\n[score]\ngap = "kl"\nepochs = 5\n')
    ended = curate("score", "--predictions", preds)
    assert ended.code == 0, ended.err
    assert "mixture of the kl gap" in ended.out


@pytest.mark.parametrize("words", [["train", "--method", "joint"], ["evaluate"]])
def test_there_is_no_model_to_go_on_with(preds: Path, curate: Callable, refused: Callable, words: list[str]) -> None:
    assert curate("score", "--predictions", preds).code == 0
    assert "score-preds-1 was scored from saved predictions: there is no model" in refused(*words)


def test_a_file_of_no_labels_is_written_all_the_same(preds: Path, workplace: Path, curate: Callable) -> None:
    assert curate("score", "--predictions", preds).code == 0
    ended = curate("improve", "-o", "labels.csv")
    assert ended.code == 0 and "no label is changed" in ended.err and "wrote 0 rows to labels.csv" in ended.err
    assert Path("labels.csv").read_text().split() == ["sample_id,label,new_label,why"]


def test_labels_to_change_are_listed_where_there_is_no_model(
    workplace: Path, curate: Callable, refused: Callable
) -> None:
    """A tenth of the labels are another class than both modalities say, and this class is listed."""
    rng, rows, wrong = np.random.default_rng(0), ["sample_id,label,split,a.x,a.y,a.z,b.x,b.y,b.z"], {}
    for i in range(600):
        values, given = (4 * np.eye(3)[i % 3] + rng.normal(size=(2, 3))).ravel(), "xyz"[(i + (i < 60)) % 3]
        wrong |= {f"s{i:03}": (given, "xyz"[i % 3])} if i < 60 else {}
        rows.append(f"s{i:03},{given},{'train' if i < 500 else 'val'},{','.join(map(str, values))}")
    Path("preds.csv").write_text("\n".join(rows) + "\n")
    assert curate("score", "--predictions", "preds.csv").code == 0
    query = "SELECT sample_id FROM samples WHERE p_mislabelled > 0.5"
    claimed = curate("sql", query, "--format", "csv").out.split()[1:]
    ended = curate("improve", "--format", "jsonl")
    assert ended.code == 0, ended.err
    listed = {r["sample_id"]: (r["label"], r["new_label"]) for r in map(json.loads, ended.out.splitlines())}
    assert sorted(listed) == sorted(claimed) and len(claimed) > 30
    assert np.mean([listed[i] == wrong.get(i) for i in listed]) > 0.9
    assert f"{len(listed)} of 500 labels are changed" in ended.err
    (command,) = re.findall(r"`(curate improve .*)` writes them to a file", ended.err)
    assert curate(*command.split()[1:]).code == 0
    assert len(Path("labels.csv").read_text().splitlines()) == len(listed) + 1
    told = curate("recommend").out
    assert f"{len(listed)} are probably wrong" in told and "`curate improve --run score-preds-1 -o labels.csv`" in told
    assert "there is no model" in refused("improve", "--yes")


def test_the_table_of_the_documentation_is_scored_as_typed(workplace: Path, curate: Callable) -> None:
    text = (ROOT / "docs/howto/predictions.md").read_text(encoding="utf-8")
    table = re.search(r"^sample_id,label,split,audio\.bark.*?(?=^```)", text, re.M | re.S)
    assert table and "\ncurate score --predictions preds.csv\n" in text
    (workplace / "preds.csv").write_text(table[0])
    ended = curate("score", "--predictions", "preds.csv")
    assert ended.code == 0, ended.err
    query = "SELECT gap FROM samples WHERE sample_id = 'clip0003'"
    _, gap = curate("sql", query, "--format", "csv").out.splitlines()
    expected = 1 / (1 + np.exp(0.3 - 0.1)) - 1 / (1 + np.exp(-0.7 - 1.9))
    assert float(gap) == pytest.approx(expected, abs=1e-6)


def test_embeddings_rank_usability_and_claim_nothing(curate: Callable, refused: Callable, preds: Path) -> None:
    ids = np.array([f"clip{i:02}" for i in range(60)])
    rng = np.random.default_rng(0)
    np.savez("e.npz", sample_id=ids, audio=rng.normal(size=(60, 4)), visual=rng.normal(size=(60, 5)))
    told = refused("score", "--embeddings", "e.npz", "--dataset", "demo")
    assert "--embeddings goes with --predictions" in told
    ended = curate("score", "--predictions", "preds.csv", "--embeddings", "e.npz")
    assert ended.code == 0, ended.err
    assert ended.out.count("not judged: only deep features are known") == 2
    assert "swapped: not judged of audio and visual" in ended.out
    assert curate("sql", "SELECT count(imbalance), count(broken) FROM samples", "--format", "tsv").out.split()[-2:] == [
        "50",
        "0",
    ]
    assert "only deep features are known" in Path(curate("report").out.strip()).read_text()
    told = refused("score", "--predictions", "preds.csv", "--only-missing", "--embeddings", "e.npz")
    assert "--embeddings cannot change that" in told


def with_groups(preds: Path, name: str, rows: slice) -> None:
    """Some of the predictions as another file, each pair of samples a group, with a column that is not read."""
    head, *lines = preds.read_text().splitlines()
    told = [f"{line},g{int(line[4:6]) // 2:02},1" for line in lines[rows]]
    Path(name).write_text("\n".join([f"{head},group,fold", *told]) + "\n")


def test_groups_are_kept_and_what_is_not_read_is_named(preds: Path, curate: Callable) -> None:
    with_groups(preds, "g.csv", slice(40))
    dry = curate("score", "--predictions", "g.csv", "--dry-run")
    ended = curate("score", "--predictions", "g.csv")
    assert "note: g.csv: column 'fold' is not read" in dry.err and "note: g.csv: column 'fold' is" in ended.err
    assert "column 'fold' is not read" in curate("runs", "score-g-1", "--format", "csv").out
    assert curate("select", "--top", "20", "--whole-groups", "--name", "w").code == 0
    # A later file without groups, in which a known sample is of another split.
    later = preds.read_text().replace("clip00,ant,train", "clip00,ant,val")
    Path("more.csv").write_text(later)
    assert curate("score", "--predictions", "more.csv", "--dataset", "g", "--only-missing").code == 0
    told = curate("sql", "SELECT count(*), count(group_id), min(group_id) FROM samples", "--format", "csv").out
    assert told.splitlines()[1] == "60,40,g00"


def test_groups_of_a_table_of_media_are_kept(preds: Path, curate: Callable, refused: Callable) -> None:
    rows = "".join(f"clip{i:02},a{i}.wav,train,{'speaker1' if i < 30 else ''}\n" for i in range(60))
    Path("media.csv").write_text("sample_id,audio,split,group\n" + rows)
    ended = curate("score", "--predictions", preds, "--media", "media.csv")
    assert "the group of 30; its column split is not read, the predictions have their own" in ended.err
    told = curate("sql", "SELECT count(group_id), max(group_id) FROM samples", "--format", "csv").out
    assert told.splitlines()[1] == "30,speaker1"
    with_groups(preds, "g.csv", slice(60))
    told = refused("score", "--predictions", "g.csv", "--media", "media.csv", "--quiet")
    assert "disagree on the group of 'clip00'" in told
    told = refused("score", "--predictions", preds, "--media", "nofile.csv")
    assert "nofile.csv does not exist" in told and "--media" in told
