"""Wrong types, unknown names and empty inputs of the Python API: refused, by what was expected and what came."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import curate
from curate.errors import CurateError
from curate.table import Table

FRAME = pd.DataFrame({"sample_id": ["a"]})
A_THING = object()

OF_TABLE = {
    "sql": [((5,), {}, "query is a text, got 5"), (("",), {}, "one SQL statement"), ((None,), {}, "query")],
    "query": [((FRAME,), {}, "query is a text"), (("SELECT 1", "x"), {}, "allow_files is True or False, got 'x'")],
    "runs": [
        ((), {"knd": "score"}, "unknown column of runs 'knd'.*known: .*kind"),
        ((), {"config": "x"}, "unknown column of runs 'config'"),
        ((), {"seed": "first"}, "seed is a whole number or None, got 'first'"),
        ((), {"kind": 5}, "kind is a text or None, got 5"),
    ],
    "find_run": [
        ((5,), {}, "run is a text or None, got 5"),
        ((), {"knd": "score"}, "unknown column of runs 'knd'"),
        (("",), {}, "unknown run ''"),
    ],
    "scored": [((5,), {}, "run is a text or None, got 5"), (("",), {}, "unknown run ''")],
    "selection": [((5,), {}, "name is a text, got 5"), (("",), {}, "unknown selection ''")],
    "choose": [
        ((5,), {"threshold": 0.5}, "name is a text or None, got 5"),
        (("z",), {"thresholds": 0.8}, "unknown part of a rule 'thresholds'.*did you mean 'threshold'.*known: .*top"),
        (("z",), {"top": 7.5}, "top is a whole number or None, got 7.5"),
        (("z",), {"top": "7"}, "top is a whole number or None, got '7'"),
        (("z",), {"top": True}, "top is a whole number or None, got True"),
        (("z",), {"per_class": "7"}, "per_class is a whole number"),
        (("z",), {"threshold": "0.8"}, "threshold is a number or None, got '0.8'"),
        (("z",), {"fraction": "half"}, "fraction is a number"),
        (("z",), {"where": 5}, "where is a text"),
        (("z",), {"where": ""}, "the condition is empty"),
        (("z",), {"whole_groups": "no"}, "whole_groups is True or False, got 'no'"),
        (("z",), {"by": "p_balnced"}, "by is one of p_balanced, usability, gap, got 'p_balnced'"),
        (("z",), {"run": 5, "top": 7}, "run is a text or None"),
        (("z",), {"replace": "x", "top": 7}, "replace is True or False"),
    ],
    "compare": [
        ((5, "z"), {}, "one is a text"),
        (("z", 5), {}, "other is a text"),
        (("", ""), {}, "unknown selection"),
    ],
    "report": [((5,), {}, "run is a text or None"), ((), {"output": 5}, "output is a text or a path, got 5")],
    "view": [((5,), {}, "run is a text"), ((None, "80"), {}, "port is a whole number"), ((None, -1), {}, "65535")],
    "export": [
        ((5,), {}, "path is a text or a path, got 5"),
        (("",), {}, "cannot write"),
        (("x.csv",), {"foo": "a"}, "unknown argument of export 'foo'.*known: run, selection, where"),
        (("x.csv",), {"where": 5}, "where is a text or None"),
        (("x.csv",), {"selection": ["a"]}, "selection is a text or None, got an object of type list"),
        (("x.csv",), {"to": "cvs"}, "unknown target 'cvs'.*did you mean 'csv'"),
        (("x.csv",), {"to": 5}, "to is a text or None"),
    ],
    "score": [
        ((), {}, "one or more files of predictions, got none"),
        ((FRAME,), {}, "name of a file, got an object of type DataFrame.*to_csv"),
        ((5,), {}, "name of a file, got 5"),
        (("",), {}, "name of a file, got ''"),
        ((["a.csv", "b.csv"],), {}, "got an object of type list.*one by one"),
        (("m.csv",), {"dataset": 5}, "dataset is a text, got 5"),
        (("m.csv",), {"only_missing": "no"}, "only_missing is True or False"),
        (("m.csv",), {"family_": "gaussian"}, "unknown setting 'score.family_'.*score.family"),
        (("m.csv",), {"family": 5}, "unknown value of score.family: '5'"),
    ],
}
SIMPLE = {"path", "samples", "run_frame", "selections"}
"""What takes no argument."""
FITTED = curate.fit_mixture([0.1, -0.1, 0.0])
OF_FUNCTIONS = {
    "open": [((5,), {}, "path is a text or a path, got 5"), ((None,), {}, "path is a text or a path, got None")],
    "modality_gap": [((FRAME,), {}, "predictions is a Predictions, got an object of type DataFrame")],
    "fit_mixture": [
        (("abc",), {}, "gaps are numbers"),
        ((None,), {}, "gaps must be one-dimensional"),
        (({},), {}, "gaps are numbers, .* got an object of type dict"),
        ((["0.1", "0.9"],), {}, "gaps are numbers"),
        (([[0.1], [0.9]],), {}, "gaps must be one-dimensional"),
        (([0.1, np.nan],), {}, "1 of 2 gaps are NaN or infinite: leave them out"),
        (([0.1], "studentt"), {}, "family is one of auto, two-sided, gaussian, student-t, got 'studentt'"),
        (([0.1], "gaussian"), {"rule": "x"}, "rule is one of second_moment, weight, abs_mean"),
        (([0.1], "gaussian"), {"check": "x"}, "check is one of bic, none"),
        (([0.1], "gaussian"), {"posterior": "x"}, "posterior is one of literal, monotone"),
        (([0.1], "gaussian"), {"components": "2"}, "components is 2, or 3"),
        (([0.1], "gaussian"), {"weights": "x"}, "weights are numbers"),
        (([0.1],), {"dof": "4"}, "dof is a number or None, got '4'"),
        (([0.1],), {"scale": "1"}, "scale is a number"),
        (([0.1],), {"scale": 0}, "scale and iterations are above 0"),
        (([0.1],), {"tolerance": None}, "tolerance is a number"),
        (([0.1],), {"iterations": 1.5}, "iterations is a whole number"),
    ],
    "column": [
        ((5, "prob_gap"), {}, "paths is a text or a path or a list of them, got 5"),
        (([5], "prob_gap"), {}, "each of paths is a text or a path, got 5"),
        (([], "prob_gap"), {}, "paths is empty"),
        (("x.parquet", 5), {}, "name is a text, got 5"),
    ],
    "p_balanced": [
        ((A_THING, [0.1]), {}, "fitted is a MixtureFit, got an object of type object"),
        ((FITTED, 0.1), {}, "gaps must be one-dimensional"),
        ((FITTED, "abc"), {}, "gaps are numbers"),
    ],
    "select": [
        ((0.5, 0.8), {}, "p_balanced must be one-dimensional"),
        ((["a"], 0.8), {}, "p_balanced are numbers"),
        (([0.1, 0.9], "0.8"), {}, "threshold is a number, got '0.8'"),
        (([0.1, 0.9], np.nan), {}, "the threshold is a probability"),
    ],
}


def listed(cases):
    """(name, positional, by name, what the error says) of each case."""
    return [pytest.param(name, *case, id=f"{name}-{case[2]}") for name, own in cases.items() for case in own]


def check_refused(function, positional, named, said) -> None:
    with pytest.raises((CurateError, ValueError)) as refused:
        function(*positional, **named)
    error = refused.value
    assert type(error) is ValueError or isinstance(error, CurateError), f"{error!r} is of another package"
    assert re.search(said, f"{error}; {getattr(error, 'hint', '')}")


@pytest.mark.parametrize(("name", "positional", "named", "said"), listed(OF_TABLE))
def test_a_table_refuses_what_it_cannot_use(name, positional, named, said, scored_table, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_refused(getattr(curate.open(scored_table.path), name), positional, named, said)


@pytest.mark.parametrize(("name", "positional", "named", "said"), listed(OF_FUNCTIONS))
def test_a_function_refuses_what_it_cannot_use(name, positional, named, said) -> None:
    check_refused(getattr(curate, name), positional, named, said)


def test_every_public_name_is_tried() -> None:
    methods = {name for name in vars(Table) if not name.startswith("_")}
    assert methods == {*OF_TABLE, *SIMPLE}
    functions = {name for name in curate.__all__ if not hasattr(getattr(curate, name), "__dataclass_fields__")}
    assert functions == set(OF_FUNCTIONS)


def test_lists_frames_and_numbers_of_numpy_are_numbers(scored_table) -> None:
    assert curate.select([0.1, 0.9], 0.8).tolist() == [False, True]
    assert curate.select(pd.Series([0.1, 0.9]), np.float64(0.8)).tolist() == [False, True]
    assert curate.p_balanced(FITTED, [0.0]).tolist() == curate.p_balanced(FITTED, np.zeros(1)).tolist()
    assert len(curate.open(scored_table.path).choose(top=np.int64(7)).sample_ids) == 7
    assert curate.fit_mixture([]).outcome == "too_few"
