"""Names that a table cannot have."""

from __future__ import annotations

import os

import pytest

from curate.errors import CurateError
from curate.store.store import Store


@pytest.fixture
def new_tables() -> None:
    """Tables are made here as everywhere else."""


@pytest.mark.skipif(os.name == "nt", reason="these are no names there")
@pytest.mark.parametrize("name", ["a?b", "a\\b"])
def test_a_name_that_duckdb_does_not_keep_is_refused_and_nothing_is_made(tmp_path, scoring, name):
    """The log of `a?b/x.duckdb` would be `a.wal?b/x.duckdb`, in a folder that does not exist."""
    (tmp_path / name).mkdir()
    for path in (tmp_path / name / "x.duckdb", tmp_path / f"{name}.duckdb"):
        with pytest.raises(CurateError, match="DuckDB cannot keep a table there"):
            Store(path).runs.start(scoring.run())
    assert not list((tmp_path / name).iterdir()) and len(list(tmp_path.iterdir())) == 1
