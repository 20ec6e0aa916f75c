from __future__ import annotations

import subprocess
import sys

import pytest

from curate import datasets
from curate.errors import CurateError

NEW_FILE = """
from curate.datasets import Dataset

class Parrot(Dataset):
    name = "parrot"
    summary = "says it again"

    def load(self, sample, modality):
        raise NotImplementedError
"""


def test_all_data_sets_are_found_by_name():
    assert {"demo", "avdigits", "manifest"} <= set(datasets.names())
    assert list(datasets.names()) == sorted(datasets.names())
    for name in datasets.names():
        found = datasets.find(name)
        assert found.name == name and found.summary and issubclass(found, datasets.Dataset)


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(CurateError) as caught:
        datasets.find("avdigit")
    assert "'avdigits'" in caught.value.hint


def test_a_file_dropped_in_the_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "parrot.py").write_text(NEW_FILE)
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path)])
    assert "parrot" in datasets.names()
    assert datasets.find("parrot").summary == "says it again"
    sys.modules.pop("curate.datasets.parrot")


def test_listing_imports_nothing_heavy():
    code = "import sys; from curate import datasets; datasets.names(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "numpy" in loaded
    assert not loaded & {"sklearn", "scipy", "pandas", "av", "PIL", "duckdb", "torch"}
