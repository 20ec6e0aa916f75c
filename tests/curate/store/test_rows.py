"""How rows go into the file: in whole row groups, of our size, whatever size others have."""

from __future__ import annotations

import duckdb
import numpy as np

from curate.store import arrays
from curate.store.instance import GROUP, Attached
from curate.store.rows import AT_ONCE, ranges


def test_rows_are_inserted_in_whole_row_groups() -> None:
    for rows, columns in ((1_000_000, 54), (1_000_000, 1), (300_000, 200), (70_000, 6000)):
        slices = list(ranges(rows, columns))
        assert [s.start for s in slices] == [0, *(s.stop for s in slices[:-1])] and slices[-1].stop == rows
        steps = {s.stop - s.start for s in slices[:-1]}
        assert len(steps) == 1 and all(step % GROUP == 0 or step < GROUP for step in steps)
        assert max(steps) * columns <= max(32 * AT_ONCE, columns)


def test_a_file_whose_row_groups_are_larger_goes_on(tmp_path) -> None:
    """Row groups need not be equal: what is in the file stays, what is added has ours."""
    path = tmp_path / "older.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute(f"CREATE TABLE t AS FROM range({3 * GROUP}) r(i)")
    for added in range(2):
        opened = Attached(path, write=True)
        con = opened.connection
        con.execute(f"INSERT INTO t SELECT i + {(3 + 2 * added) * GROUP} FROM range({2 * GROUP}) r(i)")
        con.execute("DELETE FROM t WHERE i % 3 = 1")
        opened.close()
    with duckdb.connect(str(path), read_only=True) as con:
        left = [i for i in range(7 * GROUP) if i % 3 != 1]
        assert con.execute("SELECT count(*), sum(i) FROM t").fetchall() == [(len(left), sum(left))]
        groups = "SELECT max(count) FROM pragma_storage_info('t') GROUP BY row_group_id"
        sizes = [size for (size,) in con.execute(groups).fetchall()]
        assert max(sizes) > GROUP and sum(size <= GROUP for size in sizes) >= 2


def test_columns_are_read_in_portions_in_their_order(monkeypatch) -> None:
    """Texts without NULL, as wide as the widest in any portion; numbers in float64, NaN where there is none."""
    monkeypatch.setattr(arrays, "PORTION", 3)
    answer = (
        "SELECT if(i = 4, NULL, repeat('é', i % 5)) AS name, if(i = 2, NULL, i / 2) AS half, i > 5 AS late "
        "FROM range($rows) t(i) ORDER BY i DESC"
    )
    for rows in (8, 3, 0):
        with duckdb.connect() as con:
            found = arrays.columns(con, answer, {"rows": rows}, ("name",))
        numbers = list(reversed(range(rows)))
        assert found["name"].tolist() == ["" if i == 4 else "é" * (i % 5) for i in numbers]
        np.testing.assert_array_equal(found["half"], [np.nan if i == 2 else i / 2 for i in numbers])
        assert (found["late"] == 1).tolist() == [i > 5 for i in numbers]
