"""A data set that someone adds is one file of some twenty lines: found by name, cached, a bad item told."""

from __future__ import annotations

import sys

import numpy as np

from curate import datasets
from curate.cache import prepare

MEMES = '''
from curate.datasets import Dataset
from curate.media import load_medium
from curate.text import make_tokenizer
from curate.types import Sample, VisualSpec


class Memes(Dataset):
    """Pictures with a caption."""

    name = "memes"
    summary = "pictures with a caption, kind or unkind"
    layout = "captions.tsv with id, split, label and caption; pictures/<id>.jpg"

    def __init__(self, root, options):
        super().__init__(root, options)
        rows = [line.split("\\t") for line in (root / "captions.tsv").read_text(encoding="utf-8").splitlines()]
        self.modalities = ("visual", "text")
        self.classes = tuple(sorted({label for _, _, label, _ in rows}))
        self.samples = tuple(
            Sample(sample_id=i, split=split, label=label, inputs={"visual": f"pictures/{i}.jpg", "text": text})
            for i, split, label, text in rows
        )
        self.tokenizer = make_tokenizer("words", [text for _, split, _, text in rows if split == "train"])
        self.specs = {"visual": VisualSpec(frames=1), "text": self.tokenizer.spec(tokens=64)}

    def load(self, sample, modality):
        if modality == "text":
            return self.tokenizer.load(sample.inputs["text"], self.specs["text"])
        return load_medium(self.root / sample.inputs["visual"], self.specs["visual"])
'''


def test_a_data_set_in_one_file(tmp_path, monkeypatch, media):
    (tmp_path / "code").mkdir()
    (tmp_path / "code/memes.py").write_text(MEMES)
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path / "code")])
    monkeypatch.delitem(sys.modules, "curate.datasets.memes", raising=False)
    root = tmp_path / "data"
    (root / "pictures").mkdir(parents=True)
    (root / "captions.tsv").write_text("m1\ttrain\tkind\tso so nice\nm2\tval\tunkind\tso bad\nm3\ttest\tkind\tgone\n")
    for name in ("m1", "m2"):
        media.picture(root / f"pictures/{name}.jpg", np.full((20, 30, 3), 90, np.uint8))
    kind = datasets.find("memes")
    made = kind(root, kind.Options())
    cache = prepare(made, tmp_path / "cache")
    sys.modules.pop("curate.datasets.memes")
    assert made.classes == ("kind", "unkind")
    assert cache.status["visual"].tolist() == ["ok", "ok", "missing"] and cache.usable.tolist() == [True, True, False]
    # `so` occurs twice in the training texts and has an id; every other word is unknown.
    assert [row[:4].tolist() for row in cache.arrays["text"]] == [[2, 2, 1, 0], [2, 1, 0, 0], [1, 0, 0, 0]]
