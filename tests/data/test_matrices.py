"""What formulaic makes of the parts, now and for new rows, and what its errors become."""

import numpy as np
import pandas as pd
import pytest

from mixedlab.data.design import build_design
from mixedlab.data.formula import parse
from mixedlab.data.matrices import Recipe
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
