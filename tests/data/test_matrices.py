"""What formulaic makes of the parts, now and for new rows, and what its errors become.

Grouping factors: labels of any kind, combinations, and terms that claim the same effect. Aliased
columns and confounded random terms, against ranks computed outright.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedlab.data import matrices
from mixedlab.data.design import build_design
from mixedlab.data.formula import parse
from mixedlab.data.matrices import (
    Grouping,
    Recipe,
    independent_columns,
    is_confounded_with_residual,
)
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, FormulaError

X = pd.Series(np.linspace(1, 3, 20), name="x")
COLUMNS = {"y": X**2, "x": X}


def test_parts_of_the_same_text_are_made_once_and_learned_state_is_kept():
    formula = parse("y ~ scale(x) + (scale(x) | g)", ["y", "x", "g"])
    parts = formula.predictors
    recipe, made = Recipe.learn(formula, parts, COLUMNS, 20)
    assert len(made) == 1
    (columns,) = made.values()
    assert recipe.names[parts[0].code] == ("(Intercept)", "scale(x)")
    new = recipe.apply(parts[:1], {"x": X[:3]}, 3)[parts[0].code]
    np.testing.assert_allclose(new, columns[:3])


def test_a_part_without_columns_has_as_many_rows_as_asked():
    formula = parse("y ~ 1", ["y"])
    _, made = Recipe.learn(formula, formula.predictors, {}, 4)
    np.testing.assert_array_equal(made["1"], np.ones((4, 1)))


TABLE = pd.DataFrame({"y": X**2, "x": X, "f": ["a", "b"] * 10, "total.n": X, "k": [1, 2] * 10})


@pytest.mark.parametrize(
    ("formula", "place", "says"),
    [
        ("y ~ x + log(f)", "log", r"log\(f\) cannot be calculated: column 'f' holds labels"),
        ("y ~ log(`total.n`, 1, 2, 3)", "log", r"log\(total\.n, 1, 2, 3\) cannot be calculated"),
        ("y ~ x + C(x f)", "x f", "cannot be read"),
        ("y ~ x + I(x +)", ")", "cannot be read"),
        ("y ~ x + total.n:", ":", "Operator"),
        ("y ~ x + 3", "3", "Numeric literals"),
        ("y ~ x + total.n.nothing()", "total", r"total\.n\.nothing\(\) cannot be calculated"),
    ],
)
def test_errors_of_functions_show_the_place_and_the_columns_own_name(formula, place, says):
    with pytest.raises(FormulaError, match=says) as caught:
        build_design(formula, TABLE, need_groups=False)
    assert "ǂ" not in str(caught.value)
    assert caught.value.position == formula.rindex(place)


@pytest.mark.parametrize("made_a_factor", ["factor(k)", "C(k)", "as.factor(k)"])
def test_numbers_made_a_factor_have_levels_to_remember(made_a_factor):
    d = build_design(f"y ~ {made_a_factor} + x", TABLE, need_groups=False)
    assert d.names[1] == f"{made_a_factor}[T.2]"
    np.testing.assert_array_equal(d.rebuild(TABLE.iloc[1:2]).X, d.X[1:2])
    with pytest.raises(DataError, match="'k' has levels the fit has not seen: 3"):
        d.rebuild(TABLE.iloc[:1].assign(k=3))


def test_numpy_does_not_warn_of_what_is_reported_by_row(recwarn):
    with pytest.warns(UserWarning, match=r"11 of 20 rows .*log\(x - 2\) \(10\)") as seen:
        build_design(
            "y ~ log(x - 2) + k", TABLE.assign(y=TABLE.y.where(TABLE.x < 2.95)), need_groups=False
        )
    assert [w.category.__name__ for w in seen] == ["DataWarning"]


RNG = np.random.default_rng(2)
GROUPED = pd.DataFrame(
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
    named = pd.Series([labels[k] for k in GROUPED.g], dtype=object)
    d = build_design("y ~ x + (x | g) + (1 | g:h)", GROUPED.assign(g=named))
    expected = build_design("y ~ x + (x | g) + (1 | g:h)", GROUPED)
    assert set(d.terms[0].levels) == set(labels)
    for term, other in zip(d.terms, expected.terms, strict=True):
        assert partition(term.index) == partition(other.index)
    again = d.rebuild(GROUPED.assign(g=named).iloc[::5])
    for term, other in zip(again.terms, d.terms, strict=True):
        np.testing.assert_array_equal(term.index, other.index[::5])


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(48)))
def test_shuffled_rows_are_the_same_design(order):
    order = list(order)
    d = build_design("y ~ x * h + (x | g) + (1 | g:h)", GROUPED.iloc[order])
    expected = build_design("y ~ x * h + (x | g) + (1 | g:h)", GROUPED)
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
    grouping, _ = Grouping.learn(("g", "h"), GROUPED)
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
        build_design(formula, GROUPED)
    at = formula.rindex(place) if "and" in says else formula.index(place)
    assert caught.value.position >= at - 1


@pytest.mark.parametrize("formula", ["y ~ (1 | g) + (0 + x | g)", "y ~ (1 | g) + (1 | g:h)"])
def test_terms_that_share_nothing_stand_side_by_side(formula):
    assert len(build_design(formula, GROUPED).terms) == 2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 4))
def test_keeps_the_earliest_columns_that_span_all(seed, p, extra):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, p))
    X = np.column_stack([X, X @ rng.normal(size=(p, extra))])[:, rng.permutation(p + extra)]
    X *= 10.0 ** rng.integers(-6, 7, p + extra)
    kept = independent_columns(X)
    unit = X / np.linalg.norm(X, axis=0)
    assert len(kept) == np.linalg.matrix_rank(unit, tol=1e-8)
    for k in range(p + extra):  # a column is kept exactly if it adds to those before it
        adds = np.linalg.matrix_rank(unit[:, : k + 1], tol=1e-8) > np.linalg.matrix_rank(
            unit[:, :k], tol=1e-8
        )
        assert (k in kept) == adds


def test_blocks_of_rows_make_no_difference(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 5))
    X[:, 3] = X[:, 0] - 2 * X[:, 1]
    X = np.column_stack([X, np.zeros(1000)])
    whole = independent_columns(X)
    monkeypatch.setattr(matrices, "_ROWS_AT_ONCE", 64)
    np.testing.assert_array_equal(independent_columns(X), whole)
    np.testing.assert_array_equal(whole, [0, 1, 2, 4])
    assert independent_columns(np.empty((10, 0))).size == 0


def term(index, Z):
    return RandomTerm("g", np.asarray(index), tuple(range(max(index) + 1)), Z, ("a",) * Z.shape[1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("q", [1, 2])
def test_confounded_where_the_information_is_singular(seed, rows, q):
    """Against the rank of the derivatives of V in all its parameters, written out."""
    rng = np.random.default_rng(seed)
    J = 6
    index = np.repeat(np.arange(J), rows)
    Z = np.column_stack([np.ones(J * rows), rng.normal(size=J * rows)])[:, :q]
    if seed % 2:  # the same columns in every level
        Z = np.tile(Z[:rows], (J, 1))
    same = index[:, None] == index
    slopes = [np.eye(J * rows)]
    for i in range(q):
        for j in range(i + 1):
            E = np.zeros((q, q))
            E[i, j] = E[j, i] = 1.0
            slopes.append(same * (Z @ E @ Z.T))
    flat = np.array([s.ravel() for s in slopes])
    others = np.linalg.matrix_rank(flat[1:], tol=1e-9)
    expected = np.linalg.matrix_rank(flat, tol=1e-9) == others
    assert is_confounded_with_residual(term(index, Z), None) == expected
