import numpy as np
import pandas as pd

from mixedlab.data.design import build_design
from mixedlab.data.fixed_terms import crossed_rows, fixed_terms

TABLE = pd.DataFrame({
    "y": np.arange(12.0),
    "a": np.resize(["p", "q", "r"], 12),
    "b": np.repeat(["s", "t"], 6),
    "x": np.sin(np.arange(12)),
    "the dose": np.cos(np.arange(12)),
    "w": np.ones(12),
    "unused": 0,
})  # fmt: skip


def design(fixed, **options):
    return build_design(f"y ~ {fixed}", TABLE, need_groups=False, **options)


def test_terms_have_their_columns_and_what_they_are_made_of():
    made = design("a * x + log(`the dose` + 2) + a:b")
    terms = {term.name: term for term in fixed_terms(made)}
    assert list(terms) == ["a", "x", "log(`the dose` + 2)", "a:x", "a:b"]
    assert [made.names[c] for c in terms["a:x"].columns] == ["a[T.q]:x", "a[T.r]:x"]
    assert terms["a:b"].factor_columns == {"a", "b"}
    assert not terms["x"].factor_columns
    assert sorted(c for t in terms.values() for c in t.columns) == list(range(1, len(made.names)))


def test_a_term_is_in_another_with_the_same_covariates_and_more_factors():
    terms = {term.name: term for term in fixed_terms(design("a * b + a * x"))}
    assert terms["a"].is_in(terms["a:b"])
    assert terms["x"].is_in(terms["a:x"])
    assert not terms["a"].is_in(terms["a:x"])
    assert terms["a"].is_marginal_to(terms["a:x"])
    assert not terms["a:b"].is_in(terms["a:b"])


def test_a_number_declared_a_factor_is_one():
    table = TABLE.assign(dose=np.resize([1, 2, 3], 12))
    made = build_design("y ~ C(dose) * b", table, need_groups=False)
    (dose, b, _) = fixed_terms(made)
    assert (dose.name, dose.factor_columns) == ("C(dose)", {"dose"})
    assert b.factor_columns == {"b"}


def test_crossed_rows_hold_every_combination_as_often_and_keep_the_columns_apart():
    made = design("a * b + a * x")
    X = crossed_rows(made, frozenset({"a", "b"}))
    assert X.shape == (3 * 2 * 9, 9)
    assert np.linalg.matrix_rank(X) == 9
    np.testing.assert_allclose(X[:, 1:3].mean(axis=0), 1 / 3)
    np.testing.assert_allclose(X[:, 3].mean(), 1 / 2)


def test_a_design_keeps_the_columns_it_uses_and_no_row_that_was_left_out():
    made = design("a + x", weights="w")
    assert list(made.frame) == ["y", "a", "x", "w"]
    assert made.frame.index.equals(made.index)
