"""The data set that the documentation adds in some twenty lines: found by name, cached, a bad item told."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from curate import datasets
from curate.datasets.cache import prepare

PAGE = (Path(__file__).parents[3] / "docs/howto/data-set-file.md").read_text(encoding="utf-8")


def test_a_data_set_in_one_file(tmp_path, monkeypatch, media):
    (tmp_path / "code").mkdir()
    (code,) = re.findall(r"^```python\n(.*?class Memes.*?)^```", PAGE, re.M | re.S)
    (tmp_path / "code/memes.py").write_text(code, encoding="utf-8")
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
