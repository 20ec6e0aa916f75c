"""Arrays worked on a block at a time give what they give at once, in any order in memory, in threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from curate import blocks
from curate.blocks import NARROW, NUMBERS, Growing, by_row, each, every, fill, scratch, slices, take
from curate.errors import CurateError

ROWS = 3 * NUMBERS // 4 + 7
"""Of four numbers: three blocks and a rest, and more numbers than memory keeps where `LARGE` is small."""


@pytest.fixture(params=["in memory", "in a file"])
def values(request, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """(ROWS, 4) whole numbers, so that sums are exact in every order."""
    monkeypatch.setattr(blocks, "LARGE", 1 if request.param == "in a file" else 1 << 30)
    made = scratch(ROWS, 4)
    assert isinstance(made, np.memmap) == (request.param == "in a file") and made.flags.f_contiguous
    made[:] = np.random.default_rng(0).integers(0, 1000, (ROWS, 4))
    return made


def test_by_row_and_fill_are_the_function_of_all_rows_at_once(values: np.ndarray) -> None:
    whole = np.array(values)
    assert np.array_equal(by_row(lambda own: own.sum(axis=1), values), whole.sum(axis=1))
    other = np.arange(ROWS, dtype=np.float64)
    found = fill(scratch(ROWS, 4), lambda own, more: own * 2 + more[:, None], values, other)
    assert np.array_equal(found, whole * 2 + other[:, None])
    assert np.array_equal(values, whole), "what is read stays, though its memory was given back"


def test_a_condition_holds_where_it_does_in_every_row_and_the_first_block_that_denies_it_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "NUMBERS", 4)
    seen: list[int] = []

    def small(own: np.ndarray, bound: np.ndarray) -> np.ndarray:
        seen.append(int(own[0]))
        return own < bound

    numbers = np.arange(3 * blocks.AT_ONCE * 4)
    assert every(small, numbers, numbers + 1)
    assert max(seen) == numbers[-1] - 3, "the last block too"
    seen.clear()
    assert not every(small, numbers, np.where(numbers == 7, 0, numbers + 1))
    assert max(seen) < blocks.AT_ONCE * 4
    assert every(small, numbers[:0], numbers[:0])


def test_rows_are_taken_by_mask_and_by_positions(values: np.ndarray) -> None:
    whole, rng = np.array(values), np.random.default_rng(1)
    mask, places = rng.random(ROWS) < 0.5, rng.permutation(ROWS)[: ROWS // 2]
    assert np.array_equal(take(values, mask), whole[mask]) and np.array_equal(take(values, places), whole[places])
    assert take(values, np.ones(ROWS, dtype=bool)) is values
    texts = whole[:, 0].astype(str)
    for rows in (mask, places):
        found = take(texts, rows)
        assert np.array_equal(found, texts[rows]) and isinstance(found, np.memmap) == isinstance(values, np.memmap)


def test_no_rows_give_no_results_of_the_right_kind() -> None:
    assert by_row(lambda own: own.sum(axis=1) > 0, scratch(0, 4)).dtype == np.bool_
    assert fill(scratch(0, 4), lambda own: own, scratch(0, 4)).shape == (0, 4)


def test_blocks_end_in_their_order_whichever_is_done_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first waits for the second, which another thread has."""
    monkeypatch.setattr(blocks.os, "cpu_count", lambda: 2)
    later = threading.Event()

    def work(block: slice) -> int:
        if block.start == 0:
            later.wait(60)
        later.set()
        return block.start

    assert list(each(work, 4 * NUMBERS, 1)) == [part.start for part in slices(4 * NUMBERS, NUMBERS)]


def test_an_error_in_a_block_is_that_of_the_whole() -> None:
    def work(own: np.ndarray) -> np.ndarray:
        if own[0] >= NUMBERS:
            raise CurateError("the second block", "none")
        return own

    with pytest.raises(CurateError, match="the second block"):
        by_row(work, np.arange(3 * NUMBERS))


def test_long_rows_lie_row_by_row_and_short_ones_column_by_column(monkeypatch: pytest.MonkeyPatch) -> None:
    for large in (1, 1 << 30):
        monkeypatch.setattr(blocks, "LARGE", large)
        assert scratch(5, NARROW).flags.f_contiguous and scratch(5, NARROW + 1).flags.c_contiguous


@pytest.mark.parametrize("large", [1, 1 << 30])
def test_what_grows_block_by_block_is_whole(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LARGE", large)
    parts = [np.full((n, 3), float(n)) for n in (2, 1, 5)]
    growing = Growing(np.empty((0, 3)))
    for part in parts:
        growing.append(part)
    found = growing.array()
    assert np.array_equal(found, np.concatenate(parts)) and isinstance(found, np.memmap) == (large == 1)


@pytest.mark.parametrize("large", [1, 1 << 30])
def test_texts_are_as_wide_as_the_longest_whichever_block_it_is_in(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LARGE", large)
    for parts in ([["a", "\U0001f600b"], [], ["12345", ""]], [["abc"], ["d"], ["", "ef"]], [["g"], ["h"]], [[]], []):
        growing = Growing(np.empty(0, dtype=np.str_))
        for part in parts:
            growing.append(np.array(part, dtype=np.str_))
        found, whole = growing.array(), [cell for part in parts for cell in part]
        assert found.tolist() == whole and found.dtype.itemsize == 4 * max([1, *map(len, whole)])
