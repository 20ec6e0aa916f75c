"""Errors of DuckDB about files, as those of the user."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from curate.errors import CurateError
from curate.files.asking import reading


@pytest.mark.parametrize("error", [duckdb.InterruptException("INTERRUPT"), RuntimeError("Query interrupted")])
def test_an_interrupt_is_no_fault_of_the_file(error: Exception) -> None:
    with pytest.raises(KeyboardInterrupt), reading(Path("p.parquet")):
        raise error


@pytest.mark.parametrize("error", [duckdb.IOException("no magic bytes"), RuntimeError("broken")])
def test_others_name_the_file(error: Exception) -> None:
    with pytest.raises(CurateError, match=r"p\.parquet cannot be read"), reading(Path("p.parquet")):
        raise error
