"""The callback for the Hugging Face Trainer, with the real library on a tiny model, without a subclass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import curate
from curate.errors import CurateError
from curate.files.shards import read_shards
from curate.torch import AdaptiveLoss, multimodal_cross_entropy

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.filterwarnings("ignore")

from curate.transformers import RecorderCallback  # noqa: E402

ROOT = Path(__file__).parents[3]
CLASSES, N = ("a", "b", "c"), 30


def data(n: int = N, seed: int = 0) -> list[dict[str, object]]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    sound, frames = (torch.randn(n, 5, generator=generator) + F.one_hot(labels, 5) for _ in range(2))
    return [
        {"sample_ids": i + 1000 * seed, "labels": int(labels[i]), "sound": sound[i], "frames": frames[i]}
        for i in range(n)
    ]


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.audio, self.visual = nn.Linear(5, 3), nn.Linear(5, 3)

    def forward(self, sound, frames, labels=None):
        logits = {"audio": self.audio(sound), "visual": self.visual(frames)}
        fused = logits["audio"] + logits["visual"]
        loss = {} if labels is None else {"loss": multimodal_cross_entropy(logits, fused, labels)}
        return {**loss, **logits, "logits": fused}


def record(inputs, outputs):
    logits = {"audio": outputs["audio"], "visual": outputs["visual"]}
    known = {name: inputs[name] for name in ("sample_ids", "labels")}
    return {**known, "logits": logits, "fused": outputs["logits"]}


def train_with(folder, model, callback, dataset=None, loss=None, prepare=None, **options):
    arguments = transformers.TrainingArguments(
        **{
            "output_dir": str(folder / "out"),
            "remove_unused_columns": False,
            "label_names": ["labels"],
            "use_cpu": True,
            "report_to": [],
            "save_strategy": "no",
            "disable_tqdm": True,
            "num_train_epochs": 2,
            "per_device_train_batch_size": 6,
            "learning_rate": 0.1,
            **options,
        }
    )
    run = transformers.Trainer(
        model,
        arguments,
        train_dataset=dataset or data(),
        eval_dataset=data(9, 1),
        callbacks=[callback],
        compute_loss_func=loss,
    )
    if prepare is not None:
        prepare(run)
    run.train()
    return run


def test_it_records_what_the_model_said_before_each_step(tmp_path) -> None:
    model, seen = Tiny(), []
    model.register_forward_hook(lambda module, _, outputs: seen.append(outputs["audio"].detach().log_softmax(dim=1)))
    train_with(tmp_path, model, RecorderCallback(tmp_path / "r", CLASSES, record))
    columns, notes = read_shards(tmp_path / "r")
    assert set(columns["epoch"]) == {1, 2} and notes == [] and len(columns["sample_id"]) == 2 * N
    found = np.stack([columns[f"audio.{c}"] for c in CLASSES], axis=1)
    order = np.lexsort(found.T)
    expected = torch.cat(seen).numpy()
    np.testing.assert_allclose(found[order], expected[np.lexsort(expected.T)], atol=1e-6)


def test_the_loss_of_the_table_comes_back_and_trains_as_a_hand_written_loop(tmp_path) -> None:
    callback = RecorderCallback(tmp_path / "r", CLASSES, record, table=tmp_path / "t.duckdb")
    train_with(tmp_path, Tiny(), callback, eval_strategy="epoch")
    table = curate.open(tmp_path / "t.duckdb")
    assert table.query("SELECT count(*) FROM samples WHERE split = 'val'")[1] == [(9,)]
    assert table.query("SELECT max(round) FROM history")[1] == [(1,)]
    loss, options = AdaptiveLoss(table), {"optim": "sgd", "lr_scheduler_type": "constant", "max_grad_norm": 0.0}
    options |= {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 5}
    model, again = Tiny(), RecorderCallback(tmp_path / "again", CLASSES, record)
    # One step an epoch of all samples, in five batches whose gradients are accumulated.
    train_with(
        tmp_path,
        model,
        again,
        loss=again.loss(loss),
        **options,
    )
    own = Tiny()
    optimizer = torch.optim.SGD(own.parameters(), 0.1)
    items = data()
    inputs = {name: torch.stack([torch.as_tensor(i[name]) for i in items]) for name in items[0]}
    for _ in range(2):
        outputs = own(inputs["sound"], inputs["frames"])
        optimizer.zero_grad()
        loss(**record(inputs, outputs)).backward()
        optimizer.step()
    for name, weight in own.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], weight)
    assert set(read_shards(tmp_path / "again")[0]["sample_id"]) == {str(i) for i in range(N)}


def test_samples_that_are_evaluated_need_not_be_scored(tmp_path) -> None:
    callback = RecorderCallback(tmp_path / "r", CLASSES, record, table=tmp_path / "t.duckdb")
    train_with(tmp_path, Tiny(), callback)
    adaptive = AdaptiveLoss(curate.open(tmp_path / "t.duckdb"))
    model, again = Tiny(), RecorderCallback(tmp_path / "again", CLASSES, record)
    run = train_with(tmp_path, model, again, loss=again.loss(adaptive), eval_strategy="epoch")
    found = [line["eval_loss"] for line in run.state.log_history if "eval_loss" in line]
    items = data(9, 1)
    outputs = model(*(torch.stack([item[name] for item in items]) for name in ("sound", "frames")))
    logits = {m: outputs[m] for m in ("audio", "visual")}
    expected = multimodal_cross_entropy(logits, outputs["logits"], torch.tensor([item["labels"] for item in items]))
    assert len(found) == 2 and found[-1] == pytest.approx(float(expected), rel=1e-4)
    assert sorted(set(read_shards(tmp_path / "again")[0]["epoch"])) == [1, 2]
    zero = again.loss(adaptive, evaluated=lambda ids, labels, logits, fused: fused.sum() * 0)
    run = train_with(tmp_path, Tiny(), again, loss=zero, eval_strategy="epoch")
    assert [line["eval_loss"] for line in run.state.log_history if "eval_loss" in line] == [0, 0]


def test_a_second_training_with_a_callback_is_recorded_after_the_first_and_scored(tmp_path) -> None:
    callback = RecorderCallback(tmp_path / "r", CLASSES, record, table=tmp_path / "t.duckdb")
    train_with(tmp_path, Tiny(), callback, eval_strategy="epoch")
    first, _ = read_shards(tmp_path / "r")
    loss = callback.loss(AdaptiveLoss(curate.open(tmp_path / "t.duckdb")))
    train_with(tmp_path, Tiny(), callback, loss=loss, num_train_epochs=1, eval_strategy="epoch")
    both, _ = read_shards(tmp_path / "r")
    assert set(both["epoch"][both["split"] == "val"]) == set(both["epoch"][both["split"] == "train"]) == {1, 2, 3}
    earlier = both["epoch"] < 3
    assert sorted(both["audio.a"][earlier]) == sorted(first["audio.a"]), "what was recorded first is kept"
    counts = "SELECT run_id, count(DISTINCT round) FROM history GROUP BY 1 ORDER BY 1"
    assert curate.open(tmp_path / "t.duckdb").query(counts)[1] == [("score-r-1", 2), ("score-r-2", 3)]


@pytest.mark.long
def test_what_is_missing_is_named(tmp_path) -> None:
    with pytest.raises(CurateError, match="have no sample_ids") as caught:
        train_with(tmp_path, Tiny(), RecorderCallback(tmp_path / "r", CLASSES, record), remove_unused_columns=True)
    assert "remove_unused_columns=False" in caught.value.hint
    with pytest.raises(CurateError, match="no labels") as caught:
        train_with(
            tmp_path,
            Tiny(),
            RecorderCallback(tmp_path / "r", CLASSES, record),
            loss=lambda outputs, labels, num_items_in_batch=None: outputs["logits"].mean(),
        )
    assert "callback.loss" in caught.value.hint
    with pytest.raises(CurateError, match="sample_ids, labels and logits, got logits"):
        train_with(tmp_path, Tiny(), RecorderCallback(tmp_path / "r", CLASSES, lambda i, o: {"logits": o}))
    bare = RecorderCallback(
        tmp_path / "r", CLASSES, lambda i, o: {k: v for k, v in record(i, o).items() if k != "fused"}
    )
    with pytest.raises(CurateError, match="a loss needs fused logits"):
        train_with(tmp_path, Tiny(), bare, loss=bare.loss(lambda ids, labels, logits, fused: fused.mean()))
    with pytest.raises(CurateError, match="no complete epoch"):
        read_shards(tmp_path / "r")


@pytest.mark.long
def test_predicting_is_no_validation(tmp_path) -> None:
    callback = RecorderCallback(tmp_path / "r", CLASSES, record)
    run = train_with(tmp_path, Tiny(), callback, num_train_epochs=1)
    run.predict([{**item, "sample_ids": 5000 + i} for i, item in enumerate(data(6, 2))])
    run.evaluate()  # nor is what follows the training
    assert set(read_shards(tmp_path / "r")[0]["split"]) == {"train"}
    train_with(tmp_path, run.model, RecorderCallback(tmp_path / "again", CLASSES, record), num_train_epochs=1)
    assert len(read_shards(tmp_path / "again")[0]["sample_id"]) == N, "the model may be trained again"


@pytest.mark.parametrize(("steps", "epochs"), [(8, {1}), (3, set()), (10, {1, 2})])
def test_an_epoch_that_is_left_early_is_not_recorded_and_the_whole_ones_are_scored(
    tmp_path, caplog, steps, epochs
) -> None:
    """An epoch has five steps."""
    callback = RecorderCallback(tmp_path / "r", CLASSES, record, table=tmp_path / "t.duckdb")
    train_with(tmp_path, Tiny(), callback, max_steps=steps)
    assert ("ended before its last batch" in caplog.text) == (steps % 5 != 0)
    if not epochs:
        assert "nothing is scored" in caplog.text and not (tmp_path / "t.duckdb").exists()
        return
    columns, _ = read_shards(tmp_path / "r")
    assert set(columns["epoch"]) == epochs and len(columns["epoch"]) == N * len(epochs)
    counts = "SELECT count(DISTINCT round) FROM history"
    assert curate.open(tmp_path / "t.duckdb").query(counts)[1] == [(len(epochs),)]


def test_a_model_is_evaluated_before_it_is_trained(tmp_path, caplog) -> None:
    """Nothing of it is recorded; and its own epochs are not told as those of an earlier training."""
    callback = RecorderCallback(tmp_path / "r", CLASSES, record)
    run = train_with(tmp_path, Tiny(), callback, prepare=lambda run: run.evaluate(), eval_strategy="epoch")
    assert len(run.state.log_history) > 2 and set(read_shards(tmp_path / "r")[0]["epoch"]) == {1, 2}
    assert "holds epochs up to" not in caplog.text


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_transformers as t
folder = Path(sys.argv[1])
scores = {"table": folder / "t.duckdb", "after": lambda table: print(table.scored().sample_ids.size, flush=True)}
callback = t.RecorderCallback(folder / "r", t.CLASSES, t.record, **scores)
t.train_with(folder, t.Tiny(), callback, t.data(29), eval_strategy="epoch", ddp_backend="gloo")
"""


@pytest.mark.long
def test_two_processes_record_each_sample_once(tmp_path) -> None:
    """29 training and 9 validation samples over two: one of each is repeated."""
    script = tmp_path / "ddp.py"
    script.write_text(WORKER)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launch, str(script), str(tmp_path), str(Path(__file__).parent)]
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.split().count("29") == 2, "both processes see the table"
    columns, notes = read_shards(tmp_path / "r")
    assert len(notes) == 1 and "recorded twice" in notes[0]
    trained = columns["sample_id"][columns["split"] == "train"]
    assert sorted(trained.tolist()) == sorted([str(i) for i in range(29)] * 2)
