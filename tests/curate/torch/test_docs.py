"""The examples in the docstrings of `curate.torch` run as they stand, on a tiny model and a scored table."""

from __future__ import annotations

import inspect
import re
import textwrap

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

import curate
import curate.torch

K, D = 3, 6


class Tiny(nn.Module):
    """Answers to every way in which the examples call a model."""

    def __init__(self) -> None:
        super().__init__()
        self.audio, self.visual, self.head = nn.Linear(D, K), nn.Module(), nn.Linear(2 * K, K)
        self.visual.layer1 = nn.Conv2d(1, 2, 3)
        self.frames = nn.Linear(D, K)

    def encode(self, inputs):
        return {"audio": self.audio(inputs["audio"]), "visual": self.frames(inputs["visual"])}

    def forward(self, *given, **named):
        if len(given) == 1:
            return self.encode(given[0])
        sound, frames = given or (named["audio"], named["visual"])
        audio, visual = self.audio(sound), self.frames(frames)
        if named:
            return type("Outputs", (), {"audio": audio, "visual": visual, "fused": audio + visual})
        return audio, visual, audio + visual


def example(name: str) -> str:
    """The first indented block of a docstring."""
    text = inspect.cleandoc(getattr(curate.torch, name).__doc__)
    before = re.split(r"\n(?:Args|Raises|Returns):", text)[0]
    blocks = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", before + "\n", re.M)
    assert blocks, f"{name} has no example"
    return textwrap.dedent(blocks[0])


@pytest.fixture
def namespace(scored_table, tmp_path, monkeypatch):
    """What the examples take as given."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "curate.duckdb").write_bytes(scored_table.path.read_bytes())
    table = curate.open("curate.duckdb")
    ids = [str(i) for i in table.scored().sample_ids]
    table.choose("clean", top=50)
    table.store.usability.write(table.find_run().run_id, *judged(table))
    torch.manual_seed(0)
    labels, inputs = torch.arange(len(ids)) % K, {m: torch.randn(len(ids), D) for m in ("audio", "visual")}
    model = Tiny()
    audio, visual, fused = (x.detach() for x in model(inputs["audio"], inputs["visual"]))
    return {
        **vars(curate.torch),
        **{"torch": torch, "F": F, "curate": curate, "DataLoader": DataLoader, "model": model, "table": table},
        **{"WeightedRandomSampler": WeightedRandomSampler, "ids": ids, "labels": labels, "inputs": inputs},
        **{"audio": audio, "visual": visual, "fused": fused, "features": {"audio": audio, "visual": visual}},
        "dataset": TensorDataset(labels),
        "optimizer": torch.optim.SGD(model.parameters(), 0.1),
        "loss": model(inputs["audio"], inputs["visual"])[2].sum(),
    }


def judged(table):
    """Usability of every scored sample."""
    from curate.predictions.embeddings import Recorded
    from curate.predictions.judging import judge
    from curate.types import Predictions

    found, rng = table.scored(), torch.Generator().manual_seed(0)
    run = table.find_run()
    n, k = len(found.sample_ids), len(run.classes)
    probs = {m: torch.rand(n, k, generator=rng).double().softmax(1).numpy() for m in (*run.modalities, "fused")}
    labels = torch.randint(k, (n,), generator=rng).numpy()
    said = Predictions(found.sample_ids, labels, run.classes, run.modalities, probs)
    return judge([said], Recorded({m: torch.randn(n, 4, generator=rng).numpy() for m in run.modalities}))


def test_the_examples_run(namespace) -> None:
    table = namespace["table"]
    table.choose("clean", top=50)
    table.store.usability.write(table.find_run().run_id, *judged(table))
    ids, labels, inputs = (namespace[x] for x in ("ids", "labels", "inputs"))
    given = {
        "classes=10": f"classes={K}",
        "range(10)": "range(2)",
        '["bark", "horn"]': "['a', 'b', 'c']",
        "512": str(K),
    }
    recorder = recorded(namespace)
    for name in sorted(curate.torch.__all__, key=lambda n: n == "Recorder"):  # it scores a run of its own: the last
        code = example(name)
        for written, here in given.items():
            code = code.replace(written, here)
        four = "sound, frames in loader" in code
        loader = [(ids, labels, *inputs.values()) if four else (ids, labels, inputs)]
        exec(compile(code, name, "exec"), {**namespace, "loader": loader, "recorder": recorder})


def recorded(namespace) -> curate.torch.Recorder:
    """A recorder with an epoch of all samples."""
    recorder = curate.torch.Recorder("before", ["a", "b", "c"])
    with recorder.epoch():
        recorder.add(namespace["ids"], namespace["labels"], namespace["features"])
    return recorder
