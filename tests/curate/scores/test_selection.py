"""Selection rules: nested, exact, blind to the order of rows, and the same for the same seed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.scores.selection import (
    Candidates,
    Rule,
    class_balance,
    fraction_count,
    keep_whole_groups,
    random_subset,
    select_above,
    select_per_class,
    select_top,
)

PROBABILITY = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1)
"""Often equal, so that ties occur."""
ROWS = st.lists(
    st.tuples(PROBABILITY, st.sampled_from("abc"), st.sampled_from(["", "g", "h"]), st.booleans()), min_size=1
)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "threshold": PROBABILITY,
        "per_class": st.integers(1, 6),
        "top": st.integers(1, 20),
        "fraction": st.floats(0.01, 1),
        "whole_groups": st.booleans(),
    },
)


def made(rows: list[tuple[float, str, str, bool]]) -> Candidates:
    """Candidates `s000`, `s001`, ... of (quality, class, group, fulfils); the last is in a group of its own."""
    p, labels, groups, fulfils = (np.array(column) for column in zip(*rows, strict=True))
    groups = np.array([*groups[:-1], "own"])
    return Candidates(np.array([f"s{i:03d}" for i in range(len(p))]), labels, groups, p.astype(float), fulfils)


def kept(seen: Candidates, **rule: object) -> set[str]:
    """Ids that a rule keeps."""
    return set(seen.sample_ids[Rule(**rule).keep(seen)])


@given(ROWS, RULES, PROBABILITY, PROBABILITY)
def test_a_higher_threshold_keeps_a_subset_of_what_the_lower_one_keeps(rows, rule, one, other):
    seen, filters = made(rows), {k: v for k, v in rule.items() if k == "whole_groups"}
    high, low = (kept(seen, **{**filters, "threshold": t}) for t in (max(one, other), min(one, other)))
    assert high <= low
    assert kept(seen, threshold=0) == set(seen.sample_ids[seen.fulfils])


def test_the_threshold_itself_is_kept():
    assert list(select_above(np.array([0.7, np.nextafter(0.7, 0), 0.8, 1.0]), 0.7)) == [True, False, True, True]
    assert list(select_above(np.array([0.5, 1.0]), 1)) == [False, True]


@pytest.mark.parametrize("value", [2.0, -0.1, float("nan"), float("inf")])
def test_what_is_no_probability_is_refused_with_its_place(value):
    with pytest.raises(ValueError, match=rf"in \[0, 1\], got {value:g} at place 1; "):
        select_above([0.1, value], 0.8)
    assert list(select_above([-1e-9, 1 + 1e-9], 0.8)) == [False, True], "rounding"


@given(ROWS, st.integers(1, 40))
def test_top_keeps_exactly_the_count_within_the_candidates_and_none_better_is_left(rows, count):
    seen = made(rows)
    best = kept(seen, top=count)
    assert best <= set(seen.sample_ids[seen.fulfils])
    assert len(best) == min(count, int(seen.fulfils.sum()))
    order = [i for _, i in sorted(zip(-seen.quality[seen.fulfils], seen.sample_ids[seen.fulfils], strict=True))]
    assert best == set(order[:count])


def test_ties_at_the_edge_go_to_the_smaller_id_wherever_it_stands():
    p, ids = np.array([0.5, 0.5, 0.9, 0.5]), np.array(["b", "d", "c", "a"])
    assert set(ids[select_top(p, ids, 2)]) == {"c", "a"}
    assert set(ids[select_top(p, ids, 3)]) == {"c", "a", "b"}
    assert set(ids[select_per_class(p, ids, np.array(["x", "x", "y", "x"]), 2)]) == {"a", "b", "c"}


@given(ROWS, st.integers(1, 12))
def test_per_class_keeps_the_best_of_each_class_and_all_of_a_small_one(rows, count):
    seen = made(rows)
    mask = select_per_class(seen.quality, seen.sample_ids, seen.label_names, count)
    for name, (held, size) in class_balance(seen.label_names, mask).items():
        own = seen.label_names == name
        assert held == min(count, size)
        alone = select_top(seen.quality[own], seen.sample_ids[own], count)
        np.testing.assert_array_equal(mask[own], alone)


@pytest.mark.parametrize(
    ("fraction", "candidates", "count"),
    [
        (0.5, 3, 2),
        (0.5, 5, 3),
        (0.29, 50, 15),
        (0.1, 24, 2),
        (1, 7, 7),
        (0.001, 10, 1),
        (0.35, 90, 32),
        (1e-5, 10**6, 10),
    ],
)
def test_a_fraction_rounds_halves_up_and_keeps_one_at_least(fraction, candidates, count):
    assert fraction_count(fraction, candidates) == count


@given(st.integers(1, 1000), st.integers(1, 10**7))
def test_a_fraction_is_exact_for_the_number_as_typed(thousandths, candidates):
    wanted = Fraction(thousandths, 1000) * candidates
    count = fraction_count(float(f"0.{thousandths:03d}") if thousandths < 1000 else 1.0, candidates)
    assert count == max(1, (wanted + Fraction(1, 2)).__floor__())


@given(ROWS, st.floats(0.01, 1))
def test_a_fraction_is_of_all_candidates_taken_from_those_that_fulfil_the_rest(rows, fraction):
    seen = made(rows)
    assert kept(seen, fraction=fraction) == kept(seen, top=fraction_count(fraction, len(rows)))


@given(ROWS, RULES, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(rows, rule, random):
    seen = made(rows)
    order = list(range(len(rows)))
    random.shuffle(order)
    columns = (seen.sample_ids, seen.label_names, seen.groups, seen.quality, seen.fulfils)
    assert kept(Candidates(*(c[order] for c in columns)), **rule) == kept(seen, **rule)


@given(ROWS, RULES)
def test_a_kept_group_is_whole_and_nothing_else_is_dropped(rows, rule):
    seen = made(rows)
    loose, whole = (kept(seen, **{**rule, "whole_groups": w}) for w in (False, True))
    for group in set(seen.groups) - {""}:
        members = set(seen.sample_ids[seen.groups == group])
        assert whole & members == (members if members <= loose else set())
    alone = set(seen.sample_ids[seen.groups == ""])
    assert whole & alone == loose & alone


def test_parts_of_a_rule_act_in_their_order():
    rows = [(0.9, "a", "g"), (0.8, "a", "g"), (0.7, "a", ""), (0.6, "b", "h"), (0.5, "b", "h"), (0.4, "b", "k")]
    seen = made([(*row, i != 0) for i, row in enumerate(rows)])  # s000 does not fulfil the condition
    assert kept(seen, threshold=0.5) == {"s001", "s002", "s003", "s004"}
    assert kept(seen, per_class=1) == {"s001", "s003"}
    assert kept(seen, threshold=0.5, per_class=1, top=1) == {"s001"}
    assert kept(seen, fraction=0.5) == {"s001", "s002", "s003"}
    assert kept(seen, top=4, whole_groups=True) == {"s002", "s003", "s004"}
    assert kept(seen, top=3, whole_groups=True) == {"s002"}


def test_a_rule_reads_as_its_parts_in_their_order():
    rule = Rule(threshold=0.8, where="gap > 0", per_class=3, top=20, fraction=0.5, whole_groups=True)
    assert str(rule) == (
        "p_balanced >= 0.8 and gap > 0 and top 3 of each class and top 20 and top 0.5 of all and whole groups"
    )
    assert str(Rule(threshold=0.0)) == "p_balanced >= 0.0" and str(Rule(top=5)) == "top 5"
    assert str(Rule(threshold=0.5, top=5, by="gap")) == "1 - |gap| >= 0.5 and top 5 by 1 - |gap|"
    assert str(Rule(fraction=0.5, by="usability")) == "top 0.5 of all by least usability"


@pytest.mark.parametrize(
    ("rule", "option"),
    [
        *(({"threshold": t}, "--threshold") for t in (-0.01, 1.01, 80, float("nan"))),
        *(({"fraction": f}, "--fraction") for f in (0, -0.1, 1.01, 50, float("nan"))),
        ({"top": 0}, "--top"),
        ({"per_class": 0}, "--per-class"),
    ],
)
def test_a_number_out_of_range_is_refused(rule, option):
    with pytest.raises(CurateError) as error:
        Rule(**rule).keep(made([(0.5, "a", "", True)]))
    assert option in error.value.hint


def test_whole_groups_where_there_are_none_is_refused():
    with pytest.raises(CurateError, match="no scored sample has a group"):
        keep_whole_groups(np.array([True, False]), np.array(["", ""]))


@given(st.integers(1, 50), st.data(), st.integers(0, 2**32))
def test_a_random_subset_has_its_size_and_follows_its_seed(candidates, data, seed):
    count = data.draw(st.integers(0, candidates))
    mask = random_subset(candidates, count, seed)
    assert mask.shape == (candidates,) and mask.sum() == count
    np.testing.assert_array_equal(mask, random_subset(candidates, count, seed))


def test_random_subsets_of_other_seeds_differ_and_reach_every_sample():
    masks = np.array([random_subset(20, 10, seed) for seed in range(50)])
    assert len(np.unique(masks, axis=0)) > 40
    assert masks.any(axis=0).all() and not masks.all(axis=0).any()


def test_class_balance_by_hand_and_in_sum():
    names, held = np.array(["dog", "cat", "dog", "bird", "dog"]), np.array([True, False, False, True, True])
    balance = class_balance(names, held)
    assert balance == {"bird": (1, 1), "cat": (0, 1), "dog": (2, 3)} and list(balance) == ["bird", "cat", "dog"]
    assert sum(k for k, _ in balance.values()) == held.sum() and sum(n for _, n in balance.values()) == len(names)
