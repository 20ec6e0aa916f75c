"""Where methods differ from the published code: said in each docstring, in one form, and listed."""

from __future__ import annotations

import pytest

from curate.train.methods import catalog

OWN = {"joint", "unimodal", "usable", "warmup"}
"""Baselines that no code publishes as a method, and curate's own."""

MUST: list[tuple[str, str]] = [
    ("all", "initial heads"),
    ("all", "batch norm"),
    ("all", "crops and flips"),
    ("all", "choice of epoch"),
    ("agm", "masked forwards"),
    ("agm", "clipping"),
    ("agm", "running means"),
    ("pmr", "coefficients"),
    ("pmr", "entropy"),
    ("lfm", "alignment"),
    ("lfm", "schedule"),
    ("mla", "projection"),
    ("mmcosine", "initial weights"),
    ("ogm", "window"),
    ("ogm_ge", "window"),
    ("opm", "window"),
    ("opm_ogm", "window"),
    ("agm", "window"),
    ("valuation", "repetitions"),
    ("remix", "batches"),
    ("bss", "mode of measuring"),
    ("inforeg", "which modality"),
    ("aug", "added layers"),
    ("pdmp", "sources"),
    ("pdmp", "coefficients"),
    ("trim", "two networks"),
    ("mixup", "source"),
    ("mixup", "balanced form"),
]


def test_every_method_of_a_paper_says_where_it_differs() -> None:
    found = {name for name, *_ in catalog.departures()}
    assert found == ({*catalog.names()} - OWN) | {catalog.ALL}


@pytest.mark.parametrize(("name", "what"), MUST)
def test_what_is_known_to_differ_is_said(name: str, what: str) -> None:
    (text,) = [text for n, w, text in catalog.departures() if (n, w) == (name, what)]
    assert len(text) > 30 and text.endswith(".") and "\n" not in text


def test_each_is_a_short_name_and_a_sentence() -> None:
    for name, what, text in catalog.departures():
        assert 0 < len(what) <= 30, (name, what)
        assert text.endswith((".", ".)")) and text.count("`") % 2 == 0, (name, what)
