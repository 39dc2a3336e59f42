"""Grouping factors: labels of any kind, combinations, and terms that claim the same effect."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedlab.data.design import build_design
from mixedlab.data.groups import Grouping
from mixedlab.errors import FormulaError

RNG = np.random.default_rng(2)
TABLE = pd.DataFrame(
    {
        "y": RNG.normal(size=48),
        "x": RNG.normal(size=48),
        "g": np.repeat(np.arange(8), 6),
        "h": np.tile(list("abc"), 16),
    }
)
LABELS = st.one_of(
    st.integers(-99, 99), st.text("ab:1", max_size=3), st.tuples(st.integers(0, 9), st.text("z"))
)


def partition(index):
    """Rows by level, whatever the order of the levels."""
    return {tuple(np.flatnonzero(index == j)) for j in np.unique(index)}


@settings(max_examples=40, deadline=None)
@given(st.lists(LABELS, min_size=8, max_size=8, unique_by=str))
def test_other_labels_are_the_same_groups(labels):
    named = pd.Series([labels[k] for k in TABLE.g], dtype=object)
    d = build_design("y ~ x + (x | g) + (1 | g:h)", TABLE.assign(g=named))
    expected = build_design("y ~ x + (x | g) + (1 | g:h)", TABLE)
    assert set(d.terms[0].levels) == set(labels)
    for term, other in zip(d.terms, expected.terms, strict=True):
        assert partition(term.index) == partition(other.index)
    again = d.rebuild(TABLE.assign(g=named).iloc[::5])
    for term, other in zip(again.terms, d.terms, strict=True):
        np.testing.assert_array_equal(term.index, other.index[::5])


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(48)))
def test_shuffled_rows_are_the_same_design(order):
    order = list(order)
    d = build_design("y ~ x * h + (x | g) + (1 | g:h)", TABLE.iloc[order])
    expected = build_design("y ~ x * h + (x | g) + (1 | g:h)", TABLE)
    np.testing.assert_array_equal(d.X, expected.X[order])
    np.testing.assert_array_equal(d.index, order)
    for term, other in zip(d.terms, expected.terms, strict=True):
        assert term.levels == other.levels
        np.testing.assert_array_equal(term.index, other.index[order])


def test_combinations_are_found_by_their_parts_not_by_their_text():
    table = pd.DataFrame({"a": ["p:q", "p", "p"], "b": ["r", "q:r", "s"]})
    grouping, index = Grouping.learn(("a", "b"), table)
    assert sorted(index) == [0, 1, 2]
    np.testing.assert_array_equal(grouping.find(table), index)
    new = pd.DataFrame({"a": ["p:q", "p", "new"], "b": ["s", "r", "r"]})
    assert grouping.find(new).tolist() == [-1, -1, -1]


def test_numbers_and_text_name_the_same_group_in_new_rows():
    grouping, _ = Grouping.learn(("g", "h"), TABLE)
    new = pd.DataFrame({"g": ["3", "9"], "h": ["b", "b"]})
    assert [grouping.levels[k] if k >= 0 else None for k in grouping.find(new)] == ["3:b", None]


@pytest.mark.parametrize(
    ("formula", "place", "says"),
    [
        ("y ~ x + (g | g)", "g |", r"cannot vary over them.*\(1 \| g\)"),
        ("y ~ x + (1 + h | h)", "1 + h", "cannot vary"),
        ("y ~ x + (1 | g) + (1 |g)", "1 |g)", r"intercept varies over 'g'.*\(1 \| g\) twice"),
        ("y ~ (1 + x | g) + (x | g)", "x | g) + ", r"\(1 \+ x \| g\) and \(x \| g\)"),
        ("y ~ (0 + x | g) + (x || g)", "x || g", "'x' varies over 'g' in two terms"),
        ("y ~ (1 | g/h) + (1 | h:g)", "1 | h:g", "varies over 'h:g'"),
    ],
)
def test_terms_that_claim_the_same_effect(formula, place, says):
    with pytest.raises(FormulaError, match=says) as caught:
        build_design(formula, TABLE)
    at = formula.rindex(place) if "and" in says else formula.index(place)
    assert caught.value.position >= at - 1


@pytest.mark.parametrize("formula", ["y ~ (1 | g) + (0 + x | g)", "y ~ (1 | g) + (1 | g:h)"])
def test_terms_that_share_nothing_stand_side_by_side(formula):
    assert len(build_design(formula, TABLE).terms) == 2
