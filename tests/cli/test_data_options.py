"""Options that stand for settings of a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from curate.table import Table


def test_drop_leaks_leaves_out_what_is_in_a_later_split(
    curate: Callable, clips: Path, workplace: Path, small_settings: Callable
) -> None:
    header, *rows = clips.read_text().splitlines()
    places = header.split(",")
    train, test = (next(r.split(",") for r in rows if split in r.split(",")) for split in ("train", "test"))
    leaking = list(train)
    for medium in set(places) - {"sample_id", "label", "split", "group"}:
        leaking[places.index(medium)] = test[places.index(medium)]
    leaking[places.index("sample_id")] = "leak"
    grown = clips.with_name("leaking.csv")
    grown.write_text("\n".join([header, *rows, ",".join(leaking)]) + "\n")
    command = ("prepare", "--dataset", "manifest", "--root", grown, "--workers", "0")
    settings = small_settings(**{"optim.batch_size": None, "optim.lr": None})
    assert curate(*command, *settings).code == 0
    table = Table(Path("curate.duckdb"))
    assert ("leak",) in table.query("SELECT sample_id FROM findings WHERE kind = 'leak'")[1]
    assert curate(*command, *settings, "--drop-leaks").code == 3
    assert table.query("SELECT sample_id, status FROM failures")[1] == [("leak", "dropped_leak")]


def test_a_variant_is_asked_only_of_those_that_have_several(refused: Callable, clips: Path) -> None:
    told = refused("prepare", "--dataset", "manifest", "--root", clips, "--split-variant", "mla")
    assert "split_variant" in told
