"""Three modalities through the command line: check, score, select, and train by every way to weigh pairs."""

from __future__ import annotations

import json

import pytest

SMALL = {"score.epochs": 1, "score.dynamics": "false", "optim.lr": 0.02, "optim.batch_size": 8}
SETTINGS = {
    "nvgesture": {"data.frames": 8, "data.size": 16, "data.window": 6, "data.crop": 12},
    "iemocap": {"data.seconds": 0.5, "data.size": 16, "model.encoder": "small_cnn", "data.tokens": 8},
    "sarcasm": {"data.size": 16, "data.tokens": 8},
}
TEXT = {"model.text_width": 16, "model.text_layers": 1}
MODALITIES = {"nvgesture": "visual flow depth", "iemocap": "audio visual text", "sarcasm": "text visual"}
EACH = [n if n == "sarcasm" else pytest.param(n, marks=pytest.mark.long) for n in SETTINGS]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_a_raw_download_is_checked_scored_selected_and_trained(name, request, curate, settings):
    root, small = request.getfixturevalue(name), {**SETTINGS[name], **SMALL, **TEXT}
    modalities = MODALITIES[name].split()

    checked = curate("datasets", name, "--root", root, "--format", "json")
    assert checked.code == 0, checked.err
    assert f"modalities {', '.join(modalities)}" in checked.err
    counted = sum(row["train"] for row in json.loads(checked.out))

    scored = curate("score", "--dataset", name, "--root", root, *settings(**small))
    assert scored.code == 0, scored.err
    count = len(modalities) * (len(modalities) - 1) // 2
    rows = json.loads(curate("sql", "--format", "json", "SELECT pair, count(*) AS n FROM posterior GROUP BY 1").out)
    assert len(rows) == count and {row["n"] for row in rows} == {counted}, "every pair of every training sample"

    assert curate("select", "--fraction", "0.5", "--name", "half").code == 0
    for words in (
        ["--method", "adaptive", "--set", "method.rounds=1"],
        ["--method", "iprm"],
        ["--method", "iprm", "--set", "method.heads=single"],
        ["--method", "subset", "--selection", "half"],
    ):
        trained = curate("train", *words, *settings(**{"train.epochs": 1}))
        assert trained.code == 0, trained.err
    found = json.loads(curate("sql", "--format", "json", "SELECT DISTINCT run_id, modality FROM results").out)
    assert len(found) == 4 * (len(modalities) + 1)

    assert curate("report").code == 0
