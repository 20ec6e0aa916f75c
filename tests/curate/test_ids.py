"""Ids: whether they ascend, are unique, and which of them are wanted."""

from __future__ import annotations

import numpy as np
import pytest

from curate import blocks
from curate.blocks import among, are_ascending, are_unique


@pytest.fixture(params=[4, 1 << 17], autouse=True)
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As well in several blocks as in one."""
    monkeypatch.setattr(blocks, "NUMBERS", request.param)


@pytest.mark.parametrize(
    "ids, ascending, unique",
    [
        ([], True, True),
        (["a"], True, True),
        (["a", "aa", "b", "é", "\U0001f600"], True, True),
        (["a", "b", "b", "c"], False, False),
        (["b", "a"], False, True),
        (["1", "2", "3", "4", "5", "6", "7", "8", "8"], False, False),
        (["b", "a", "c", "a"], False, False),
    ],
)
def test_ids_ascend_where_each_is_greater_than_the_one_before(ids: list[str], ascending: bool, unique: bool) -> None:
    given = np.array(ids, dtype=np.str_)
    assert are_ascending(given) == ascending and are_unique(given) == unique


@pytest.mark.parametrize("wanted", [["b", "d"], ["d", "b", "b"], ["bb", "d"], ["b", "dddddddd"], ["z"], []])
def test_those_among_others_are_found_whatever_their_order_and_width(wanted: list[str]) -> None:
    """An id that is wider than all others must not be found by what it begins with, nor one that it begins with."""
    ids = ["a", "b", "bb", "c", "d", "dd", "dddd", "e"]
    for given in (ids, ids[::-1], []):
        found = among(np.array(given, dtype=np.str_), np.array(wanted, dtype=np.str_))
        assert found.tolist() == [name in wanted for name in given]
