from __future__ import annotations

import pickle
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


def test_a_name_after_a_dot_is_that_of_the_data_and_the_kind_is_found() -> None:
    assert datasets.find("crema-d.small") is datasets.find("crema_d")
    assert datasets.full_name("crema-d.small") == "crema_d.small" and datasets.full_name("crema-d") == "crema_d"
    assert datasets.full_name("demo.") == "demo"
    assert datasets.own_name("demo.small") == {"data": {"name": "small"}} and datasets.own_name("demo") == {}


@pytest.mark.parametrize("name", ["two words", "Cars", "a.b", "a-b", "../a", "a" * 61])
def test_a_name_that_a_table_or_a_folder_could_not_have_is_refused(name: str) -> None:
    """A data_id is `name-digest`, and names a folder."""
    with pytest.raises(CurateError, match="cannot be the name of data"):
        datasets.find("demo").Options(name=name)


def test_a_named_data_set_has_the_same_samples_and_content_under_its_own_key() -> None:
    """The digest says what the data are; the name is told apart before it, in another process too."""
    kind = datasets.find("demo")
    plain, named = kind(None, kind.Options()), kind(None, kind.Options(name="small"))
    assert named.name == pickle.loads(pickle.dumps(named)).name == "demo.small" and kind.name == plain.name == "demo"
    assert named.samples == plain.samples
    assert [d.data_id().rpartition("-") for d in (plain, named)] == [
        (name, "-", plain.data_id()[-10:]) for name in ("demo", "demo.small")
    ]


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
