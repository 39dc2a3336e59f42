"""From formula and table to arrays, checked against columns made by hand."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedlab.data.design import build_design
from mixedlab.errors import DataError, DataWarning, FormulaError


@pytest.fixture
def table():
    rng = np.random.default_rng(1)
    n = 60
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
            "n": rng.integers(5, 20, n),
            "g": np.repeat(np.arange(1, 13), 5),
            "h": np.tile(["a", "b", "c"], 20),
            "f": pd.Categorical(np.tile(["lo", "hi"], 30), ["lo", "hi", "never"]),
            "flag": np.tile([True, False, False], 20),
            "count": rng.poisson(2, n),
        }
    )


def test_fixed_columns_and_names(table):
    d = build_design("y ~ x * f + flag + (1 | g)", table)
    assert d.names == ("(Intercept)", "x", "f[T.hi]", "flag[T.True]", "x:f[T.hi]")
    hi = (table.f == "hi").to_numpy(float)
    x = table.x.to_numpy()
    np.testing.assert_allclose(
        d.X, np.column_stack([np.ones(60), x, hi, table.flag.to_numpy(float), x * hi])
    )
    np.testing.assert_array_equal(d.y, table.y)
    assert d.unused_levels == {"f": ("never",)}
    assert d.weights is None
    assert d.offset is None
    assert d.trials is None


def test_numeric_groups_are_factors_and_levels_keep_their_type(table):
    (term,) = build_design("y ~ x + (x | g)", table).terms
    assert term.group == "g"
    assert term.levels == tuple(range(1, 13))
    assert all(type(level) is int for level in term.levels)
    assert term.names == ("(Intercept)", "x")
    np.testing.assert_array_equal(term.index, table.g - 1)
    np.testing.assert_array_equal(term.Z, np.column_stack([np.ones(60), table.x]))


def test_factor_groups_keep_the_order_of_their_levels(table):
    table["k"] = pd.Categorical(table.h, ["c", "unused", "a", "b"])
    (term,) = build_design("y ~ x + (1 | k)", table).terms
    assert term.levels == ("c", "a", "b")


def test_nested_and_combined_groups_have_observed_levels_only(table):
    few = table[(table.h != "c") | (table.g > 6)]
    one, two = build_design("y ~ x + (1 | h/g)", few).terms
    assert (one.group, two.group) == ("h", "h:g")
    assert "c:1" not in two.levels
    assert len(two.levels) == len(few[["h", "g"]].drop_duplicates())
    labels = (few.h + ":" + few.g.astype(str)).to_numpy()
    assert [two.levels[i] for i in two.index] == labels.tolist()


def test_uncorrelated_bar_is_one_term_a_column(table):
    terms = build_design("y ~ x + (x + f || g)", table).terms
    assert [t.names for t in terms] == [("(Intercept)",), ("x",), ("f[T.hi]",)]


def test_factors_transforms_and_splines_in_a_bar(table):
    (term,) = build_design("y ~ x + (0 + f | h)", table).terms
    assert term.names == ("f[lo]", "f[hi]")
    (term,) = build_design("y ~ x + (bs(x, df=4) | h)", table).terms
    assert term.Z.shape == (60, 5)
    (term,) = build_design("y ~ x + (scale(x) | h)", table).terms
    np.testing.assert_allclose(term.Z[:, 1], (table.x - table.x.mean()) / table.x.std(ddof=1))


def test_offset_in_the_formula_and_as_an_argument_add(table):
    d = build_design("y ~ x + offset(log(n)) + (1 | g)", table, offset="x")
    np.testing.assert_allclose(d.offset, np.log(table.n) + table.x)
    d = build_design("y ~ x + (1 | g)", table, offset=np.arange(60.0), weights="n")
    np.testing.assert_array_equal(d.offset, np.arange(60.0))
    np.testing.assert_array_equal(d.weights, table.n)


@pytest.mark.parametrize("dtype", ["object", "string", "category", "str"])
def test_any_way_to_hold_strings(table, dtype):
    expected = build_design("y ~ h + (1 | g)", table)
    table["h"] = table["h"].astype(dtype)
    d = build_design("y ~ h + (1 | g)", table)
    assert d.names == expected.names == ("(Intercept)", "h[T.b]", "h[T.c]")
    np.testing.assert_array_equal(d.X, expected.X)


def test_nullable_numbers_and_a_dict_of_columns(table):
    expected = build_design("y ~ x + n + (1 | g)", table)
    other = table.astype({"x": "Float64", "n": "Int64", "g": "Int64"})
    np.testing.assert_array_equal(build_design("y ~ x + n + (1 | g)", other).X, expected.X)
    columns = {name: table[name].tolist() for name in ("y", "x", "n", "g")}
    np.testing.assert_array_equal(build_design("y ~ x + n + (1 | g)", columns).X, expected.X)


def test_rows_with_missing_values_are_counted_and_reported_once(table):
    table.loc[3, "x"] = np.nan
    table["h"] = table["h"].astype(object)
    table.loc[[3, 10], "h"] = None
    weights = np.ones(60)
    weights[20] = np.nan
    with pytest.warns(DataWarning, match=r"3 of 60 rows .* x \(1\), h \(2\), weights \(1\)") as w:
        d = build_design("y ~ x + (1 | h)", table, weights=weights)
    assert len(w) == 1
    assert d.n_missing == 3
    assert d.X.shape == (57, 2)
    assert not {3, 10, 20} & set(d.rows)
    np.testing.assert_array_equal(d.y, table.y[d.rows])
    assert d.weights.shape == (57,)


def test_the_index_is_the_tables_own_for_the_rows_kept(table):
    table.index = [f"r{i}" for i in range(60)]
    table.loc["r3", "x"] = np.nan
    with pytest.warns(DataWarning):
        d = build_design("y ~ x + (1 | g)", table)
    assert d.index.tolist() == [f"r{i}" for i in range(60) if i != 3]
    assert d.rebuild(table.loc[["r9", "r7"]]).index.tolist() == ["r9", "r7"]


def test_state_is_learned_from_the_rows_in_use(table):
    table.loc[0, "x"] = 1e9
    table.loc[0, "y"] = np.nan
    with pytest.warns(DataWarning):
        d = build_design("y ~ center(x) + (1 | g)", table)
    assert abs(d.X[:, 1].mean()) < 1e-12


def test_values_the_formula_leaves_undefined_are_missing(table):
    with pytest.warns(DataWarning, match=r"log\(x\)"), np.errstate(invalid="ignore"):
        d = build_design("y ~ log(x) + (1 | g)", table)
    assert d.n_missing == (table.x < 0).sum()
    np.testing.assert_allclose(d.X[:, 1], np.log(table.x[table.x > 0]))


def test_aliased_columns_are_dropped_the_earliest_kept(table):
    with pytest.warns(DataWarning, match="Dropped"):
        d = build_design("y ~ x + n + I(2 * x - n) + h + I(h == 'b') + (1 | g)", table)
    assert d.aliased == ("I(2 * x - n)", "I(h == 'b')")
    assert d.names == ("(Intercept)", "x", "n", "h[T.b]", "h[T.c]")
    assert np.linalg.matrix_rank(d.X) == d.X.shape[1]


def test_empty_cells_are_aliased(table):
    some = table[(table.h != "a") | (table.f == "lo")]
    with pytest.warns(DataWarning, match="Dropped"):
        d = build_design("y ~ h * f + (1 | g)", some)
    assert len(d.aliased) == 1
    assert d.X.shape[1] == 5


@settings(max_examples=30, deadline=None)
@given(st.floats(-8, 8), st.floats(-8, 8), st.integers(0, 2**32 - 1), st.permutations([0, 1, 2, 3]))
def test_scale_and_order_of_columns_do_not_change_what_is_aliased(a, b, seed, order):
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, 30))
    columns = np.array([x * 10**a, z * 10**b, (x + z) * 10**a, x - z])[order]
    table = pd.DataFrame(dict(zip("pqrs", columns, strict=True)))
    table["y"], table["g"] = rng.normal(size=30), np.arange(30) % 5
    with pytest.warns(DataWarning):
        d = build_design("y ~ p + q + r + s + (1 | g)", table)
    assert d.aliased == ("r", "s")


def test_a_column_far_from_zero_is_not_aliased(table):
    table["time"] = 1.7e9 + np.arange(60) * 60.0
    assert build_design("y ~ time + x + (1 | g)", table).aliased == ()


# New data


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x * f + (x | g)",
        "y ~ poly(x, 2) + (scale(x) || h/g) + (bs(x, df=4) | g)",
        "y ~ center(x) + flag + (0 + f | g) + (1 | g:h) + offset(log(n))",
        "y ~ C(h, contr.sum) + (1 | g)",
    ],
)
def test_rebuilding_gives_the_same_columns(table, formula):
    d = pickle.loads(pickle.dumps(build_design(formula, table)))
    new = d.rebuild(table.iloc[7:9].drop(columns="y"))
    np.testing.assert_allclose(new.X, d.X[7:9], atol=1e-12)
    assert new.names == d.names
    for old, again in zip(d.terms, new.terms, strict=True):
        np.testing.assert_array_equal(again.index, old.index[7:9])
        np.testing.assert_allclose(again.Z, old.Z[7:9], atol=1e-12)
        assert again.levels == old.levels
    if d.offset is not None:
        np.testing.assert_allclose(new.offset, d.offset[7:9])
    assert new.y is None


def test_rebuilding_drops_the_same_aliased_columns(table):
    with pytest.warns(DataWarning):
        d = build_design("y ~ x + I(2 * x) + n + (1 | g)", table)
    np.testing.assert_array_equal(d.rebuild(table.iloc[:4]).X, d.X[:4])


def test_new_levels_are_marked_and_labels_may_be_text_or_number(table):
    table["g"] = table["g"].astype(str)
    d = build_design("y ~ x + (1 | g) + (1 | g:h)", table)
    new = d.rebuild(pd.DataFrame({"x": 0.0, "g": [1, 12, 99], "h": ["a", "z", "a"]}))
    assert new.terms[0].index.tolist() == [d.terms[0].levels.index("1"), 3, -1]
    assert new.terms[1].index.tolist()[1:] == [-1, -1]
    assert d.rebuild({"x": [1.0]}, groups=False).terms == []


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ({"x": [1.0], "f": ["up"], "g": [1]}, "'f' has levels the fit has not seen: up"),
        ({"x": [np.nan], "f": ["lo"], "g": [1]}, "missing values in 'x'"),
        ({"x": [np.inf], "f": ["lo"], "g": [1]}, "infinite"),
        ({"x": ["1"], "f": ["lo"], "g": [1]}, "'x' holds numbers"),
        ({"x": [1.0], "g": [1]}, "no column 'f'"),
        ({"x": [1.0], "f": ["lo"]}, "no column 'g'"),
    ],
)
def test_new_data_that_do_not_fit(table, new, says):
    d = build_design("y ~ x + f + (1 | g)", table)
    with pytest.raises(DataError, match=says):
        d.rebuild(pd.DataFrame(new))


def test_new_rows_with_gaps_are_marked(table):
    d = build_design("y ~ log(n) + x + offset(n) + (x | g)", table)
    new = table.iloc[:6].set_axis(list("abcdef"))
    new.loc["b", "x"], new.loc["c", "n"] = np.nan, -1
    new["g"] = new.g.astype(object).where(new.index != "e", None)
    made = d.rebuild(new, missing="mark")
    gaps = [False, True, True, False, True, False]
    assert made.index.tolist() == list("abcdef")
    assert made.n_missing == 3
    found = [made.X[:, 1], made.offset, made.terms[0].Z[:, 1]]
    expected = [d.X[:6, 1], d.offset[:6], d.terms[0].Z[:6, 1]]
    for values, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, np.where(gaps, np.nan, value))
    np.testing.assert_array_equal(made.terms[0].index, np.where(gaps, 0, d.terms[0].index[:6]))
    with pytest.raises(DataError, match="missing values in 'x', in row 1 "):
        d.rebuild(new)


def test_an_empty_table_gives_an_empty_design(table):
    d = build_design("y ~ x * f + (scale(x) | g:h) + offset(log(n))", table)
    for new in (table.iloc[:0], pd.DataFrame(columns=table.columns)):
        made = d.rebuild(new)
        assert made.X.shape == (0, 4)
        assert made.terms[0].Z.shape == (0, 2)


def test_an_offset_array_cannot_be_rebuilt(table):
    d = build_design("y ~ x + (1 | g)", table, offset=np.ones(60))
    with pytest.raises(DataError, match="offset"):
        d.rebuild(table)
    d = build_design("y ~ x + (1 | g)", table, offset="n")
    np.testing.assert_array_equal(d.rebuild(table).offset, table.n)


# Responses


def test_expressions_on_the_left(table):
    table["pos"] = np.exp(table.y)
    np.testing.assert_allclose(build_design("log(pos) ~ x + (1 | g)", table).y, table.y)
    np.testing.assert_allclose(build_design("pos / n ~ x + (1 | g)", table).y, table.pos / table.n)
    table["a b"] = table.y
    np.testing.assert_array_equal(build_design("`a b` ~ x + (1 | g)", table).y, table.y)


def test_four_ways_to_say_binomial(table):
    table["won"] = table.n // 2
    table["lost"] = table.n - table.won
    table["share"] = table.won / table.n
    for formula, weights in [
        ("cbind(won, n - won) ~ x + (1 | g)", None),
        ("cbind(won, lost) ~ x + (1 | g)", None),
        ("share ~ x + (1 | g)", "n"),
        ("won / n ~ x + (1 | g)", "n"),
    ]:
        d = build_design(formula, table, weights=weights, response="binomial")
        np.testing.assert_allclose(d.y, table.share)
        np.testing.assert_array_equal(d.trials, table.n)
        assert d.weights is None
    for formula in ["f ~ x + (1 | g)", "I(f == 'hi') ~ x + (1 | g)"]:
        d = build_design(formula, table, response="binomial")
        np.testing.assert_array_equal(d.y, table.f == "hi")
        assert d.trials is None
    d = build_design("flag ~ x + (1 | g)", table, response="binomial")
    np.testing.assert_array_equal(d.y, table.flag)


def test_one_row_a_group_is_fine_without_a_residual(table):
    table["row"] = np.arange(60)
    d = build_design("count ~ x + (1 | row)", table, response="count")
    assert d.terms[0].n_levels == 60


def test_no_groups_where_none_are_needed(table):
    assert build_design("y ~ x", table, need_groups=False).terms == []


# Bad input


@pytest.mark.parametrize(
    ("formula", "place", "says"),
    [
        ("y ~ xx + (1 | g)", "xx", "no column 'xx'.*'x'"),
        ("y ~ X + (1 | g)", "X", "Did you mean 'x'"),
        ("y ~ x + (1 | gg)", "gg", "no column 'gg'.*'g'"),
        ("y ~ x + (zz | g)", "zz", "no column 'zz'"),
        ("yy ~ x + (1 | g)", "yy", "no column 'yy'"),
        ("y ~ lgo(x) + (1 | g)", "lgo", "no function 'lgo'.*'log'"),
        ("y ~ bs(xx, df=4) + (1 | g)", "xx", "no column 'xx'"),
        ("y ~ x", "", "no random term"),
        ("y ~ x + + (1 | g)", "+ +", "Operator"),
        ("y ~ x + : n + (1 | g)", ": n", "Operator"),
        ("y ~ x n + (1 | g)", "x n", "Missing operator"),
        ("y ~ . + (1 | g)", ".", "name the columns"),
        ("y ~ x + (x y | g)", "x y", "Missing operator"),
        ("y ~ x$n + (1 | g)", "$", "operator"),
        ("~ x + (1 | g)", "~", "no response"),
        ("cbind(n, n) ~ x + (1 | g)", "cbind", "binomial"),
    ],
)
def test_formula_errors_point_at_their_place(table, formula, place, says):
    with pytest.raises(FormulaError, match=says) as caught:
        build_design(formula, table)
    if place is not None:
        expected = formula.index(place) if place else len(formula)
        assert caught.value.position == expected


@pytest.mark.parametrize(
    ("change", "formula", "says"),
    [
        ({"g": 1}, "y ~ x + (1 | g)", "'g' has one level"),
        ({"g": np.arange(60)}, "y ~ x + (1 | g)", "60 levels for 60 rows"),
        ({"y": 2.5}, "y ~ x + (1 | g)", "'y' is 2.5 in every row"),
        ({"y": ["no"] * 60}, "y ~ x + (1 | g)", "'y' is not numeric: it holds no"),
        ({"y": ["1.5", "2"] * 30}, "y ~ x + (1 | g)", "to_numeric"),
        ({"y": [np.inf, *range(59)]}, "y ~ x + (1 | g)", "'y' has 1 infinite values, in row 0"),
        ({"x": [-np.inf] * 60}, "y ~ x + (1 | g)", "'x' has 60 infinite"),
        ({"n": 0}, "y ~ log(n) + (1 | g)", r"'log\(n\)' has 60 infinite"),
        ({"x": np.nan}, "y ~ x + (1 | g)", "No row is complete: 'x' is missing in 60 of 60"),
        ({"h": "a"}, "y ~ h + (1 | g)", "'h' has one level"),
        ({"h": pd.Timestamp("2020-01-01")}, "y ~ h + (1 | g)", "dates"),
        ({}, "y ~ bs(x, df=61) + (1 | g)", "only 60 rows"),
        ({}, "y ~ x + (0 | g)", "Nothing varies"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.filterwarnings("ignore::mixedlab.errors.DataWarning")
def test_data_errors_name_what_is_wrong(table, change, formula, says):
    with pytest.raises(DataError, match=says):
        build_design(formula, table.assign(**change))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"weights": np.ones(3)}, r"weights has shape \(3,\)"),
        ({"weights": np.zeros(60)}, "weights must be positive"),
        ({"weights": np.full(60, np.inf)}, "'weights' has 60 infinite"),
        ({"weights": "nn"}, "weights: There is no column 'nn'"),
        ({"offset": "h"}, "offset must be numbers"),
    ],
)
def test_bad_weights_and_offsets(table, given, says):
    with pytest.raises(DataError, match=says):
        build_design("y ~ x + (1 | g)", table, **given)


@pytest.mark.parametrize(
    ("response", "formula", "weights", "says"),
    [
        ("binomial", "n ~ x + (1 | g)", None, "between 0 and 1.*row"),
        ("binomial", "h ~ x + (1 | g)", None, "two levels; 'h' has 3"),
        ("binomial", "share ~ x + (1 | g)", None, "number of trials"),
        ("binomial", "share ~ x + (1 | g)", "n", "no whole number of successes"),
        ("binomial", "cbind(n, n - 15) ~ x + (1 | g)", None, "more successes than trials"),
        ("binomial", "cbind(n, n) ~ x + (1 | g)", "n", "leave weights"),
        ("count", "y ~ x + (1 | g)", None, "counts 0, 1, 2"),
    ],
)
def test_responses_outside_their_range(table, response, formula, weights, says):
    table["share"] = 0.123
    table.loc[0, "share"] = 0.5
    with pytest.raises(DataError, match=says):
        build_design(formula, table, response=response, weights=weights)


def test_several_columns_of_one_name(table):
    twice = pd.concat([table, table[["x"]]], axis=1)
    with pytest.raises(DataError, match="several columns named 'x'"):
        build_design("y ~ x + (1 | g)", twice)


def test_data_that_are_no_table():
    with pytest.raises(DataError, match="table"):
        build_design("y ~ x + (1 | g)", [1, 2])
    with pytest.raises(DataError, match="fit together"):
        build_design("y ~ x + (1 | g)", {"y": [1], "x": [1, 2], "g": [1, 1, 1]})


# What identifies a random term


def test_slopes_on_two_rows_a_group_are_refused_only_where_not_identified():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(20), 2)
    same = pd.DataFrame({"y": rng.normal(size=40), "x": np.tile([0.0, 1.0], 20), "g": g})
    with pytest.raises(DataError, match="cannot be told apart"):
        build_design("y ~ x + (x | g)", same)
    differing = same.assign(x=rng.normal(size=40))
    assert build_design("y ~ x + (x | g)", differing).terms[0].n_coefs == 2


def test_weights_can_identify_one_row_a_group():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"y": rng.normal(size=40), "g": np.arange(40)})
    assert build_design("y ~ 1 + (1 | g)", table, weights=rng.uniform(1, 5, 40)).terms
    with pytest.raises(DataError, match="cannot be told apart"):
        build_design("y ~ 1 + (1 | g)", table, weights=np.full(40, 3.0))


def test_nothing_warns_on_ordinary_data(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_design("y ~ x * f + h + (x | g)", table)
